"""Reads for all rows of a list at once: the numbers of tasks of runs by status, and the last runs of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, OuterRef, Subquery

from django_director.models import Run, Task, Workflow


def task_counts(runs: Sequence[Run]) -> dict[Any, dict[str, int]]:
    """Return for each run how many of its tasks are in each status; hooks do not count. It takes one query."""
    counts: dict[Any, dict[str, int]] = {run.pk: {} for run in runs}
    rows = Task.objects.steps().filter(run__in=list(counts)).order_by()
    for run, status, number in rows.values_list("run", "status").annotate(Count("pk")) if counts else ():
        counts[run][status] = number
    return counts


def last_runs(workflows: Sequence[Workflow]) -> dict[int, Run]:
    """Return the newest run of each workflow that has runs.

    It takes one query, which looks into an index once for each workflow.
    """
    newest = Run.objects.filter(workflow=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    chosen = Workflow.objects.filter(pk__in=[workflow.pk for workflow in workflows]).order_by()
    runs = Run.objects.filter(pk__in=chosen.annotate(newest=Subquery(newest)).values("newest"))
    return {run.workflow_id: run for run in runs.defer("payload")}
