"""Describes a task on one line or in a badge: its status, what it waits for, and why it failed."""

from __future__ import annotations

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.models import Task
from django_director.presentation import served_queues, silent_workers, visible_errors
from django_director.status import TaskStatus

from . import formatting, reasons
from .decisions import prompt


def _waiting_text(task: Task) -> str:
    """Return what a task waits for; empty if it does not wait for a person or a time."""
    if task.status != TaskStatus.WAITING or is_to_be_tried_again(task):
        return ""
    parts = [reasons.translate(task.reason)] if task.reason else []
    until = task.deadline_at or task.not_before
    if until is not None:
        parts.append(_("until %(moment)s") % {"moment": formatting.moment(until)})
    if task.asked_at is not None and (asked := prompt(task)):
        parts.append(formatting.quoted(formatting.name(asked)))
    return " ".join(parts)


def explain_status(task: Task, *, sees_payload: bool) -> str:
    """Return why a task is in its status, on one line."""
    error = visible_errors.of_task(task.error, sees_payload=sees_payload)
    reason = visible_errors.reason(task.reason, sees_payload=sees_payload)
    text = _waiting_text(task) or reasons.translate(error or reason)
    if is_to_be_tried_again(task):
        text = f"{_retry_text(task)} {text}"
    return formatting.error_line("; ".join(filter(None, [_silent_text(task), _queued_text(task), text])))


def is_to_be_tried_again(task: Task) -> bool:
    """Whether an attempt has failed and the task waits for the time of the next one."""
    return task.status == TaskStatus.WAITING and task.not_before is not None and task.failures > 0


def _retry_text(task: Task) -> str:
    """Return which attempt comes next, and when."""
    policy = getattr(task.run.version.graph.node(task.position), "retry", None)
    number = formatting.number(task.attempt + 1) + (
        f" / {formatting.number(policy.max + 1)}" if policy is not None else ""
    )
    return _("attempt %(number)s at %(moment)s, after") % {
        "number": number,
        "moment": formatting.moment(task.not_before),
    }


def _queued_text(task: Task) -> str:
    """Return in which queue a queued task waits, and since when; empty for other tasks and if it can't be sent."""
    if task.status != TaskStatus.QUEUED or task.unsendable_since is not None:
        return ""
    if task.run.paused_at is not None:
        return _("held back while the run is paused")
    queue = formatting.name(served_queues.of_task(task))
    text = _("in queue “%(queue)s” since %(since)s") if queue else _("in a queue since %(since)s")
    return text % {"queue": queue, "since": formatting.moment(task.queued_at)}


def _silent_text(task: Task) -> str:
    """Return that the worker of a running task gives no sign; empty if it does, or if that was not read."""
    if not silent_workers.is_marked(task):
        return ""
    return _("its worker %(worker)s gives no sign") % {"worker": formatting.name(task.worker)}


def progress_text(task: Task, *, sees_payload: bool) -> str:
    """Return what a running task reports: how far it is, and its message."""
    value = visible_errors.progress(task.progress, sees_payload=sees_payload)
    if value is None:
        return ""
    total = f"/{formatting.number(value['total'])}" if value.get("total") else ""
    return f"{formatting.number(value['done'])}{total} {value.get('message') or ''}".strip()


def badge(task: Task) -> SafeString:
    """Return the status of a task as a badge, which also says if it waits for approval or to be tried again."""
    label = _("waiting for approval") if task.asked_at is not None else ""
    label = _("waiting to be tried again") if is_to_be_tried_again(task) else label
    return formatting.badge(task.status, label if task.status == TaskStatus.WAITING else "")
