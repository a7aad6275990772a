"""Parking: queued tasks of a paused run are put off to the far future, and are made due when it is resumed.

A parked task stays queued. A worker parks a task that it would start, the supervisor one that it would publish.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef

from django_director.db.functions import Now, later
from django_director.db.transactions import PATIENCE, update_unlocked
from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import STOP_SPARING

CHUNK: Final = 5_000
_YEAR: Final = 365 * 86_400.0
FAR: Final = 1_000 * _YEAR
"""Seconds from now until a parked task would be due."""
PARKED: Final = FAR / 2
"""Seconds from now after which only parked tasks are due."""


def defer(tasks: TaskQuerySet, *, patience: float = PATIENCE) -> int:
    """Put off those of ``tasks`` whose run is paused; return how many. For ``patience`` see ``transact``."""
    return update_unlocked(
        _paused(tasks), lambda rows: _paused(rows).update(next_dispatch_at=later(FAR)), patience=patience
    )


def defer_ids(chosen: Collection[UUID], *, patience: float = PATIENCE) -> int:
    """Put off those of the tasks with these ids whose run is paused; return how many."""
    return defer(Task.objects.filter(pk__in=chosen), patience=patience) if chosen else 0


def release(run_id: UUID) -> int:
    """Make the parked tasks of a resumed run due now; return how many tasks that were."""
    return _release(parked().filter(run_id=run_id))


def release_forgotten() -> int:
    """Make the parked tasks of all runs that are not paused due now; return how many tasks that were.

    A worker that has not seen the resume may park a task after it.
    """
    return _release(parked().filter(run__paused_at=None))


def parked() -> TaskQuerySet:
    """Queued tasks that are put off."""
    tasks: TaskQuerySet = Task.objects.queued().filter(next_dispatch_at__gt=later(PARKED))
    return tasks


def _paused(tasks: TaskQuerySet) -> TaskQuerySet:
    paused = Run.objects.filter(pk=OuterRef("run_id"), paused_at__isnull=False, stop__in=STOP_SPARING)
    return tasks.queued().steps().filter(Exists(paused))


def _release(rows: TaskQuerySet) -> int:
    released = 0
    # What another session has locked is left to the next look.
    while done := update_unlocked(rows.order_by(), _make_due, limit=CHUNK):
        released += done
    return released


def _make_due(tasks: TaskQuerySet) -> int:
    # A pause is no time in the queue: other messages would seem to take as long.
    return tasks.queued().update(queued_at=Now(), next_dispatch_at=Now(), dispatches=0)
