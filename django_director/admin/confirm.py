"""The page before a deed: what will happen, read from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director import engine
from django_director.exceptions import DirectorError
from django_director.models import Run, Task
from django_director.presentation.serializers import task_counts
from django_director.status import RUN_ACTIVE, TASK_UNSTARTED, TaskStatus

from . import formatting
from .operations import Operation
from .task_operations import TaskOperation


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The first of some tasks: step, status and its label; and how many more there are."""

    rows: Sequence[tuple[str, str, str]]
    more: int


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an operation would do."""

    sentences: Sequence[str]
    again: Listed | None = None
    """The tasks that would run again."""
    stays: Listed | None = None
    """Those that would be left alone."""
    refusal: str = ""
    """Why it can't be done now."""


def context(operation: Operation, run: Run) -> dict[str, Any]:
    """What the template needs for a deed that is done to a run."""
    return {
        "title": operation.label,
        "workflow_name": formatting.name(run.workflow.name),
        "run": run,
        "badge": formatting.badge(run.shown_status),
        "label": operation.label,
        "preview": _refused_or(partial(_PREVIEWS[operation.name], run)),
    }


def task_context(operation: TaskOperation, task: Task) -> dict[str, Any]:
    """The same for a deed that is done to a task."""
    return {
        "title": operation.label,
        "workflow_name": formatting.name(task.run.workflow.name),
        "run": task.run,
        "task": task,
        "task_label": formatting.name(task.label),
        "badge": formatting.badge(task.status),
        "label": operation.label,
        "comment_length": operation.comment_length,
        "preview": _refused_or(lambda: _preview_reset(operation.preview(task))),
    }


def _refused_or(preview: Callable[[], Preview]) -> Preview:
    try:
        return preview()
    except DirectorError as error:
        return Preview(sentences=[], refusal=str(error))


def _preview_cancel(run: Run) -> Preview:
    if run.is_finished:
        text = _("The run has already ended: %(status)s.")
        return Preview(sentences=[], refusal=text % {"status": formatting.status_label(run.status)})
    counts = task_counts([run])[run.pk]
    unstarted = sum(counts.get(status, 0) for status in TASK_UNSTARTED)
    running = counts.get(TaskStatus.RUNNING, 0)
    sentences = [
        ngettext(
            "%(n)s task has not started and will not start.",
            "%(n)s tasks have not started and will not start.",
            unstarted,
        )
        % {"n": f"{unstarted:,}"}
    ]
    if running:
        text = ngettext(
            "%(n)s task is running: it is asked to stop and may run to its end.",
            "%(n)s tasks are running: they are asked to stop and may run to their end.",
            running,
        )
        sentences.append(text % {"n": f"{running:,}"})
    if run.parent_task_id is not None:
        sentences.append(_("It is a child run: the step that has started it fails."))
    sentences.append(_("What has succeeded is kept, so the run can be taken up again with “Retry failed”."))
    return Preview(sentences=sentences)


def _preview_pause(run: Run) -> Preview:
    engine.refuse_child(run, "paused")
    refusal = _refusal(run, run.shown_status in RUN_ACTIVE)
    if refusal:
        return Preview(sentences=[], refusal=refusal)
    counts = task_counts([run])[run.pk]
    waiting = counts.pop(TaskStatus.WAITING, 0)
    unstarted = sum(counts.get(status, 0) for status in TASK_UNSTARTED)
    running = counts.get(TaskStatus.RUNNING, 0)
    sentences = [
        ngettext(
            "%(n)s task does not start until the run is resumed.",
            "%(n)s tasks do not start until the run is resumed.",
            unstarted,
        )
        % {"n": f"{unstarted:,}"}
    ]
    if running:
        text = ngettext("%(n)s task is running and goes on.", "%(n)s tasks are running and go on.", running)
        sentences.append(text % {"n": f"{running:,}"})
    if waiting:
        text = ngettext(
            "%(n)s task waits and goes on waiting; what follows is held.",
            "%(n)s tasks wait and go on waiting; what follows is held.",
            waiting,
        )
        sentences.append(text % {"n": f"{waiting:,}"})
    if run.deadline_at is not None:
        sentences.append(_("The pause does not count for the run's own time-out."))
    return Preview(sentences=sentences)


def _preview_resume(run: Run) -> Preview:
    engine.refuse_child(run, "resumed")
    refusal = _refusal(run, run.shown_status == "paused")
    if refusal:
        return Preview(sentences=[], refusal=refusal)
    ready = Task.objects.filter(run_id=run.pk).steps().queued().count()
    text = ngettext("%(n)s task is ready and starts.", "%(n)s tasks are ready and start.", ready)
    since = _("The run has been paused since %(moment)s.") % {"moment": formatting.moment(run.paused_at)}
    return Preview(sentences=[since, text % {"n": f"{ready:,}"}])


def _refusal(run: Run, is_possible: bool) -> str:
    """Why it can't be done; '' when it can."""
    status = formatting.status_label(run.shown_status)
    return "" if is_possible else _("The run's state does not allow this: %(status)s.") % {"status": status}


def _preview_retry(run: Run) -> Preview:
    return _preview_reset(engine.preview_retry(run))


def _preview_reset(found: engine.Preview) -> Preview:
    """What retry, rerun and skip would do."""
    return Preview(
        sentences=list(_reset_sentences(found)),
        again=_listed(found.again, found.runs),
        stays=_listed(found.stays, found.kept),
    )


def _reset_sentences(found: engine.Preview) -> Iterator[str]:
    if found.skipped is not None:
        text = _("“%(step)s” counts as skipped: what comes after it gets nothing from it.")
        yield text % {"step": formatting.name(found.skipped.step)}
    counted = [
        (found.runs, ngettext("%(n)s task runs again.", "%(n)s tasks run again.", found.runs)),
        (
            found.idle,
            ngettext(
                "%(n)s task is judged again and does not run, unless one before it fails.",
                "%(n)s tasks are judged again and do not run, unless one before them fails.",
                found.idle,
            ),
        ),
        (found.kept, ngettext("%(n)s task stays as it is.", "%(n)s tasks stay as they are.", found.kept)),
        (
            found.broken,
            ngettext(
                "%(n)s of what stays has failed or was canceled, so the run will fail again.",
                "%(n)s of what stays have failed or were canceled, so the run will fail again.",
                found.broken,
            ),
        ),
    ]
    yield from (text % {"n": f"{number:,}"} for number, text in counted if number)


def _listed(tasks: Sequence[engine.Again], number: int) -> Listed:
    rows = [(formatting.name(task.step), task.status, formatting.status_label(task.status)) for task in tasks]
    return Listed(rows=rows, more=number - len(rows))


def _preview_relaunch(run: Run) -> Preview:
    found = engine.preview_relaunch(run)
    sentences = [
        _("A new run starts from the beginning with the payload of this one. This run stays as it is."),
        ngettext("It has %(n)s task.", "It has %(n)s tasks.", found.tasks) % {"n": f"{found.tasks:,}"},
        _("It uses version %(number)s of the workflow, the current one.") % {"number": found.version.number},
    ]
    if found.version.pk != run.version_id:
        sentences.append(_("This run used version %(number)s.") % {"number": run.version.number})
    return Preview(sentences=sentences)


_PREVIEWS: Final = {
    "cancel": _preview_cancel,
    "pause": _preview_pause,
    "resume": _preview_resume,
    "retry": _preview_retry,
    "relaunch": _preview_relaunch,
}
