"""The page before an operation: it tells from the rows what the operation will do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director import engine
from django_director.access import families
from django_director.access.answers import Answers
from django_director.common.texts import readable
from django_director.definitions.payloads import errors_of
from django_director.exceptions import DirectorError, InvalidPayload
from django_director.models import Run, Task
from django_director.presentation import relaunches
from django_director.presentation.actions import ACTIONS, Action, StatusCounts, is_root, workflow_of

from . import cancel_preview, formatting, operations, run_preview
from .links import named_run
from .operations import Operation, R
from .payload_form import wording

RESETS: Final = ("retry", "rerun", "skip")
"""The operations that run steps of a run again."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The steps of some tasks in the order of the run: name, status, its label, and which tasks of it."""

    rows: Sequence[tuple[str, str, str, str]]
    more: int
    """How many tasks of other steps there are."""
    has_notes: bool


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Tells what an operation would do."""

    sentences: Sequence[str]
    again: Listed | None = None
    """The tasks that would run."""
    stays: Listed | None = None
    """The tasks that would stay as they are."""
    follows: Sequence[str] = ()
    """What runs after that."""
    refusal: str = ""
    """Why the operation can't be done now; empty if it can."""
    unfit: Sequence[str] = ()
    """What is wrong with the payload, if it is refused for that."""


def context(operation: Operation, row: Run | Task, answers: Answers, site: str, back: str) -> dict[str, Any]:
    """Return what the template needs to ask before an operation on a run or a task.

    ``answers`` tell what the user may see; ``back`` leads back.
    """
    run = row.run if isinstance(row, Task) else row
    of_task = {"task": row, "task_label": formatting.name(row.label)} if isinstance(row, Task) else {}
    return {
        "title": operation.label,
        "workflow_name": formatting.name(workflow_of(row).name),
        "run": run,
        "badge": formatting.badge(row.status if isinstance(row, Task) else row.shown_status),
        "label": operation.label,
        "is_danger": operation.destroys,
        "comment_length": operation.comment_length,
        "preview": _preview(operation, row, answers),
        "relaunched": _name_relaunches(run, site) if operation.action.verb in RESETS else "",
        **cancel_preview.force_box(operation),
        "next": back,
        **of_task,
    }


def _name_relaunches(run: Run, site: str) -> SafeString:
    """Return links to the newest runs that were relaunched from this one, each with its status."""
    found, has_more = relaunches.newest(run)
    shown = [(named_run(new.pk, site), formatting.status_label(new.shown_status)) for new in found]
    return format_html("{}{}", format_html_join(", ", "{} ({})", shown), ", …" if has_more else "")


def perform(request: HttpRequest, operation: Operation, row: R) -> R:
    """Do what a user has confirmed, and warn the user if the row's state does not allow that any more."""
    if refused := refusal(operation, row):
        messages.warning(request, readable(refused))
        return row
    return operations.perform_on_one(request, operation.chosen(request.POST), row)


def refusal(operation: Operation, row: Run | Task) -> str:
    """Return why the state of a row does not allow an operation; empty if it does, or if only a preview tells."""
    refuse = _REFUSALS.get(operation.name)
    return refuse(row) if refuse is not None else ""


def _preview(operation: Operation, row: Run | Task, answers: Answers) -> Preview:
    if refused := refusal(operation, row):
        return Preview(sentences=[], refusal=refused)
    try:
        return _PREVIEWS[operation.name](row, operation.action.preview(row))
    except InvalidPayload as error:
        run = row.run if isinstance(row, Task) else row
        return _refuse_payload(run, error, sees_payload=answers.sees("view_payload")(run.workflow_id))
    except DirectorError as error:
        return Preview(sentences=[], refusal=families.refusal(error, answers))


def _refuse_payload(run: Run, error: InvalidPayload, *, sees_payload: bool) -> Preview:
    """Say what is wrong with the payload of a run that is to be relaunched.

    ``error`` quotes nothing of the payload. Those who may see it learn more, but no value: what the run's own
    version hides the schema of the current one may show.
    """
    version = engine.relaunch_version(run, "current")
    schema = version.graph.definition.schema
    found = errors_of(schema, run.payload) if sees_payload and schema is not None else []
    plain = [f"{each['path']}: {each['message']}".removeprefix("$: ").removeprefix(": ") for each in error.errors]
    text = _("The payload of this run does not fit version %(number)s of the workflow:")
    return Preview(
        sentences=[],
        refusal=text % {"number": version.number},
        unfit=[wording.explain_stored(each) for each in found] or plain,
    )


def _refuse_by_state(action: Action, run: Run) -> str:
    """Return why the state of a run does not allow ``action``; empty if it does.

    It is empty for a child run too, which the preview refuses.
    """
    status = formatting.status_label(run.shown_status)
    is_possible = not is_root(run) or action.is_possible(run)
    return "" if is_possible else _("The run's state does not allow this: %(status)s.") % {"status": status}


def _told(sentences: Callable[[Run, StatusCounts], list[str]]) -> Callable[[Run, StatusCounts], Preview]:
    return lambda run, found: Preview(sentences=sentences(run, found))


