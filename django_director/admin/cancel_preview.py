"""What a cancel would do, with and without force, and why it can't be done: in words."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.models import Run
from django_director.presentation.actions import StatusCounts, can_be_forced

from . import formatting
from .operations import FORCE, Operation


def force_box(operation: Operation) -> dict[str, str]:
    """Return what a template needs for the box that ends running tasks too, if ``operation`` has it."""
    if operation.forced is None:
        return {}
    kill = _(
        "The workers are told to kill the running tasks, also those of child runs, and what these return is "
        "discarded: the run is canceled at once."
    )
    return {"force_field": FORCE, "force_note": f"{kill} {_limits_of_force()}"}


def _limits_of_force() -> str:
    return _(
        "A worker that can't kill (such as one with threads) or that can't be reached lets the code run on, even "
        "beside a retry. What a task has already done elsewhere is not undone."
    )


def refuse(run: Run) -> str:
    """Return why a run can't be canceled; empty if it can."""
    if can_be_forced(run):
        return _("It is being canceled already.")
    status = formatting.status_label(run.status)
    return _("The run has already ended: %(status)s.") % {"status": status} if run.is_finished else ""


def refuse_force(run: Run) -> str:
    """Return why a run can't be canceled by force after a cancel; empty if it can."""
    status = formatting.status_label(run.shown_status)
    text = _("The run is not being canceled any more: %(status)s.")
    return "" if can_be_forced(run) else text % {"status": status}


def sentences(run: Run, found: StatusCounts) -> list[str]:
    """Say what a cancel would do."""
    told = of_tasks(found.unstarted, found.running)
    if run.parent_task_id is not None:
        told.append(_("It is a child run: the step that has started it fails."))
    return [*told, _("What has succeeded is kept, so the run can be taken up again with “Retry failed”.")]


def of_tasks(unstarted: int, running: int) -> list[str]:
    """Say what a cancel would do to so many tasks."""
    text = ngettext(
        "%(n)s task has not started and will not start.",
        "%(n)s tasks have not started and will not start.",
        unstarted,
    )
    told = [text % {"n": formatting.number(unstarted)}]
    if running:
        text = ngettext(
            "%(n)s task is running: it is asked to stop and may run to its end.",
            "%(n)s tasks are running: they are asked to stop and may run to their end.",
            running,
        )
        told.append(text % {"n": formatting.number(running)})
    return told


def forced_sentences(run: Run, found: StatusCounts) -> list[str]:
    """Say what a cancel by force would do to a run that is being canceled."""
    told = []
    if found.running:
        text = ngettext(
            "%(n)s task is running: its worker is told to kill it, and what it returns is discarded.",
            "%(n)s tasks are running: their workers are told to kill them, and what they return is discarded.",
            found.running,
        )
        told.append(text % {"n": formatting.number(found.running)})
    if found.waiting:
        text = ngettext(
            "%(n)s step waits for a child run, which is canceled by force too.",
            "%(n)s steps wait for child runs, which are canceled by force too.",
            found.waiting,
        )
        told.append(text % {"n": formatting.number(found.waiting)})
    return [*told, _("Then the run ends at once, as canceled."), _limits_of_force()]
