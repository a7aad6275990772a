"""What the overview tells of runs that have no outcome yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.models import Run, Task
from django_director.presentation import served_queues
from django_director.presentation.durations import Usual
from django_director.status import TaskStatus

from . import formatting, task_lines


@dataclass(frozen=True, kw_only=True)
class Running:
    """A run that has not ended, as the overview shows it."""

    run: Run
    short_id: str
    badge: SafeString
    finished: int
    total: int
    message: str
    """What its running task reports, with its step; or for what the run waits."""
    taken: str
    usual: str
    """How long runs of this workflow usually take; empty if that is not known."""
    is_late: bool


def describe(run: Any, usual: Usual | None, now: datetime, may: Callable[[str, int], bool]) -> Running:
    """Return what the overview shows of a run of ``active_runs``; ``may`` tells what the user may see of it."""
    taken = formatting.seconds_so_far(run, now)
    speaker = run.speaker if may("view_task", run.workflow_id) else None
    sees_payload = may("view_payload", run.workflow_id)
    return Running(
        run=run,
        short_id=formatting.short_id(run.pk),
        badge=formatting.badge(run.shown_status),
        finished=run.finished,
        total=run.total,
        message=_message(speaker, sees_payload=sees_payload) if speaker else "",
        taken=formatting.roughly(taken),
        usual=formatting.seconds(usual.seconds) if usual else "",
        is_late=run.is_at_work and run.paused_at is None and usual is not None and usual.is_late(taken),
    )


def _message(task: Task, *, sees_payload: bool) -> str:
    label = formatting.name(task.label)
    match task.status:
        case TaskStatus.RUNNING:
            reported = task_lines.progress_text(task, sees_payload=sees_payload)
            return f"{label}: {reported}" if reported else label
        case TaskStatus.QUEUED:
            queue = formatting.name(served_queues.of_task(task))
            return _("%(step)s waits in queue %(queue)s") % {"step": label, "queue": queue}
    if task_lines.is_to_be_tried_again(task):
        text = _("%(step)s has failed and waits to be tried again")
    else:
        text = _("%(step)s waits for approval") if task.asked_at is not None else _("%(step)s waits")
    return text % {"step": label}
