"""The approvals for which runs wait: their own, and those of the child runs below them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.db.models import Count, QuerySet

from django_director.models import Run, Task

LEVELS: Final = 4
"""How many levels of runs are searched: a run, its child runs, and two levels below these."""


def count_by_run(runs: Collection[UUID]) -> dict[UUID, int]:
    """Return how many open approvals each run has, without runs that have none. It takes one query.

    Without runs it takes none.
    """
    found: dict[UUID, int] = {}
    if runs:
        branches = [_asked(place, runs).values_list(place).annotate(Count("pk")) for place in _places()]
        for run, number in branches[0].union(*branches[1:], all=True):
            found[run] = found.get(run, 0) + number
    return found


def oldest(run: Run, limit: int) -> list[UUID]:
    """Return the ids of the first open approvals of a run, the oldest first. It takes one query."""
    own, *others = (_asked(place, [run.pk]).values_list("pk", "asked_at") for place in _places())
    return [task for task, _ in own.union(*others).order_by("asked_at", "pk")[:limit]]


def runs_above(tasks: QuerySet[Task], limit: int) -> set[UUID]:
    """Return the runs of the first ``limit`` tasks, and the runs above these. It takes one query."""
    rows = tasks.values_list(*(f"{place}_id" for place in _places()))[:limit]
    return {run for row in rows for run in row if run is not None}


def _places() -> list[str]:
    """Return the paths that lead to a run from its own tasks, and from those of child runs below it."""
    return ["run" + "__parent_task__run" * level for level in range(LEVELS)]


def _asked(place: str, runs: Collection[UUID]) -> QuerySet[Task]:
    asked: QuerySet[Task] = Task.objects.asked().filter(**{f"{place}__in": list(runs)}).order_by()
    return asked
