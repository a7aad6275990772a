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
from django_director.presentation.actions import ACTIONS, Action, Standing, is_root, workflow_of

from . import formatting
from .operations import Operation


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


def context(operation: Operation, row: Run | Task) -> dict[str, Any]:
    """What the template needs for a deed that is done to a run or a task."""
    of_task = {"task": row, "task_label": formatting.name(row.label)} if isinstance(row, Task) else {}
    return {
        "title": operation.label,
        "workflow_name": formatting.name(workflow_of(row).name),
        "run": row.run if isinstance(row, Task) else row,
        "badge": formatting.badge(row.status if isinstance(row, Task) else row.shown_status),
        "label": operation.label,
        "comment_length": operation.comment_length,
        "preview": _preview(operation, row),
        **of_task,
    }


def _preview(operation: Operation, row: Run | Task) -> Preview:
    verb = operation.action.verb
    if refusal := _REFUSALS[verb](row) if verb in _REFUSALS else "":
        return Preview(sentences=[], refusal=refusal)
    try:
        return _PREVIEWS[verb](row, operation.action.preview(row))
    except DirectorError as error:
        return Preview(sentences=[], refusal=str(error))


def _refuse_cancel(run: Run) -> str:
    """Why it can't be canceled; '' when it can."""
    status = formatting.status_label(run.status)
    return _("The run has already ended: %(status)s.") % {"status": status} if run.is_finished else ""


def _refuse_by_state(action: Action, run: Run) -> str:
    """Why its state does not allow this; '' when it does, and for a child run, which the preview refuses."""
    status = formatting.status_label(run.shown_status)
    is_possible = not is_root(run) or action.is_possible(run)
    return "" if is_possible else _("The run's state does not allow this: %(status)s.") % {"status": status}


def _preview_cancel(run: Run, found: Standing) -> Preview:
    sentences = [
        ngettext(
            "%(n)s task has not started and will not start.",
            "%(n)s tasks have not started and will not start.",
            found.unstarted,
        )
        % {"n": f"{found.unstarted:,}"}
    ]
    if found.running:
        text = ngettext(
            "%(n)s task is running: it is asked to stop and may run to its end.",
            "%(n)s tasks are running: they are asked to stop and may run to their end.",
            found.running,
        )
        sentences.append(text % {"n": f"{found.running:,}"})
    if run.parent_task_id is not None:
        sentences.append(_("It is a child run: the step that has started it fails."))
    sentences.append(_("What has succeeded is kept, so the run can be taken up again with “Retry failed”."))
    return Preview(sentences=sentences)


def _preview_pause(run: Run, found: Standing) -> Preview:
    held = found.unstarted - found.waiting
    sentences = [
        ngettext(
            "%(n)s task does not start until the run is resumed.",
            "%(n)s tasks do not start until the run is resumed.",
            held,
        )
        % {"n": f"{held:,}"}
    ]
    if found.running:
        text = ngettext("%(n)s task is running and goes on.", "%(n)s tasks are running and go on.", found.running)
        sentences.append(text % {"n": f"{found.running:,}"})
    if found.waiting:
        text = ngettext(
            "%(n)s task waits and goes on waiting; what follows is held.",
            "%(n)s tasks wait and go on waiting; what follows is held.",
            found.waiting,
        )
        sentences.append(text % {"n": f"{found.waiting:,}"})
    if run.deadline_at is not None:
        sentences.append(_("The pause does not count for the run's own time-out."))
    return Preview(sentences=sentences)


def _preview_resume(run: Run, found: Standing) -> Preview:
    text = ngettext("%(n)s task is ready and starts.", "%(n)s tasks are ready and start.", found.queued)
    since = _("The run has been paused since %(moment)s.") % {"moment": formatting.moment(run.paused_at)}
    return Preview(sentences=[since, text % {"n": f"{found.queued:,}"}])


def _preview_reset(row: Run | Task, found: engine.Preview) -> Preview:
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


def _preview_relaunch(run: Run, found: engine.RelaunchPreview) -> Preview:
    sentences = [
        _("A new run starts from the beginning with the payload of this one. This run stays as it is."),
        ngettext("It has %(n)s task.", "It has %(n)s tasks.", found.tasks) % {"n": f"{found.tasks:,}"},
        _("It uses version %(number)s of the workflow, the current one.") % {"number": found.version.number},
    ]
    if found.version.pk != run.version_id:
        sentences.append(_("This run used version %(number)s.") % {"number": run.version.number})
    return Preview(sentences=sentences)


_REFUSALS: Final[dict[str, Callable[[Any], str]]] = {
    "cancel": _refuse_cancel,
    "pause": partial(_refuse_by_state, ACTIONS["pause"]),
    "resume": partial(_refuse_by_state, ACTIONS["resume"]),
}
_PREVIEWS: Final[dict[str, Callable[[Any, Any], Preview]]] = {
    "cancel": _preview_cancel,
    "pause": _preview_pause,
    "resume": _preview_resume,
    "retry": _preview_reset,
    "rerun": _preview_reset,
    "skip": _preview_reset,
    "relaunch": _preview_relaunch,
}
