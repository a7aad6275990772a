"""The statuses of runs and tasks, named sets of statuses, and the transitions between them.

Only this module contains the values of statuses, and only ``engine`` writes a status to a row.
"""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import pgettext_lazy


class RunStatus(TextChoices):
    """The statuses of a run."""

    PENDING = "pending", pgettext_lazy("status", "pending")
    RUNNING = "running", pgettext_lazy("status", "running")
    SUCCESS = "success", pgettext_lazy("status", "success")
    FAILED = "failed", pgettext_lazy("status", "failed")
    CANCELED = "canceled", pgettext_lazy("status", "canceled")


class TaskStatus(TextChoices):
    """The statuses of a task."""

    PENDING = "pending", pgettext_lazy("status", "pending")
    QUEUED = "queued", pgettext_lazy("status", "queued")
    RUNNING = "running", pgettext_lazy("status", "running")
    WAITING = "waiting", pgettext_lazy("status", "waiting")
    SUCCESS = "success", pgettext_lazy("status", "success")
    FAILED = "failed", pgettext_lazy("status", "failed")
    CANCELED = "canceled", pgettext_lazy("status", "canceled")
    SKIPPED = "skipped", pgettext_lazy("status", "skipped")
    UPSTREAM_FAILED = "upstream_failed", pgettext_lazy("status", "upstream failed")


class Stop(TextChoices):
    """The reasons why a run starts no further task: the values of ``Run.stop``."""

    NONE = "", "no"
    CANCEL = "cancel", "canceled"
    FAIL_FAST = "fail_fast", "fail fast"
    TIMEOUT = "timeout", "timed out"
    STEP_TIMEOUT = "step_timeout", "the time of the step that started it is up"
    SKIP = "skip", "no slot was free"
    DELETE = "delete", "being deleted"


class Trigger(TextChoices):
    """The ways in which a run is started."""

    MANUAL = "manual", pgettext_lazy("how a run began", "manual")
    ADMIN = "admin", pgettext_lazy("how a run began", "admin")
    API = "api", pgettext_lazy("how a run began", "API")
    COMMAND = "command", pgettext_lazy("how a run began", "command")
    SCHEDULE = "schedule", pgettext_lazy("how a run began", "schedule")
    WORKFLOW = "workflow", pgettext_lazy("how a run began", "workflow")
    WEBHOOK = "webhook", pgettext_lazy("how a run began", "webhook")
    RELAUNCH = "relaunch", pgettext_lazy("how a run began", "relaunch")


RUN_ACTIVE = frozenset({RunStatus.PENDING, RunStatus.RUNNING})
RUN_FINISHED = frozenset({RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.CANCELED})
RUN_RETRYABLE = frozenset({RunStatus.FAILED, RunStatus.CANCELED})
#: The values of ``Run.stop`` with which a run may still start tasks. With ``fail_fast`` only some of them start.
STOP_SPARING = frozenset({Stop.NONE, Stop.FAIL_FAST})

TASK_UNSTARTED = frozenset({TaskStatus.PENDING, TaskStatus.QUEUED, TaskStatus.WAITING})
TASK_ACTIVE = TASK_UNSTARTED | {TaskStatus.RUNNING}
TASK_FINISHED = frozenset(set(TaskStatus) - TASK_ACTIVE)
#: The statuses of the tasks that count as done in a progress: the others have not ended, or never ran.
TASK_DONE = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.SKIPPED})
#: The statuses that a join counts as failed.
TASK_BROKEN = frozenset({TaskStatus.FAILED, TaskStatus.CANCELED, TaskStatus.UPSTREAM_FAILED})
#: The statuses of the tasks that have ended without success.
TASK_UNSUCCESSFUL = TASK_BROKEN | {TaskStatus.SKIPPED}
#: The statuses of the tasks that a retry runs again, with all steps that depend on them.
TASK_RETRYABLE = frozenset({TaskStatus.FAILED, TaskStatus.CANCELED})

RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.CANCELED}),
    RunStatus.RUNNING: RUN_FINISHED,
    **dict.fromkeys(RUN_FINISHED, RUN_ACTIVE),
}

TASK_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.PENDING: frozenset(
        {
            TaskStatus.QUEUED,
            TaskStatus.WAITING,
            TaskStatus.CANCELED,
            TaskStatus.SKIPPED,
            TaskStatus.UPSTREAM_FAILED,
        }
    ),
    TaskStatus.QUEUED: frozenset({TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.CANCELED}),
    TaskStatus.RUNNING: frozenset(
        {
            TaskStatus.SUCCESS,
            TaskStatus.FAILED,
            TaskStatus.CANCELED,
            TaskStatus.SKIPPED,
            TaskStatus.WAITING,
            TaskStatus.QUEUED,
            # An item of a map that a worker has claimed with others and gives back, where `max_parallel` is full.
            TaskStatus.PENDING,
        }
    ),
    TaskStatus.WAITING: frozenset(
        {
            TaskStatus.QUEUED,
            TaskStatus.SUCCESS,
            TaskStatus.FAILED,
            TaskStatus.CANCELED,
            TaskStatus.SKIPPED,
        }
    ),
    # A finished task leaves its status by a reset only. A map whose items are reset waits for them; other tasks
    # are pending again.
    TaskStatus.SUCCESS: frozenset({TaskStatus.PENDING, TaskStatus.WAITING}),
    TaskStatus.SKIPPED: frozenset({TaskStatus.PENDING, TaskStatus.WAITING}),
    TaskStatus.UPSTREAM_FAILED: frozenset({TaskStatus.PENDING}),
    TaskStatus.FAILED: frozenset({TaskStatus.PENDING, TaskStatus.WAITING, TaskStatus.SKIPPED}),
    TaskStatus.CANCELED: frozenset({TaskStatus.PENDING, TaskStatus.WAITING, TaskStatus.SKIPPED}),
}
