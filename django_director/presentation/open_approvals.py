"""What runs wait for people to decide: their own approvals and those of the child runs below them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.db.models import Count, QuerySet

from django_director.models import Run, Task

LEVELS: Final = 4
"""How far down is looked: a run, its child runs, theirs, and theirs again."""


def counts(runs: Collection[UUID]) -> dict[UUID, int]:
    """By run: how many open questions it has, of those that have any. One query; none without runs."""
    found: dict[UUID, int] = {}
    if runs:
        branches = [_asked(place, runs).values_list(place).annotate(Count("pk")) for place in _places()]
        for run, number in branches[0].union(*branches[1:], all=True):
            found[run] = found.get(run, 0) + number
    return found


def first(run: Run, limit: int) -> list[UUID]:
    """The tasks that hold the first open questions of a run, oldest first. One query."""
    own, *others = (_asked(place, [run.pk]).values_list("pk", "asked_at") for place in _places())
    return [task for task, _ in own.union(*others).order_by("asked_at", "pk")[:limit]]


def _places() -> list[str]:
    """Where a run stands, seen from a task of it and from tasks of the child runs below it."""
    return ["run" + "__parent_task__run" * level for level in range(LEVELS)]


def _asked(place: str, runs: Collection[UUID]) -> QuerySet[Task]:
    asked: QuerySet[Task] = Task.objects.asked().filter(**{f"{place}__in": list(runs)}).order_by()
    return asked
