"""Finds tasks that active runs need, but whose code a deployment has removed too early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Final

from django.db.models import Count

from django_director.conf import director
from django_director.definitions import MapStep
from django_director.graph import OWN_TASK
from django_director.models import Run, Task, WorkflowVersion

LISTED: Final = 5
"""How many workflows a warning names."""

Needs = dict[str, dict[str, int]]
"""How many runs of each workflow need a task, by the task's name and the workflow's."""


def orphaned_tasks(known: Collection[str]) -> list[str]:
    """Return a warning for each task that active runs need and that is not among the ``known`` ones."""
    needs: Needs = defaultdict(lambda: defaultdict(int))
    for name, workflow, runs in _unfinished():
        if name not in known:
            needs[name][workflow] = runs
    for name, workflow, runs in _to_come():
        if name not in known:
            needs[name][workflow] = max(needs[name][workflow], runs)
    return [_line(name, needs[name]) for name in sorted(needs)]


def _unfinished() -> Iterator[tuple[str, str, int]]:
    rows = Task.objects.active().exclude(name=OWN_TASK).order_by().values_list("name", "run__workflow__name")
    yield from rows.annotate(Count("run_id", distinct=True))


def _to_come() -> Iterator[tuple[str, str, int]]:
    """Yield tasks that may have no rows yet: the hooks of active runs, and the tasks in their maps."""
    runs = dict(Run.objects.active().order_by().values_list("version").annotate(Count("pk")))
    for version in WorkflowVersion.objects.filter(pk__in=runs).select_related("workflow"):
        definition = version.graph.definition
        bodies = (step for entry in definition.entries() if isinstance(entry, MapStep) for step in entry.body)
        for name in {step.task for step in (*bodies, *definition.hook_steps())}:
            yield name, version.workflow.name, runs[version.pk]


def _line(name: str, runs: dict[str, int]) -> str:
    total = sum(runs.values())
    listed = ", ".join(f"{workflow} ({count:,})" for workflow, count in sorted(runs.items())[:LISTED])
    more = ", …" if len(runs) > LISTED else ""
    need = "run in flight needs" if total == 1 else "runs in flight need"
    return (
        f"{total:,} {need} the task “{name}”, which no longer exists: {listed}{more}. Keep its code until they "
        f"have ended, or cancel them: a task without code fails after {director.UNKNOWN_TASK_TTL:g} s"
    )
