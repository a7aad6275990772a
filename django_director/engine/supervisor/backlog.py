"""How long messages wait in their queues, and when a message that nobody has taken is sent once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from django_director.conf import MAX_GRACE, director
from django_director.db.functions import Now, later
from django_director.db.transactions import update_unlocked
from django_director.dispatch import routing
from django_director.engine import parking
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet

from . import probes
from .probes import Probes

SAMPLE: Final = 500
"""How many running tasks are looked at, those that started last."""
CHUNK: Final = 500
CHUNKS: Final = 20
"""How many chunks one look expedites; what is left waits for the next one."""


class Wait(NamedTuple):
    """What a queue in which something runs looks like, in seconds."""

    least: float
    """The least that a running task has waited: one that was published anew did not wait in a queue."""
    since: float
    """Since its last start."""

    @property
    def present(self) -> float:
        """How long a message waits now; all workers may be busy."""
        return max(self.least, self.since)

    @property
    def until_next_look(self) -> float:
        """How long a message that is explained is left alone."""
        # In whole seconds, so that few statements postpone a batch.
        return max(float(director.DISPATCH_GRACE), round(self.least))

    def explains(self, age: float) -> bool:
        """Whether a message of this age need not be lost: the queue moves, and takes about as long."""
        return self.since <= director.DISPATCH_GRACE and age <= 2 * self.least


Waits = dict[str, Wait]


def waits() -> Waits:
    """What queues look like, by name: those in which something runs at this moment."""
    running = Task.objects.all_running().filter(queued_at__isnull=False, started_at__isnull=False)
    least: dict[str, timedelta] = {}
    since: dict[str, timedelta] = {}
    columns = running.annotate(now=Now()).values_list("name", "queue", "queued_at", "started_at", "now")
    for name, chosen, queued_at, started_at, now in columns.order_by("-started_at")[:SAMPLE]:
        queue = routing.destination(name, chosen)
        waited = started_at - queued_at
        least[queue] = min(waited, least.get(queue, waited))
        since.setdefault(queue, now - started_at)
    return {queue: Wait(least[queue].total_seconds(), since[queue].total_seconds()) for queue in least}


class Watch:
    """What is known of queues from one look to the next.

    Tells a queue in which nothing runs from one whose tasks are short: there at many a moment none runs.
    """

    def __init__(self, looks: int) -> None:
        """A queue is dry after so many looks in a row at which nothing ran in it."""
        self.probes: dict[str, Probes] = {}
        """Of queues that were dry."""
        self._looks = looks
        self._missed: Counter[str] = Counter()
        self._counted: set[str] = set()
        self._waits: Waits | None = None

    def begin(self) -> None:
        """The next look."""
        self._counted.clear()
        self._waits = None

    @property
    def waits(self) -> Waits:
        """What queues look like at the present look."""
        if self._waits is None:
            self._waits = waits()
            for queue in self._waits:
                del self._missed[queue]
        return self._waits

    def doubtful(self, queues: Iterable[str]) -> set[str]:
        """Those in which nothing runs by the present look, and that are not dry by that."""
        missing = set(queues).difference(self.waits)
        self._missed.update(missing - self._counted)
        self._counted |= missing
        return {queue for queue in missing if self._missed[queue] < self._looks}

    def is_still(self, queue: str) -> bool:
        """Whether nothing has started for a while: the queue is dry, or a long task runs in it alone."""
        wait = self.waits.get(queue)
        if wait is None:
            return not self.doubtful([queue])
        return wait.since > float(director.DISPATCH_GRACE)


def delay(name: str, chosen: str, dispatches: int, known: Waits) -> float:
    """Seconds from a publication to the next one.

    A backlog must not be published over and over: twice what the queue takes now. Where nothing runs there may be
    no worker: each further message waits twice as long, and only probes are sent. Either may turn out to be too
    long, see ``expedite``.
    """
    queue = routing.destination(name, chosen)
    if queue in known:
        return _twice(known[queue].present)
    return min(float(director.DISPATCH_GRACE) * 2.0 ** min(dispatches, 16), MAX_GRACE)


def expedite(watch: Watch | None = None) -> int:
    """Bring forward what waits for longer than its queue takes now; return how many tasks.

    What was put off while there was no worker, or while a backlog or an outage made the queue look long, must not
    wait so long when that is over: its message may be lost. Of a queue in which nothing runs that is the probes.
    What is parked stays so, see ``parking``.
    """
    watch = watch or Watch(looks=1)
    watch.begin()
    known = watch.waits
    late = Task.objects.queued().filter(
        next_dispatch_at__gt=later(director.DISPATCH_GRACE), next_dispatch_at__lt=later(parking.PARKED)
    )
    expedited = 0
    for name, chosen, dispatches in late.order_by().values_list("name", "queue", "dispatches").distinct():
        kind = late.filter(name=name, queue=chosen, dispatches=dispatches)
        seconds = delay(name, chosen, dispatches, known)
        queue = routing.destination(name, chosen)
        if queue not in known:
            is_new = queue not in watch.probes
            found = probes.of(watch, queue)
            expedited += len(found) if is_new else _expedite(kind.filter(pk__in=found), seconds)
            # Where tasks are short none may run just now.
            seconds = seconds if watch.doubtful([queue]) else MAX_GRACE
        expedited += _expedite(kind, seconds)
    return expedited


def _expedite(tasks: TaskQuerySet, seconds: float) -> int:
    expedited = 0
    for _ in range(CHUNKS):
        late = tasks.filter(next_dispatch_at__gt=later(seconds)).order_by("-next_dispatch_at")
        done = update_unlocked(late, partial(_bring_forward, seconds), limit=CHUNK)
        expedited += done
        if done < CHUNK:
            break
    return expedited


def _bring_forward(seconds: float, tasks: TaskQuerySet) -> int:
    return tasks.queued().filter(next_dispatch_at__gt=later(seconds)).update(next_dispatch_at=later(seconds))


def _twice(wait: float) -> float:
    # In whole seconds of waiting, for the same reason.
    return max(float(director.DISPATCH_GRACE), 2.0 * round(wait))
