"""What people do with workflows, runs and tasks: one table that the admin, the API and the commands read.

A face finds the row, asks whether the user may, calls the action and says in its own words how that went.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from django.db.models import Model

from django_director import engine
from django_director.access.authorization import action_to_decide, require
from django_director.engine.history import PAST
from django_director.exceptions import Conflict
from django_director.masking.values import holds_mask, refuse_mask
from django_director.models import Run, Task, Workflow
from django_director.models.users import User
from django_director.status import (
    RUN_ACTIVE,
    RUN_RETRYABLE,
    STOP_SPARING,
    TASK_FINISHED,
    TASK_RETRYABLE,
    TASK_UNSTARTED,
    TaskStatus,
)

from .summaries import work_counts

Row: TypeAlias = Workflow | Run | Task
"""A row that people act on."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that a person may do with a row."""

    verb: str
    """Its name in addresses and in ``django_director``."""
    of: type[Model]
    """The model of the rows that people do this to."""
    operation: Callable[..., Any]
    """The function of ``engine`` that does it. It takes the row, ``user``, ``via`` and options of its own."""
    permission: str | None
    """The action that ``authorization`` must allow; ``None`` for a decision: there the approval names it."""
    is_possible: Callable[[Any], bool]
    """Returns whether a page may offer this for a row in its state; the operation checks the row again."""
    preview: Callable[..., Any]
    """Returns what the operation would do, and changes nothing. Raises what the operation would raise."""

    @property
    def done(self) -> str:
        """Return the verb in the past tense, such as "Canceled"."""
        return PAST[self.verb]

    def asks_for(self, row: Any) -> str:
        """Return the action that ``authorization`` must allow before a user does this to ``row``."""
        return action_to_decide(row) if self.permission is None else self.permission

    def require(self, user: User, row: Row) -> None:
        """Raise ``NotAllowed`` if ``user`` may not do this to ``row``."""
        require(user, self.asks_for(row), workflow_of(row))


@dataclass(frozen=True, kw_only=True)
class StatusCounts:
    """How many tasks of a run are in which status before somebody cancels, pauses or resumes it; without hooks."""

    queued: int
    waiting: int
    unstarted: int
    """Tasks that have not started yet; the queued and the waiting ones count here too."""
    running: int
    ended: int


def workflow_of(row: Row) -> Workflow:
    """Return the workflow of a run or task; a workflow is its own."""
    found: Workflow = row if isinstance(row, Workflow) else (row.run if isinstance(row, Task) else row).workflow
    return found


def is_root(run: Run) -> bool:
    """Whether the run has no parent: people pause, resume and retry a child run through its root."""
    return run.parent_task_id is None


def start(workflow: Workflow | str, payload: object, **options: Any) -> Run:
    """Start a run of a workflow with a payload that a person has entered; ``options`` go to ``engine.start``.

    Raises ``InvalidPayload`` where ``********``, copied from a page, stands in place of a secret.
    """
    if holds_mask(payload):
        found = engine.workflow_named(workflow) if isinstance(workflow, str) else workflow
        if found is not None and found.current_version is not None:
            refuse_mask(payload, found.current_version.graph.definition.schema)
    return engine.start(workflow, payload, **options)


def can_be_forced(run: Run) -> bool:
    """Whether a run is being canceled, so that nothing is left of a cancel but to end its running tasks too."""
    return not run.is_finished and not ACTIONS["cancel"].is_possible(run)


def _can_be_reset(task: Task) -> bool:
    return is_root(task.run) and task.run.is_finished and not task.is_hook


def is_asked(task: Task) -> bool:
    """Whether the task is an approval that waits for a decision."""
    return task.asked_at is not None and task.status == TaskStatus.WAITING


def _preview_cancel(run: Run) -> StatusCounts:
    _refuse("cancel", run, run.is_finished)
    return _count_statuses(run)


def _preview_pause(run: Run) -> StatusCounts:
    engine.refuse_child(run, "paused")
    _refuse("pause", run, run.shown_status not in RUN_ACTIVE)
    return _count_statuses(run)


def _preview_resume(run: Run) -> StatusCounts:
    engine.refuse_child(run, "resumed")
    _refuse("resume", run, run.shown_status != "paused")
    return _count_statuses(run)


def _refuse(verb: str, run: Run, is_impossible: bool) -> None:
    if is_impossible:
        raise Conflict(f"run {run.pk} can't be {PAST[verb].lower()}: its status is {run.shown_status}")


def _count_statuses(run: Run) -> StatusCounts:
    counts = work_counts([run])[run.pk]
    return StatusCounts(
        queued=counts.get(TaskStatus.QUEUED, 0),
        waiting=counts.get(TaskStatus.WAITING, 0),
        unstarted=sum(counts.get(status, 0) for status in TASK_UNSTARTED),
        running=counts.get(TaskStatus.RUNNING, 0),
        ended=sum(counts.get(status, 0) for status in TASK_FINISHED),
    )


def _preview_decision(verb: str) -> Callable[[Task], None]:
    return lambda task: engine.check_waits(task, PAST[verb].lower())


ACTIONS: Final = {
    action.verb: action
    for action in (
        Action(
            verb="start",
            of=Workflow,
            operation=start,
            permission="run",
            is_possible=lambda workflow: workflow.is_active and workflow.current_version_id is not None,
            preview=engine.current_version,
        ),
        Action(
            verb="cancel",
            of=Run,
            operation=engine.cancel,
            permission="cancel",
            is_possible=lambda run: not run.is_finished and run.stop in STOP_SPARING,
            preview=_preview_cancel,
        ),
        Action(
            verb="pause",
            of=Run,
            operation=engine.pause,
            permission="cancel",
            is_possible=lambda run: is_root(run) and run.shown_status in RUN_ACTIVE,
            preview=_preview_pause,
        ),
        Action(
            verb="resume",
            of=Run,
            operation=engine.resume,
            permission="cancel",
            is_possible=lambda run: is_root(run) and run.shown_status == "paused",
            preview=_preview_resume,
        ),
        Action(
            verb="retry",
            of=Run,
            operation=engine.retry,
            permission="retry",
            is_possible=lambda run: is_root(run) and run.status in RUN_RETRYABLE,
            preview=engine.preview_retry,
        ),
        Action(
            verb="relaunch",
            of=Run,
            operation=engine.relaunch,
            permission="retry",
            is_possible=lambda run: run.is_finished,
            preview=engine.preview_relaunch,
        ),
        Action(
            verb="rerun",
            of=Task,
            operation=engine.rerun,
            permission="retry",
            is_possible=_can_be_reset,
            preview=engine.preview_rerun,
        ),
        Action(
            verb="skip",
            of=Task,
            operation=engine.skip,
            permission="retry",
            is_possible=lambda task: _can_be_reset(task) and task.status in TASK_RETRYABLE,
            preview=engine.preview_skip,
        ),
        Action(
            verb="approve",
            of=Task,
            operation=engine.approve,
            permission=None,
            is_possible=is_asked,
            preview=_preview_decision("approve"),
        ),
        Action(
            verb="reject",
            of=Task,
            operation=engine.reject,
            permission=None,
            is_possible=is_asked,
            preview=_preview_decision("reject"),
        ),
    )
}
"""All actions that start or steer something, by their verbs."""
