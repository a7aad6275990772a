"""Leases that have run out although their workers live: they are seen twice before tasks are taken away.

Another session may have locked the row for longer than its lease, so that it could not be renewed. The worker does
so within moments when the lock ends, and must not find that the supervisor was faster.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final
from uuid import UUID

from django_director.db.functions import later
from django_director.db.transactions import BATCH, statement, unlocked
from django_director.models import Task, Worker

from .workers import silence_limit

CONFIRMATION: Final = 3.0
"""Seconds for which such a lease must be seen not to be renewed, its row being free."""

Key = tuple[UUID, int | None]


class Lapses:
    """The lapsed leases of live workers that one supervisor has seen."""

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}

    def confirmed(self, lapsed: list[Task]) -> list[Task]:
        """Return the tasks among ``lapsed`` that may be taken from their workers now."""
        doubtful = self._of_live_workers(lapsed)
        free = _free(doubtful)
        now = time.monotonic()
        self._since = {key: self._since.get(key, now) for key in free}
        ripe = {key for key, since in self._since.items() if now - since >= CONFIRMATION}
        return [task for task in lapsed if _key(task) not in doubtful or _key(task) in ripe]

    def _of_live_workers(self, lapsed: list[Task]) -> set[Key]:
        keys = {task.worker_key for task in lapsed if task.worker_key is not None}
        if not keys:
            return set()
        live = Worker.objects.filter(pk__in=keys, is_watched=True, seen_at__gte=later(-silence_limit()))
        found: set[int] = set(statement(partial(list, live.values_list("pk", flat=True))))
        return {_key(task) for task in lapsed if task.worker_key in found}


def _key(task: Task) -> Key:
    return task.pk, task.claim


def _free(keys: set[Key]) -> set[Key]:
    """Return the ``keys`` whose rows nobody has locked."""
    if not keys:
        return set()
    rows = unlocked(Task.objects.filter(pk__in=[task_id for task_id, _ in keys]).order_by("pk"), BATCH)
    found: set[UUID] = set(statement(partial(list, rows.values_list("pk", flat=True))))
    return {key for key in keys if key[0] in found}
