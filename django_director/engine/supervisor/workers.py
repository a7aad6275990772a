"""Signs of life of Celery workers, by which a lost worker is found long before its tasks' leases run out.

A worker writes one small row every few seconds, however many tasks it runs. When it has been silent for
``patience`` seconds its tasks are lost. A worker whose tasks can hold up that sign is not watched: then the leases
of its tasks tell.
"""

from __future__ import annotations

import time
from datetime import datetime

from django.db.models import Exists, OuterRef

from django_director.common.versions import of_process
from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.transactions import connection, in_transaction, statement, update_unlocked
from django_director.engine import outbox, parking
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.queries import read_to_end, run_of
from django_director.models import Task, Worker
from django_director.models.querysets import TaskQuerySet

from .leases import mark_lost

FORGET_SECONDS = 3_600.0
"""How long a worker that has gone without a word is remembered."""


def beat_period() -> float:
    """Seconds between two signs of life."""
    return min(2.0, float(director.LEASE) / 6)


def silence_limit() -> float:
    """Seconds of silence after which a watched worker is suspected to be lost."""
    return min(12.0, float(director.LEASE))


def confirmation_time() -> float:
    """Seconds for which a suspect must stay silent: something that kept it from writing may just have ended."""
    return min(6.0, float(director.LEASE) / 4)


def give_sign(key: int, name: str, *, is_watched: bool, queues: list[str] | None = None) -> None:
    """Write a sign of life of the worker that has this key since its start, and the ``queues`` it takes from."""
    own, now = Worker.objects.filter(pk=key), {"seen_at": Now(), "queues": queues}
    if not statement(lambda: own.update(**now)):
        once = {"key": key, "name": name, "is_watched": is_watched, "versions": of_process()}
        worker = Worker(**once, started_at=Now(), **now)
        statement(lambda: Worker.objects.bulk_create([worker], ignore_conflicts=True))


def remove_worker(key: int) -> None:
    """Forget a worker that ends in good order, unless it leaves running tasks: then its silence will tell."""
    own = Worker.objects.filter(~Exists(_running(OuterRef("pk"))), pk=key)
    statement(own.delete)


class Vigil:
    """The silent workers that one supervisor has seen."""

    def __init__(self) -> None:
        self._suspects: dict[int, tuple[datetime, float]] = {}
        """By key: the last sign, and since when nothing has come after it although the row is free."""
        self._lost: set[int] = set()

    def poll(self) -> tuple[list[int], bool]:
        """Read the signs of life; return the keys of lost workers, and whether one is newly lost."""
        now, before = time.monotonic(), self._suspects
        silent = _silent()
        self._suspects = {
            key: before[key] if key in before and before[key][0] == seen_at else (seen_at, now)
            for key, seen_at in silent
        }
        lost = {key for key, (_, since) in self._suspects.items() if now - since >= confirmation_time()}
        is_new = not lost <= self._lost
        self._lost = lost
        return sorted(lost), is_new


def mark_silent_lost(vigil: Vigil) -> int:
    """Take the running tasks of lost workers from them; return how many."""
    silent, is_new = vigil.poll()
    if not silent:
        return 0
    # A claim and a renewed lease are signs of life too.
    quiet = _running(silent).filter(lease_until__lt=later(director.LEASE - silence_limit()))
    why = f"it gave no sign for {silence_limit():g} s"
    lost = work_on_each(read_to_end(quiet), lambda task: mark_lost(task, why), run_of)
    if is_new:
        _make_queued_due()
    gone = Worker.objects.filter(~Exists(_running(OuterRef("pk"))), seen_at__lt=later(-FORGET_SECONDS))
    statement(gone.delete)
    return lost


def _make_queued_due() -> None:
    """Make queued tasks that were sent due now: a lost worker may have taken their messages."""
    sent = Task.objects.all_queued().filter(next_dispatch_at__gt=Now(), next_dispatch_at__lt=later(parking.PARKED))
    # A task whose message was sent a moment ago is left: another worker is about to take it.
    sent = sent.filter(queued_at__lt=later(-beat_period())).order_by("next_dispatch_at")
    update_unlocked(sent, lambda tasks: tasks.queued().update(next_dispatch_at=Now()), limit=outbox.CHUNK)


@in_transaction()
def _silent() -> list[tuple[int, datetime]]:
    silent = Worker.objects.filter(is_watched=True, seen_at__lt=later(-silence_limit()))
    if connection().features.has_select_for_update_skip_locked:
        # A row that somebody has locked can't be written by its worker either.
        silent = silent.select_for_update(skip_locked=True)
    return list(silent.values_list("pk", "seen_at"))


def _running(keys: object) -> TaskQuerySet:
    chosen = {"worker_key__in": keys} if isinstance(keys, list) else {"worker_key": keys}
    tasks: TaskQuerySet = Task.objects.all_running().filter(**chosen)
    return tasks
