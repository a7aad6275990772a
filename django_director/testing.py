"""Test helpers for projects: whole workflows in-process, in any ``TestCase``, without a broker."""

from __future__ import annotations

from typing import Any

from . import dispatch, engine, local, sync
from .engine import family
from .models import Run, Task, Workflow


def run_workflow(name: str, payload: Any = None, **options: Any) -> Run:
    """Run the workflow ``name`` to its outcome in this process and return the run.

    Definitions come from the project's files when the database has none of this name. Retries follow at once,
    whatever their delay, and waits end at once. A run that waits for approvals is returned as it is: decide, and
    let it go on, with ``approve`` or ``reject`` of this module. ``options`` are those of
    ``django_director.start``. Raises what ``start`` raises, and ``InvalidDefinitions`` when the files have
    problems.
    """
    if not Workflow.objects.active().filter(name=name).exists():
        sync.sync()
    run = engine.start(name, payload, publish=False, **options)
    return local.run_to_end(run, skip_delays=True)


def approve(run: Run, step: str = "", *, user: Any = None, comment: str = "") -> Run:
    """Approve ``step`` of a run or its child runs, which waits for that, and run what follows.

    Without ``step`` the only approval that waits. Returns the run as it is then. Raises ``Conflict`` as
    ``django_director.approve`` does, and ``LookupError`` when no single approval waits.
    """
    with dispatch.withheld():
        engine.approve(_asked(run, step), user=user, comment=comment)
    return local.run_to_end(run, skip_delays=True)


def reject(run: Run, step: str = "", *, user: Any = None, comment: str = "") -> Run:
    """Reject ``step``, as ``approve`` otherwise."""
    with dispatch.withheld():
        engine.reject(_asked(run, step), user=user, comment=comment)
    return local.run_to_end(run, skip_delays=True)


def _asked(run: Run, step: str) -> Task:
    tasks = Task.objects.filter(run__in=[run.pk, *family.descendants(run.pk)])
    asked: list[Task] = list(tasks.filter(step=step) if step else tasks.asked())
    if len(asked) == 1:
        return asked[0]
    known = ", ".join(f"“{task.label}”" for task in tasks.asked()) or "nothing"
    raise LookupError(f"name the approval: run {run.pk} waits for {known}")
