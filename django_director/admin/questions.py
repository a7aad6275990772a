"""What a run waits for people to decide, as its page shows it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_director.access.authorization import is_allowed, to_decide
from django_director.models import Run, Task

from . import decisions


def read(run: Run, chosen: list[UUID]) -> list[Task]:
    """These tasks in this order, with their runs. One query, if there are any."""
    if not chosen:
        return []
    rows = Task.objects.for_listing().select_related("run__workflow", "run__version")
    heavy = ("run__payload", "run__version__definition", "run__version__source")
    found = rows.defer(*heavy).in_bulk(chosen)
    for task in found.values():
        if task.run_id == run.pk:
            task.run = run
    return [found[pk] for pk in chosen if pk in found]


def shown(run: Run, task: Task, user: Any) -> dict[str, Any] | None:
    """One question for the page of ``run``; ``None`` where ``user`` may not see the run that asks it."""
    workflow = task.run.workflow
    if task.run_id != run.pk and not is_allowed(user, "view_run", workflow):
        return None
    return {
        "task": task,
        "prompt": decisions.prompt(task),
        "child": task.run if task.run_id != run.pk else None,
        "buttons": list(decisions.ALL.values()) if is_allowed(user, to_decide(task), workflow) else [],
    }
