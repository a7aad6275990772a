"""The queues in which tasks wait, since when, and which living workers take tasks from these queues.

With each sign of life a worker writes from which queues it takes tasks. A worker whose queues are not known counts
as one that takes from all, so that no worker is reported as missing by mistake.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from django.db.models import Min, Q, QuerySet
from django.utils.translation import gettext as _

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.dispatch import routing
from django_director.engine.parking import PARKED
from django_director.engine.supervisor.workers import silence_limit
from django_director.models import Run, Task, Worker
from django_director.models.querysets import TaskQuerySet
from django_director.schedules.timings import aware
from django_director.status import TaskStatus

UNSERVED_SECONDS: Final = 300.0
"""A queue without a worker is a problem if its oldest task has waited for so many seconds."""
NAMED: Final = 3
"""How many workers a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The tasks that wait in one queue; the queue's name is empty if Celery's options name none."""

    queue: str
    tasks: int
    since: datetime
    seconds: float


class WorkerRow(Protocol):
    """The columns of a worker that this module reads, and the time at which the database read them."""

    @property
    def name(self) -> str: ...
    @property
    def queues(self) -> list[str] | None: ...
    @property
    def is_watched(self) -> bool: ...
    @property
    def seen_at(self) -> datetime: ...
    @property
    def now(self) -> datetime: ...


class Workers:
    """The living workers, and the queues from which each takes tasks."""

    def __init__(self, rows: Iterable[WorkerRow]) -> None:
        self._queues = {worker.name: worker.queues for worker in rows if is_living(worker)}

    @classmethod
    def load(cls) -> Workers:
        """Read the workers from the database, in one query."""
        return cls(Worker.objects.annotate(now=Now()).order_by("name", "key"))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def has(self, name: str) -> bool:
        """Whether a worker of this name is alive."""
        return name in self._queues

    def of(self, queue: str) -> list[str]:
        """Return the workers that take tasks from this queue, or whose queues are not known."""
        return [name for name, queues in self._queues.items() if queues is None or queue in queues]

    def lack(self, queue: str) -> bool:
        """Whether certainly no worker takes tasks from this queue."""
        return bool(queue) and not self.of(queue)


def of_living_workers() -> QuerySet[Worker, Any]:
    """Return the workers that have given a sign of life lately, see ``is_living``."""
    unwatched = Q(is_watched=False, seen_at__gte=later(-director.LEASE))
    return Worker.objects.filter(Q(seen_at__gte=later(-silence_limit())) | unwatched)


def is_living(worker: WorkerRow) -> bool:
    """Whether a worker has given a sign of life lately; else it counts as lost."""
    seconds = (worker.now - worker.seen_at).total_seconds()
    # A task can hold up the signs of life of a worker whose processes are not watched.
    return seconds <= silence_limit() or (not worker.is_watched and seconds <= director.LEASE)


def waiting_tasks() -> TaskQuerySet:
    """Return the tasks of all runs that wait for a worker. Tasks of paused runs do not count."""
    waiting: TaskQuerySet = Task.objects.all_queued().filter(next_dispatch_at__lt=later(PARKED)).order_by()
    return waiting


def collect(waiting: Iterable[tuple[str, str, int, datetime, datetime]]) -> list[Backlog]:
    """Return for each queue the tasks that wait for a worker, the queue with the oldest first.

    ``waiting`` has a row for each task's name and chosen queue: both, how many tasks wait, since when the oldest
    does, and the database's time.
    """
    found: dict[str, Backlog] = {}
    for name, chosen, number, since, now in waiting:
        queue = routing.queue_of(name, chosen)
        before = found.get(queue)
        oldest = since if before is None else min(since, before.since)
        found[queue] = Backlog(
            queue=queue,
            tasks=number + (0 if before is None else before.tasks),
            since=oldest,
            seconds=max(0.0, (now - oldest).total_seconds()),
        )
    return sorted(found.values(), key=lambda backlog: backlog.since)


def oldest_of(runs: Collection[UUID]) -> dict[UUID, tuple[str, datetime]]:
    """Return for each run the queue of its oldest queued task, and since when that waits. It takes one query.

    Without runs it takes none.
    """
    if not runs:
        return {}
    queued = Task.objects.filter(run__in=list(runs)).queued().order_by()
    found: dict[UUID, tuple[str, datetime]] = {}
    for run, name, chosen, at in queued.values_list("run", "name", "queue").annotate(since=Min("queued_at")):
        queue, since = routing.queue_of(name, chosen), aware(at)
        if queue and since is not None and (run not in found or since < found[run][1]):
            found[run] = queue, since
    return found


def unserved_of(run: Run) -> str:
    """Return the queue in which a task of a run waits and that no worker serves; of several, that of the oldest.

    It is empty if all its queues are served, or if no task waits in one. It takes two queries.
    """
    waiting = run.tasks.queued().filter(unsendable_since=None).order_by()
    kinds = waiting.values_list("name", "queue").annotate(since=Min("queued_at")).order_by("since")
    queues, workers = [routing.queue_of(name, chosen) for name, chosen, _since in kinds], Workers.load()
    return next(filter(workers.lack, queues), "")


def unserved_of_task(task: Task) -> str:
    """Return the queue in which a task waits, if no worker serves it; else an empty text.

    It takes one query for a queued task, and none for others.
    """
    if task.status != TaskStatus.QUEUED or task.unsendable_since is not None or task.run.paused_at is not None:
        return ""
    queue = of_task(task)
    return queue if Workers.load().lack(queue) else ""


def of_task(task: Task) -> str:
    """Return the name of the queue in which a queued task waits; empty if Celery's options name none."""
    return routing.queue_of(task.name, task.queue)


class Names:
    """The names of the queues of many tasks; Celery's options are read once for each task's name and queue."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def of(self, task: Task) -> str:
        """Return the queue in which a queued task waits; for others that of the definition (may be empty)."""
        if task.status != TaskStatus.QUEUED:
            return task.queue
        kind = task.name, task.queue
        if kind not in self._known:
            self._known[kind] = of_task(task)
        return self._known[kind]


def way_out(queue: str) -> str:
    """Return what a person can do so that a worker takes tasks from a queue."""
    return _("start one: celery -A … worker -Q %(queue)s") % {"queue": queue}