def _preview_pause(run: Run, found: StatusCounts) -> Preview:
    held = found.unstarted - found.waiting
    sentences = [
        ngettext(
            "%(n)s task does not start until the run is resumed.",
            "%(n)s tasks do not start until the run is resumed.",
            held,
        )
        % {"n": formatting.number(held)}
    ]
    if found.running:
        text = ngettext(
            "%(n)s task is running and runs to its end.",
            "%(n)s tasks are running and run to their end.",
            found.running,
        )
        sentences.append(text % {"n": formatting.number(found.running)})
    if found.waiting:
        text = ngettext(
            "%(n)s task keeps waiting for a person, a time or another run; what comes after it does not start.",
            "%(n)s tasks keep waiting for a person, a time or another run; what comes after them does not start.",
            found.waiting,
        )
        sentences.append(text % {"n": formatting.number(found.waiting)})
    if run.deadline_at is not None:
        sentences.append(_("The pause does not count for the run's own time-out."))
    return Preview(sentences=sentences)


def _preview_resume(run: Run, found: StatusCounts) -> Preview:
    text = ngettext("%(n)s task is ready and starts.", "%(n)s tasks are ready and start.", found.queued)
    since = _("The run has been paused since %(moment)s.") % {"moment": formatting.moment(run.paused_at)}
    return Preview(sentences=[since, text % {"n": formatting.number(found.queued)}])


def _preview_reset(row: Run | Task, found: engine.Preview) -> Preview:
    """Return what a retry, rerun or skip would do."""
    return Preview(
        sentences=[*_skip_sentences(row, found), *_reset_sentences(found)],
        again=_list_steps(found.steps_again, found.runs),
        stays=_list_steps(found.steps_kept, found.kept),
        follows=list(_follows(row.run if isinstance(row, Task) else row)),
    )


def _follows(run: Run) -> Iterator[str]:
    """Say which hooks run when the run ends again."""
    for title, names in run_preview.hooks(run.version):
        yield _("%(outcome)s of the run: %(names)s") % {"outcome": title, "names": names}


def _skip_sentences(row: Run | Task, found: engine.Preview) -> Iterator[str]:
    """Say what the steps after a skipped task get in place of its result."""
    if found.skipped is None or isinstance(row, Run):
        return
    graph = row.run.version.graph
    around = graph.node(row.position).map_position
    mapped = None if around is None else graph.node(around)
    if mapped is not None and mapped.body is not None and row.position == mapped.body[1] - 1:
        text = _("“%(step)s” counts as skipped: “null” stands in its place in the list of %(map)s.")
        yield text % {"step": formatting.name(row.label), "map": formatting.name(mapped.step.id)}
    else:
        text = _("“%(step)s” counts as skipped: what comes after it gets nothing from it.")
        yield text % {"step": formatting.name(row.label)}


def _reset_sentences(found: engine.Preview) -> Iterator[str]:
    counted = [
        (found.runs, ngettext("%(n)s task will run.", "%(n)s tasks will run.", found.runs)),
        (
            found.idle,
            ngettext(
                "For %(n)s more task it is decided anew whether it runs; as things stand it does not.",
                "For %(n)s more tasks it is decided anew whether they run; as things stand they do not.",
                found.idle,
            ),
        ),
        (
            found.kept,
            ngettext("%(n)s task stays as it is.", "%(n)s tasks stay as they are.", found.kept),
        ),
        (
            found.broken,
            ngettext(
                "%(n)s of what stays has failed or was canceled, so the run will fail again.",
                "%(n)s of what stays have failed or were canceled, so the run will fail again.",
                found.broken,
            ),
        ),
    ]
    yield from (text % {"n": formatting.number(number)} for number, text in counted if number)


def _list_steps(steps: Sequence[engine.StepTasks], number: int) -> Listed:
    rows = [
        (formatting.name(own.step), own.status, formatting.status_label(own.status), _which(own)) for own in steps
    ]
    more = number - sum(own.number for own in steps)
    return Listed(rows=rows, more=more, has_notes=any(note for *_rest, note in rows))


def _which(own: engine.StepTasks) -> str:
    """Say which tasks of a step they are; empty if the step has one task."""
    if own.is_map:
        return _("begins anew, with the list as it is then")
    if not own.total:
        return ""
    text = ngettext("%(n)s of %(total)s entries: %(items)s", "%(n)s of %(total)s entries: %(items)s", own.number)
    more = ", …" if own.number > len(own.items) else ""
    return text % {
        "n": formatting.number(own.number),
        "total": formatting.number(own.total),
        "items": ", ".join(map(str, own.items)) + more,
    }


def _preview_relaunch(run: Run, found: engine.RelaunchPreview) -> Preview:
    sentences = [
        _("A new run starts from the beginning with the payload of this one. This run stays as it is."),
        ngettext("It has %(n)s task.", "It has %(n)s tasks.", found.tasks) % {"n": formatting.number(found.tasks)},
        _("It uses version %(number)s of the workflow, the current one.") % {"number": found.version.number},
    ]
    if found.version.pk != run.version_id:
        sentences.append(_("This run used version %(number)s.") % {"number": run.version.number})
    return Preview(sentences=sentences)


_REFUSALS: Final[dict[str, Callable[[Any], str]]] = {
    "cancel": cancel_preview.refuse,
    "cancel_by_force": cancel_preview.refuse_force,
    "pause": partial(_refuse_by_state, ACTIONS["pause"]),
    "resume": partial(_refuse_by_state, ACTIONS["resume"]),
}
_PREVIEWS: Final[dict[str, Callable[[Any, Any], Preview]]] = {
    "cancel": _told(cancel_preview.sentences),
    "cancel_by_force": _told(cancel_preview.forced_sentences),
    "pause": _preview_pause,
    "resume": _preview_resume,
    "retry": _preview_reset,
    "rerun": _preview_reset,
    "skip": _preview_reset,
    "relaunch": _preview_relaunch,
}
