"""Probes: the few messages that are sent again to a queue in which nothing runs.

There may be no worker for days, and each further message would stand before later ones in the queue. So only the
last messages that were sent to a queue are sent again: its probes. Messages are taken in order. When a probe is
taken and then nothing starts any more, all earlier messages of tasks that are still queued are lost, and are sent
again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from django.db.models import F, Q

from django_director.db.functions import Now, later
from django_director.db.transactions import update_unlocked
from django_director.dispatch import routing
from django_director.engine import outbox, parking
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import TaskStatus

PROBES: Final = 3


class Probes(NamedTuple):
    """The probes of one queue."""

    tasks: frozenset[UUID]
    since: datetime
    """When they were chosen, by the database's clock."""


class Watch(Protocol):
    """What must be known of queues to tell what became of their probes."""

    @property
    def probes(self) -> dict[str, Probes]: ...

    def is_still(self, queue: str) -> bool:
        """Whether nothing has started in a queue for a while."""


def choose_probes(watch: Watch, queue: str) -> frozenset[UUID]:
    """Return the probes of a queue in which nothing runs. If it has none, they are chosen and made due now."""
    if queue not in watch.probes:
        chosen = _choose(queue)
        if chosen is None:
            return frozenset()
        watch.probes[queue] = chosen
    return watch.probes[queue].tasks


def release(watch: Watch) -> int:
    """Make tasks whose messages have turned out to be lost due now; return how many.

    Those are tasks sent before probes that were taken, if nothing starts any more or all probes were taken.
    """
    released = 0
    rows = _rows(watch)
    for queue, (tasks, since) in list(watch.probes.items()):
        found = [rows[task] for task in tasks if task in rows]
        is_taken = any(row.is_taken(since) for row in found)
        is_waiting = any(row.is_waiting(since) for row in found)
        if is_waiting and not (is_taken and watch.is_still(queue)):
            continue
        del watch.probes[queue]
        if is_taken:
            released += _release(_sent(queue).filter(queued_at__lte=since))
    return released


class _Row(NamedTuple):
    pk: UUID
    status: str
    started_at: datetime | None
    run__paused_at: datetime | None

    def is_taken(self, since: datetime) -> bool:
        return self.started_at is not None and self.started_at > since

    def is_waiting(self, since: datetime) -> bool:
        may_start = self.status == TaskStatus.QUEUED and self.run__paused_at is None
        return may_start and not self.is_taken(since)


def _rows(watch: Watch) -> dict[UUID, _Row]:
    tasks = [task for found in watch.probes.values() for task in found.tasks]
    rows = Task.objects.filter(pk__in=tasks).values_list(*_Row._fields) if tasks else ()
    return {row[0]: _Row(*row) for row in rows}


def _choose(queue: str) -> Probes | None:
    rows = _sent(queue).filter(run__paused_at=None).annotate(as_of=Now())
    # Of those that were queued together the one that was sent last is due last.
    last = list(rows.order_by("-queued_at", "-next_dispatch_at").values_list("pk", "as_of")[:PROBES])
    if not last:
        return None
    tasks = [task for task, _ in last]
    later_on = Task.objects.filter(pk__in=tasks, next_dispatch_at__gt=Now()).queued()
    update_unlocked(later_on, lambda found: found.queued().update(next_dispatch_at=Now()))
    return Probes(frozenset(tasks), last[0][1])


def _sent(queue: str) -> TaskQuerySet:
    """Queued tasks whose messages were sent to a queue, and that may start."""
    unnamed = Task.objects.all_queued().filter(queue="").order_by().values_list("name", flat=True).distinct()
    names = [name for name in unnamed if routing.destination(name, "") == queue]
    sent: TaskQuerySet = Task.objects.all_queued().filter(
        Q(queue=queue) | Q(queue="", name__in=names),
        next_dispatch_at__gt=F("queued_at"),
        next_dispatch_at__lt=later(parking.PARKED),
        unknown_since=None,
        unsendable_since=None,
    )
    return sent


def _release(lost: TaskQuerySet) -> int:
    released = 0
    while chunk := list(lost.values_list("pk", flat=True)[: outbox.CHUNK]):
        released += (done := outbox.expedite(chunk))
        if done < len(chunk):
            # The rest is locked.
            break
    return released
