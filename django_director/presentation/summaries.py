"""Reads for all rows of a list at once: the numbers of tasks of runs by status, and the last runs of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, OuterRef, Subquery

from django_director.graph import items
from django_director.models import Gate, Run, Task, Workflow
from django_director.models.querysets import TaskQuerySet


def task_counts(runs: Sequence[Run]) -> dict[Any, dict[str, int]]:
    """Return for each run how many of its tasks are in each status; hooks do not count. It takes one query."""
    return _counts(runs, Task.objects.steps())


def work_counts(runs: Sequence[Run]) -> dict[Any, dict[str, int]]:
    """Return for each run how many of its tasks are in each status; a map that has items counts by these only.

    It takes one query.
    """
    return _counts(runs, Task.objects.steps().exclude(map_count__gt=0))


def _counts(runs: Sequence[Run], tasks: TaskQuerySet) -> dict[Any, dict[str, int]]:
    counts: dict[Any, dict[str, int]] = {run.pk: {} for run in runs}
    rows = tasks.filter(run__in=list(counts)).order_by()
    for run, status, number in rows.values_list("run", "status").annotate(Count("pk")) if counts else ():
        counts[run][status] = number
    return counts


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
