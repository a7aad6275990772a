"""Rule (g) of the checker: how long tasks may stay queued, seen over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from django_director.conf import director
from django_director.engine import parking
from django_director.models import Task

from . import checker


class Queues:
    """(g) Nothing that may run is ``queued`` for longer than twice the grace while worker and broker are up.

    They are since ``healthy_since``; ``capacity`` tasks can run at once, and ``crowding`` says how many times
    longer things take now, for other processes want the processors. Look often: what a queue was like decides.
    Three rules make the one, for a queue may be long, and must not be published over and over then:

    * What is due is published within a grace.
    * While a queue is short, nothing stays in it for longer than twice the grace. A queue is long while all
      processes are busy, or where twice its present wait is longer than the grace. Of a queue to which a probe was
      published in vain before, as there was no worker, all may be put off by twice as much each time.
    * While something of a queue runs, nothing in it is put off for longer than the grace or twice its wait.

    Each of these times is longer by what ``crowding`` says.
    """

    def __init__(
        self, healthy_since: datetime, capacity: int | None = None, crowding: Callable[[], float] = lambda: 1.0
    ) -> None:
        self._healthy_since = healthy_since
        self._capacity = capacity
        self._looks: list[tuple[datetime, dict[str, float]]] = []
        self._short_since: dict[str, datetime] = {}
        self._parked_since: dict[UUID, datetime] = {}
        self._vain: dict[str, int] = {}
        """How often one was published again, at most, by queue."""
        self._crowding = crowding
        self._slowness = 1.0
        """How many times longer things take, by the last looks."""

    def look(self, now: datetime | None = None) -> list[checker.Violation]:
        """What is wrong now."""
        now = now or timezone.now()
        self._remember(now)
        self._slowness = max(self._slowness * 0.7, self._crowding())
        startable = Task.objects.queued().filter(run__paused_at=None).select_related("run__workflow")
        self._vain = dict(Task.objects.queued().order_by().values_list("queue").annotate(Max("dispatches")))
        return [
            checker.Violation("g", f"{checker.name_of(task.run)}, step {task.step}", what)
            for task in startable
            if task.is_hook or not (task.run.stop or task.run.is_finished)
            for what in self._wrong(task, now)
        ]

    def _wrong(self, task: Task, now: datetime) -> Iterator[str]:
        grace = _grace() * self._slowness
        times = f"published {task.dispatches} times again"
        unpublished = now - max(task.next_dispatch_at, self._healthy_since)
        if unpublished > grace:
            yield f"due for {unpublished.total_seconds():.1f} s, {times}"
        waited = now - max(task.queued_at, self._short_since.get(task.queue, self._healthy_since))
        if waited > grace * max(2.0, 1 + 2.0 ** (min(self._vain.get(task.queue, 0), 16) - 1)):
            yield f"queued for {waited.total_seconds():.1f} s, {times}"
        put_off = (task.next_dispatch_at - now).total_seconds()
        if put_off > parking.PARKED:
            # The run is resumed: what was parked comes back in the next statement, or by the supervisor.
            if now - self._parked_since.setdefault(task.pk, now) > grace:
                yield f"parked, though its run is not paused, {times}"
            return
        self._parked_since.pop(task.pk, None)
        wait = self._longest_wait(task.queue, now)
        # A second more: the engine counts waits in whole seconds, and time goes on while rows are read.
        if wait is None:
            return
        allowed = max(_grace().total_seconds(), 2 * (wait + self._since_last_look())) * self._slowness
        if put_off > allowed + 1:
            yield f"put off for {put_off:.1f} s, while the queue takes {wait:.1f} s, {times}"

    def _remember(self, now: datetime) -> None:
        waits = present_waits(now)
        self._looks.append((now, waits))
        is_busy = self._capacity is not None and Task.objects.running().count() >= self._capacity
        long = {queue for queue, wait in waits.items() if 2 * wait > _grace().total_seconds()}
        for queue in set(Task.objects.queued().values_list("queue", flat=True)) if is_busy else long:
            self._short_since[queue] = now

    def _since_last_look(self) -> float:
        """For so many seconds nobody has seen whether a queue took longer."""
        return (self._looks[-1][0] - self._looks[-2][0]).total_seconds() if len(self._looks) > 1 else 0.0

    def _longest_wait(self, queue: str, now: datetime) -> float | None:
        """Within the last grace: the engine needs a tick to see a change. ``None`` if it ran dry in that time."""
        begin = now - _grace()
        if self._looks[0][0] > begin:
            return None
        found = [waits.get(queue) for when, waits in self._looks if when >= begin]
        known = [wait for wait in found if wait is not None]
        return max(known) if len(known) == len(found) else None


def present_waits(now: datetime) -> dict[str, float]:
    """How long a message waits now, in seconds, by queue: of those in which something runs.

    The least that a running task has waited, at least the time since the last start.
    """
    waited: defaultdict[str, list[float]] = defaultdict(list)
    since: defaultdict[str, list[float]] = defaultdict(list)
    for task in Task.objects.running():
        waited[task.queue].append((task.started_at - task.queued_at).total_seconds())
        since[task.queue].append((now - task.started_at).total_seconds())
    return {queue: max(min(waited[queue]), min(since[queue])) for queue in waited}


def _grace() -> timedelta:
    return timedelta(seconds=float(director.DISPATCH_GRACE))
