"""Signs of life of Celery workers: a lost worker is found long before the leases of its tasks have run out.

A worker writes one small row every few seconds, however many tasks it runs. When it has been silent for
``patience`` seconds its tasks are lost. A worker whose tasks can hold up that sign is not watched: then the leases
of its tasks tell.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef

from django_director.clock import Now, later
from django_director.conf import director
from django_director.models import Task, Worker
from django_director.querysets import TaskQuerySet

from .bounds import each
from .recovery import lose, read, run_of
from .transactions import connection, statement, transact

FORGET_SECONDS = 3_600.0
"""How long a worker that has gone without a word is remembered."""


def beat_period() -> float:
    """Seconds between two signs of life."""
    return min(4.0, float(director.LEASE) / 6)


def patience() -> float:
    """Seconds of silence after which a watched worker is lost."""
    return min(15.0, float(director.LEASE))


def beat(key: int, name: str, *, is_watched: bool) -> None:
    """Write a sign of life of the worker that has this key since its start."""
    own = Worker.objects.filter(pk=key)
    if not statement(lambda: own.update(seen_at=Now())):
        worker = Worker(key=key, name=name, is_watched=is_watched, started_at=Now(), seen_at=Now())
        statement(lambda: Worker.objects.bulk_create([worker], ignore_conflicts=True))


def leave(key: int) -> None:
    """Forget a worker that ends in good order; one that leaves tasks behind is found by its silence."""
    own = Worker.objects.filter(~Exists(_running(OuterRef("pk"))), pk=key)
    statement(own.delete)


def lose_silent() -> int:
    """Take their tasks from the workers that have been silent for too long; return how many tasks that were."""
    silent = transact(_silent)
    if not silent:
        return 0
    why = f"it gave no sign for {patience():g} s"
    # A claim and a renewed lease are signs of life too.
    quiet = _running(silent).filter(lease_until__lt=later(director.LEASE - patience()))
    lost = each(read(quiet), lambda task: lose(task, why), run_of)
    gone = Worker.objects.filter(~Exists(_running(OuterRef("pk"))), seen_at__lt=later(-FORGET_SECONDS))
    statement(gone.delete)
    return lost


def _silent() -> list[int]:
    silent = Worker.objects.filter(is_watched=True, seen_at__lt=later(-patience()))
    if connection().features.has_select_for_update_skip_locked:
        # A row that somebody has locked can't be written by its worker either.
        silent = silent.select_for_update(skip_locked=True)
    return list(silent.values_list("pk", flat=True))


def _running(keys: object) -> TaskQuerySet:
    chosen = {"worker_key__in": keys} if isinstance(keys, list) else {"worker_key": keys}
    tasks: TaskQuerySet = Task.objects.all_running().filter(**chosen)
    return tasks
