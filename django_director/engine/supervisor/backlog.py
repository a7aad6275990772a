"""Backlogs: how long messages wait in their queues, and when a message that nobody took is sent again."""

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
"""How many running tasks are read: those that started last."""
CHUNK: Final = 500
CHUNKS: Final = 20
"""How many chunks one look expedites; what is left waits for the next one."""


class Wait(NamedTuple):
    """How long messages wait in a queue from which tasks run, in seconds."""

    least: float
    """The shortest time that a running task had waited. A task that was sent again seems to have waited longer."""
    since: float
    """The time since a task of the queue has started."""

    @property
    def present(self) -> float:
        """How long a message waits now, also when all workers are busy."""
        return max(self.least, self.since)

    @property
    def until_next_look(self) -> float:
        """For how long a message whose wait is explained is left alone."""
        # In whole seconds, so that few statements postpone a batch.
        return max(float(director.DISPATCH_GRACE), round(self.least))

    def explains(self, age: float) -> bool:
        """Whether a message of this age may just be waiting: the queue moves, and takes about as long."""
        return self.since <= director.DISPATCH_GRACE and age <= 2 * self.least


Waits = dict[str, Wait]


def waits() -> Waits:
    """Return how long messages wait, by queue, for the queues from which tasks run at this moment."""
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
    """What one supervisor has seen of queues, from one look to the next.

    So it can tell a queue in which nothing runs from a queue of short tasks, of which often none runs just now.
    """

    def __init__(self, looks: int) -> None:
        """``looks`` is after how many looks in a row without a running task a queue counts as dry."""
        self.probes: dict[str, Probes] = {}
        """The probes of dry queues, by queue."""
        self._looks = looks
        self._missed: Counter[str] = Counter()
        self._counted: set[str] = set()
        self._waits: Waits | None = None

    def begin(self) -> None:
        """Begin the next look."""
        self._counted.clear()
        self._waits = None

    @property
    def waits(self) -> Waits:
        """How long messages wait, by queue, at the present look."""
        if self._waits is None:
            self._waits = waits()
            for queue in self._waits:
                del self._missed[queue]
        return self._waits

    def doubtful(self, queues: Iterable[str]) -> set[str]:
        """Queues with no running task now, but not yet idle for long enough to count as dry."""
        missing = set(queues).difference(self.waits)
        self._missed.update(missing - self._counted)
        self._counted |= missing
        return {queue for queue in missing if self._missed[queue] < self._looks}

    def is_still(self, queue: str) -> bool:
        """Whether nothing has started for a while: the queue is dry, or all its running tasks are long."""
        wait = self.waits.get(queue)
        if wait is None:
            return not self.doubtful([queue])
        return wait.since > float(director.DISPATCH_GRACE)


def delay(name: str, chosen: str, dispatches: int, known: Waits) -> float:
    """Seconds until the message of a task is sent again if nobody takes it.

    A backlog must not be sent over and over, so this is twice the time that messages wait in the queue now. Where
    nothing runs there may be no worker: each further message waits twice as long, and only probes are sent. Either
    may turn out to be too long, see ``expedite``.
    """
    queue = routing.destination(name, chosen)
    if queue in known:
        return _twice(known[queue].present)
    return min(float(director.DISPATCH_GRACE) * 2.0 ** min(dispatches, 16), MAX_GRACE)


def expedite(watch: Watch | None = None) -> int:
    """Bring forward tasks that are due later than their queue justifies now; return how many.

    Tasks were put off while there was no worker, or while a backlog or an outage made the queue look long. When
    that is over they must not wait so long, as their messages may be lost. In a queue in which nothing runs only
    the probes are brought forward. Parked tasks stay parked.
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
            found = probes.choose_probes(watch, queue)
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
