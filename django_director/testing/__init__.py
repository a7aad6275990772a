"""Functions for the tests of projects: they run whole workflows in the process of the test, without a broker."""

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

    If the database has no workflow of this name, the workflow files of the project are read first. Retries follow
    at once, whatever their delay, and waits end at once. A run that waits for an approval is returned unfinished:
    ``approve`` and ``reject`` of this module decide and run the rest. ``options`` are those of
    ``django_director.start``. No message reaches a broker, not even a message that a task itself sends.

    Raises the errors of ``start``, and ``InvalidDefinitions`` if the workflow files have problems.
    """
    with without_broker():
        run = engine.start(name, payload, publish=False, **options)
        return local.run_to_end(run, skip_delays=True)


def finish(run: Run) -> Run:
    """Run a run that the code under test has started to its outcome, in this process, and return the run.

    Retries, waits and messages are treated like in ``run_workflow``. A run that has an outcome is returned
    unchanged. A run that the tasks of this run start by themselves is not run: call ``finish`` with it too.

    Raises ``Conflict`` if the run does not get an outcome. The text says what it waits for: an approval, a slot
    that another run holds, or a resume.
    """
    run = _run_further(run)
    if not run.is_finished:
        raise Conflict(
            f"run {run.pk} waits for approval of {_name_approvals(run)}: "
            "decide with approve() or reject() of django_director.testing"
        )
    return run


def approve(run: Run, step: str = "", *, user: User = None, comment: str = "") -> Run:
    """Approve the step ``step`` of a run or of its child runs; return the run, after all that can run has run.

    Steps before the approval are run first. Without ``step`` the only waiting approval is approved. Raises the
    errors of ``django_director.approve``, and ``LookupError`` unless exactly one approval is meant.
    """
    asked = _find_approval(_run_further(run), step)
    with without_broker():
        engine.approve(asked, user=user, comment=comment)
    return _run_further(run)


def reject(run: Run, step: str = "", *, user: User = None, comment: str = "") -> Run:
    """Reject the step ``step`` of a run or of its child runs; return the run, after all that can run has run.

    Steps before the approval are run first. Without ``step`` the only waiting approval is rejected. Raises the
    errors of ``django_director.reject``, and ``LookupError`` unless exactly one approval is meant.
    """
    asked = _find_approval(_run_further(run), step)
    with without_broker():
        engine.reject(asked, user=user, comment=comment)
    return _run_further(run)


@contextlib.contextmanager
def without_broker() -> Iterator[None]:
    """Send nothing to the project's broker in this block, or in a function that this context manager decorates.

    Runs that start in the block send no messages: ``finish`` runs their tasks. Messages that other code sends
    through the project's Celery app are dropped, unless ``CELERY_TASK_ALWAYS_EAGER`` runs their tasks at once.
    """
    with publisher.silence(), dead_end.in_place_of_broker(routing.app()):
        yield


def _run_further(run: Run) -> Run:
    """Run all tasks of a run that can run now; return the run."""
    with without_broker():
        return local.run_to_end(run, skip_delays=True)


def _find_approval(run: Run, step: str) -> Task:
    """Return the waiting approval ``step``; without ``step`` the only one. Raises ``LookupError``."""
    tasks = _tasks_below(run)
    asked: list[Task] = list(tasks.filter(step=step) if step else tasks.asked())
    if len(asked) == 1:
        return asked[0]
    raise LookupError(f"name the approval: run {run.pk} waits for {_name_approvals(run)}")


def _name_approvals(run: Run) -> str:
    """Return the names of the waiting approvals of a run, for a message."""
    return ", ".join(f"“{task.label}”" for task in _tasks_below(run).asked()) or "nothing"


def _tasks_below(run: Run) -> TaskQuerySet:
    """Return the tasks of the run and of its child runs."""
    return Task.objects.filter(run__in=[run.pk, *lineage.descendants(run.pk)])
