"""Reads for all rows of a list at once: the numbers of tasks of runs by status, and the last runs of workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Case, Count, OuterRef, Subquery, When

from django_director.graph import items
from django_director.models import Gate, Run, Task, Workflow
from django_director.status import TASK_DONE


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many tasks of a run are in each status; hooks do not count."""

    rows: dict[str, int]
    work: dict[str, int]
    """Without the maps that have items: people see these in the place of their map."""


def progress(counts: Mapping[str, int]) -> tuple[int, int]:
    """Return how many tasks are done, and how many there are, from the numbers of ``work_counts``.

    Those are done that have succeeded, failed or been skipped; the others have not ended, or never ran.
    """
    return sum(number for status, number in counts.items() if status in TASK_DONE), sum(counts.values())


def task_counts(runs: Sequence[Run]) -> dict[Any, TaskCounts]:
    """Return for each run how many of its tasks are in each status. It takes one query."""
    counts = {run.pk: TaskCounts({}, {}) for run in runs}
    has_items = Case(When(map_count__gt=0, then=True), default=False, output_field=BooleanField())
    rows = Task.objects.steps().filter(run__in=list(counts)).order_by()
    found = rows.annotate(has_items=has_items).values_list("run", "status", "has_items").annotate(Count("pk"))
    for run, status, is_map, number in found if counts else ():
        for numbers in (counts[run].rows,) if is_map else (counts[run].rows, counts[run].work):
            numbers[status] = numbers.get(status, 0) + number
    return counts


def work_counts(runs: Sequence[Run]) -> dict[Any, dict[str, int]]:
    """Return for each run how many of its tasks are in each status; a map that has items counts by these only.

    It takes one query.
    """
    return {pk: counts.work for pk, counts in task_counts(runs).items()}


def items_to_come(run: Run) -> dict[int, int]:
    """Return for each map of a run that has its items how many of them have not ended, by the map's position.

    It takes one query, which reads one counter for each 64 items. Once `fail_fast` has stopped a run, ends are not
    counted.
    """
    found: dict[int, int] = {}
    counters = Gate.objects.filter(run=run, seq__gte=items.FIRST_COUNTER).order_by()
    for number, remaining in counters.values_list("seq", "remaining"):
        if items.is_lowest(number):
            position = items.map_of_counter(number)
            found[position] = found.get(position, 0) + remaining
    return found


def last_runs(workflows: Sequence[Workflow]) -> dict[int, Run]:
    """Return the newest run of each workflow that has runs.

    It takes one query, which looks into an index once for each workflow.
    """
    newest = Run.objects.filter(workflow=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    chosen = Workflow.objects.filter(pk__in=[workflow.pk for workflow in workflows]).order_by()
    runs = Run.objects.filter(pk__in=chosen.annotate(newest=Subquery(newest)).values("newest"))
    return {run.workflow_id: run for run in runs.defer("payload")}
