"""Reads runs that have no outcome yet, with how far each is and what it does now."""

from __future__ import annotations

import json
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject

from django_director.models import Run, Task
from django_director.models.querysets import RunQuerySet, TaskQuerySet
from django_director.status import TASK_DONE, TaskStatus

COUNTED: Final = 1_000
"""Among so many active runs those that were retried are counted."""
SPEAKER: Final = (
    "step",
    "map_index",
    "is_hook",
    "status",
    "name",
    "queue",
    "progress",
    "asked_at",
    "not_before",
    "failures",
)
"""The columns of the task that tells what a run does; the times are texts."""


_WORKS: Final = Q(status__in=(TaskStatus.QUEUED, TaskStatus.RUNNING)) | Q(
    status=TaskStatus.WAITING, asked_at=None, deadline_at=None
)
"""A task on which a worker works or should. Waiting approvals have ``asked_at``, and waits ``deadline_at``."""


def count_retried(runs: RunQuerySet) -> int:
    """Return how many of the newest ``COUNTED`` active root runs have been retried, in one query."""
    newest = runs.active().roots().order_by("-pk").values_list("generation", flat=True)[:COUNTED]
    return sum(generation > 0 for generation in newest)


def read(runs: RunQuerySet, number: int) -> list[Any]:
    """Return the newest active root runs among ``runs``, at most ``number``, in one query.

    Each has ``finished`` and ``total``, its progress as ``summaries.progress`` counts it, and ``speaker``: the
    task that tells what the run does, with the columns of ``SPEAKER`` only. It is the one that a worker has
    started last, or else one that waits; ``None`` if there is none. ``is_at_work`` is false while all that it has
    begun are approvals and waits, which take as long as they take.
    """
    tasks = Task.objects.filter(run=OuterRef("pk")).order_by()
    chosen = runs.active().roots().for_listing().order_by("-pk")
    found = chosen.annotate(
        counted=Subquery(_counted(tasks.steps().exclude(map_count__gt=0))),
        running=Subquery(_described(tasks.all_running().order_by("-started_at"))),
        waiting=Subquery(_described(tasks.filter(status__in=(TaskStatus.QUEUED, TaskStatus.WAITING)))),
        is_at_work=Exists(tasks.filter(_WORKS)),
    )
    rows: list[Any] = list(found[:number])
    for run in rows:
        counted = run.counted or {}
        run.finished, run.total = counted.get("finished", 0), counted.get("total", 0)
        run.speaker = _task(run, run.running or run.waiting)
    return rows


def _counted(tasks: TaskQuerySet) -> QuerySet[Any, dict[str, Any]]:
    done = Count("pk", filter=Q(status__in=TASK_DONE))
    numbers: QuerySet[Any, Any] = tasks.values("run").annotate(total=Count("pk"), finished=done)
    return numbers.values(found=JSONObject(total="total", finished="finished"))


def _described(tasks: TaskQuerySet) -> QuerySet[Any, dict[str, Any]]:
    return tasks.values(found=JSONObject(**{name: name for name in SPEAKER}))[:1]


def _task(run: Run, found: dict[str, Any] | None) -> Task | None:
    """Return the task that a JSON object describes. Some databases nest JSON in JSON as a text."""
    if found is None:
        return None
    progress = found["progress"]
    return Task(run=run, **{**found, "progress": json.loads(progress) if isinstance(progress, str) else progress})
