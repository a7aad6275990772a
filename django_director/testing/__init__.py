"""Test helpers for projects: whole workflows in-process, in any ``TestCase``, without a broker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django_director import engine
from django_director.dispatch import publisher, routing
from django_director.engine import lineage
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.models.users import User
from django_director.worker import local

from . import dead_end


def run_workflow(name: str, payload: object = None, **options: Any) -> Run:
    """Run the workflow ``name`` to its outcome in this process and return the run.

    Definitions come from the project's files when the database has none of this name. Retries follow at once,
    whatever their delay, and waits end at once. A run that waits for approvals is returned as it is: decide, and
    let it go on, with ``approve`` or ``reject`` of this module. ``options`` are those of
    ``django_director.start``. Raises what ``start`` raises, and ``InvalidDefinitions`` when the files have
    problems. Nothing is sent to a broker meanwhile, also not what tasks send themselves.
    """
    with without_broker():
        run = engine.start(name, payload, publish=False, **options)
        return local.run_to_end(run, skip_delays=True)


def finish(run: Run) -> Run:
    """Run what is left of a run that the code under test has started, in this process, and return the run.

    As ``run_workflow`` otherwise. Raises ``Conflict`` where it does not come to an outcome, which says what it
    waits for: an approval, another run's slot, a resume. A run that has one is returned as it is. Runs that its
    tasks start besides need a ``finish`` of their own.
    """
    run = _carry_on(run)
    if not run.is_finished:
        raise Conflict(
            f"run {run.pk} waits for approval of {_asked_names(run)}: "
            "decide with approve() or reject() of django_director.testing"
        )
    return run


def approve(run: Run, step: str = "", *, user: User = None, comment: str = "") -> Run:
    """Approve ``step`` of a run or its child runs, which waits for that, and run what follows.

    What comes before it is run first. Without ``step`` the only approval that waits. Returns the run as it is
    then. Raises ``Conflict`` as ``django_director.approve`` does, and ``LookupError`` when no single approval
    waits.
    """
    asked = _asked(_carry_on(run), step)
    with without_broker():
        engine.approve(asked, user=user, comment=comment)
    return _carry_on(run)


def reject(run: Run, step: str = "", *, user: User = None, comment: str = "") -> Run:
    """Reject ``step``, as ``approve`` otherwise."""
    asked = _asked(_carry_on(run), step)
    with without_broker():
        engine.reject(asked, user=user, comment=comment)
    return _carry_on(run)


@contextlib.contextmanager
def without_broker() -> Iterator[None]:
    """Let nothing reach the project's broker in this block, or in a function that this decorates.

    Messages of runs are not sent, ``finish`` does what they are about. What code sends itself through the
    project's Celery app is dropped, but for what ``CELERY_TASK_ALWAYS_EAGER`` runs in its place.
    """
    with publisher.silence(), dead_end.in_place_of_broker(routing.app()):
        yield


def _carry_on(run: Run) -> Run:
    with without_broker():
        return local.run_to_end(run, skip_delays=True)


def _asked(run: Run, step: str) -> Task:
    tasks = _tasks(run)
    asked: list[Task] = list(tasks.filter(step=step) if step else tasks.asked())
    if len(asked) == 1:
        return asked[0]
    raise LookupError(f"name the approval: run {run.pk} waits for {_asked_names(run)}")


def _asked_names(run: Run) -> str:
    return ", ".join(f"“{task.label}”" for task in _tasks(run).asked()) or "nothing"


def _tasks(run: Run) -> TaskQuerySet:
    """Return the tasks of the run and of its child runs."""
    return Task.objects.filter(run__in=[run.pk, *lineage.descendants(run.pk)])
