"""The pages of which no picture is taken, since they look like others; browser checks open them too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ON_RUNS = ("cancel", "pause", "relaunch", "relaunch_with_changes", "retry", "history")
ON_TASKS = ("rerun", "skip", "history")


def further_pages(made: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a name and the address of each page; ``made`` is the situation."""
    from django_director.models import Run
    from django_director.presentation import causes
    from tests.integration.admin.pages import address

    failed, imports = made["failed"], made["imports"]
    load = failed.tasks.get(step="LOAD")
    yield "running-task", address("task_change", made["running"].tasks.get(step="STOCK").pk)
    for name in ON_RUNS:
        yield f"run-{name}", address(f"run_{name}", failed.pk)
    for name in ("resume", "cancel_by_force"):
        yield f"run-{name}", address(f"run_{name}", made["running"].pk)
    for name in ON_TASKS:
        yield f"task-{name}", address(f"task_{name}", load.pk)
    for name in ("approve", "reject"):
        yield f"task-{name}", address(f"task_{name}", made["asked"].pk)
    yield "workflow-history", address("workflow_history", imports.pk)
    yield "schedule-add", address("workflow_schedule_add", imports.pk)
    yield "schedule-delete", address("workflow_schedule_delete", imports.pk, made["schedule"].pk)
    failure = Run.objects.get(pk=failed.pk).error
    for name in ("cancel", "retry", "relaunch"):
        yield f"many-{name}", f"{address(f'run_many_{name}')}?cause={causes.key_of(*causes.divide(failure))}"
    yield "runs-filtered", f"{address('run_changelist')}?status__exact=failed&ended=24h"
    yield "runs-nothing", f"{address('run_changelist')}?q=nothing+has+this"
    odd = Run.objects.filter(workflow__name="odd.NAMES").latest("created_at")
    yield "odd-run", address("run_change", odd.pk)
    yield "odd-task", address("task_change", odd.tasks.get().pk)
    yield "odd-workflow", address("workflow_change", odd.workflow_id)
    yield "odd-form", address("workflow_run", odd.workflow_id)
