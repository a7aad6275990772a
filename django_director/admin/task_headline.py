"""The sentence with which the page of a task begins: what it does or waits for, or how it ended and why."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_director.models import Task
from django_director.presentation import served_queues, silent_workers, visible_errors
from django_director.presentation.map_items import Tally
from django_director.status import TaskStatus

from . import formatting, reasons, task_lines


def of_task(
    task: Task, tally: Tally | None, *, sees_payload: bool, is_silent: bool = False, unserved: str = ""
) -> str:
    """Return the sentence, without times; ``tally`` tells of the items of a map.

    ``is_silent`` is whether it runs on a worker that gives no sign of life; ``unserved`` is the queue in which it
    waits, if no worker serves that.
    """
    error = visible_errors.of_task(task.error, sees_payload=sees_payload)
    reason = visible_errors.reason(task.reason, sees_payload=sees_payload)
    if tally is not None and not task.is_finished:
        return _of_map(tally)
    match task.status:
        case TaskStatus.RUNNING:
            return _silent(task) if is_silent else _running(task)
        case TaskStatus.WAITING:
            return _waiting(task, error, reason)
        case TaskStatus.QUEUED:
            return _unserved(unserved) if unserved else _queued(task, reason)
        case TaskStatus.PENDING:
            return _("Waits for its turn") if task.map_index >= 0 else _("Waits for the steps before it")
        case TaskStatus.SUCCESS:
            return _at_attempt(task, _("Succeeded"), _("Succeeded at attempt %(number)s"))
        case TaskStatus.FAILED:
            return _because(
                _at_attempt(task, _("Failed"), _("Failed at attempt %(number)s")),
                reasons.translate(error or reason),
            )
        case TaskStatus.UPSTREAM_FAILED:
            return _("Never ran, as what it waits for has failed")
    # Some reasons begin with the status: “skipped by ann”.
    told = reasons.translate(reason)
    if reason.startswith(task.status):
        return formatting.sentence(formatting.error_line(told))
    return _because(formatting.status_label(task.status).capitalize(), told)


def moment_of(task: Task) -> datetime | None:
    """Return the time that belongs to the sentence: when it ended, or when it goes on."""
    if task.status == TaskStatus.WAITING:
        return task.not_before or task.deadline_at
    return task.queued_at if task.status == TaskStatus.QUEUED else task.finished_at


def attempts_of(task: Task, number: int) -> str:
    """Return the number of an attempt and, if the step says how many there are at most, that: ``2 of 4``."""
    policy = task.run.version.graph.node(task.position).retry
    if policy is None or not policy.max or number > policy.max + 1:
        return formatting.number(number)
    return _("%(number)s of %(most)s") % {
        "number": formatting.number(number),
        "most": formatting.number(policy.max + 1),
    }


def _of_map(tally: Tally) -> str:
    return _("Runs for each item: %(progress)s") % {"progress": tally.text}


def _running(task: Task) -> str:
    worker = {"worker": formatting.name(task.worker)}
    if task.attempt > 1:
        text = _("Attempt %(number)s runs on %(worker)s")
        return text % {"number": attempts_of(task, task.attempt), **worker}
    return _("Runs on %(worker)s") % worker if task.worker else pgettext("a task", "Runs")


def _silent(task: Task) -> str:
    if not silent_workers.goes_on(task):
        text = _("Its worker %(worker)s gives no sign")
    elif silent_workers.starts_again(task):
        text = _("Its worker %(worker)s gives no sign: it starts again when a worker runs")
    else:
        text = _(
            "Its worker %(worker)s gives no sign: it fails when a worker runs, as it has lost too many workers"
        )
    return text % {"worker": formatting.name(task.worker)}


def _unserved(queue: str) -> str:
    name = formatting.name(queue)
    text = _("Waits in queue “%(queue)s”, which no worker serves: %(cure)s")
    return text % {"queue": name, "cure": served_queues.way_out(name)}


def _waiting(task: Task, error: str, reason: str) -> str:
    if task_lines.is_to_be_tried_again(task):
        text = _("Attempt %(number)s follows, after %(error)s")
        return text % {"number": attempts_of(task, task.attempt + 1), "error": formatting.error_line(error)}
    if task.asked_at is not None:
        return _("Waits for somebody to decide")
    if task.child_run is not None:
        return _("Waits for the end of its child run")
    return _because(_("Waits"), reason)


def _queued(task: Task, reason: str) -> str:
    if task.run.paused_at is not None:
        return _("Held back while the run is paused")
    if task.unsendable_since is not None:
        return _because(_("Its message can't be sent"), reason)
    queue = served_queues.of_task(task)
    return (
        _("Waits for a worker in the queue %(queue)s") % {"queue": formatting.name(queue)}
        if queue
        else _("Waits for a worker")
    )


def _at_attempt(task: Task, text: str, with_number: str) -> str:
    return with_number % {"number": attempts_of(task, task.attempt)} if task.attempt > 1 else text


def _because(text: str, reason: str) -> str:
    return f"{text}: {formatting.error_line(reason)}" if reason else text
