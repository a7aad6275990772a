"""The page before a deed: what will happen, read from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director import engine
from django_director.exceptions import DirectorError
from django_director.models import Run, Task, Workflow
from django_director.representation import task_counts
from django_director.status import RUN_ACTIVE, TASK_UNSTARTED, TaskStatus

from . import formatting
from .operations import Operation

STEPS_SHOWN: Final = 200


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an operation would do."""

    sentences: Sequence[str]
    steps: Sequence[tuple[str, str, str]] = field(default_factory=list)
    """Step, status and its label, of the tasks that would run again."""
    more: int = 0
    refusal: str = ""
    """Why it can't be done now."""


def context(operation: Operation, run: Run) -> dict[str, Any]:
    """What the template needs."""
    try:
        preview = _PREVIEWS[operation.name](run)
    except DirectorError as error:
        preview = Preview(sentences=[], refusal=str(error))
    return {
        "title": operation.label,
        "workflow_name": formatting.name(run.workflow.name),
        "run": run,
        "badge": formatting.badge(run.shown_status),
        "operation": operation,
        "preview": preview,
    }


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
    sentences.append(_("What has succeeded is kept, so the run can be taken up again with “Retry failed”."))
    return Preview(sentences=sentences)


def _preview_pause(run: Run) -> Preview:
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
    preview = engine.preview_retry(run)
    again = ngettext("%(n)s task runs again:", "%(n)s tasks run again:", preview.runs)
    kept = ngettext(
        "%(n)s task has its result and is not repeated.",
        "%(n)s tasks have their results and are not repeated.",
        preview.kept,
    )
    return Preview(
        sentences=[kept % {"n": f"{preview.kept:,}"}, again % {"n": f"{preview.runs:,}"}],
        steps=[
            (formatting.name(step), status, formatting.status_label(status))
            for _position, step, status in preview.again[:STEPS_SHOWN]
        ],
        more=preview.runs - len(preview.again[:STEPS_SHOWN]),
    )


def _preview_relaunch(run: Run) -> Preview:
    workflow = Workflow.objects.select_related("current_version").get(pk=run.workflow_id)
    if not workflow.is_active or workflow.current_version is None:
        return Preview(sentences=[], refusal=_("The workflow has left the files and can't be started any more."))
    current, used = workflow.current_version.number, run.version.number
    sentences = [
        _("A new run starts from the beginning with the payload of this one. This run stays as it is."),
        _("It uses version %(number)s of the workflow, the current one.") % {"number": current},
    ]
    if current != used:
        sentences.append(_("This run used version %(number)s.") % {"number": used})
    return Preview(sentences=sentences)


_PREVIEWS: Final = {
    "cancel": _preview_cancel,
    "pause": _preview_pause,
    "resume": _preview_resume,
    "retry": _preview_retry,
    "relaunch": _preview_relaunch,
}
