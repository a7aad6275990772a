"""Lineage: a root run, the child runs that its steps have started, and the child runs of those."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django_director.exceptions import NotRoot
from django_director.models import Run, Task


def ancestors(run: Run) -> Iterator[Run]:
    """Yield the run that has started ``run``, the run that has started that one, and so on, one query each."""
    above = Run.objects.select_related("workflow").only("parent_task", "workflow__name")
    while run.parent_task_id is not None:
        run = above.get(tasks=run.parent_task_id)
        yield run


def descendants(run_id: UUID) -> list[UUID]:
    """Return the ids of all runs below a run, parents before children. One query for each level."""
    found: list[UUID] = []
    level = [run_id]
    while level:
        level = list(Run.objects.filter(parent_task__run__in=level).values_list("pk", flat=True))
        found += level
    return found


def refuse_child(what: Run | Task, verb: str) -> None:
    """Raise ``NotRoot`` for a child run or a task of one, as only its root can be steered; the error names it."""
    run = what.run if isinstance(what, Task) else what
    if run.parent_task_id is None:
        return
    *_, root = ancestors(run)
    named = f"task “{what.label}” of run {run.pk}" if isinstance(what, Task) else f"run {run.pk}"
    raise NotRoot(f"{named} can't be {verb}", run.pk, root.pk, root.workflow.pk)
