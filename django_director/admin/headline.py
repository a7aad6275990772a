"""The sentence with which the page of a run begins: what it does, or how it ended and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.models import Run
from django_director.presentation import causes
from django_director.status import RunStatus, TaskStatus

from . import formatting

NAMED: Final = 3
"""How many steps a sentence names."""


def of_run(run: Run, error: str, steps: Mapping[str, Sequence[str]], failed: int) -> str:
    """Return the sentence. It has no times, so that it changes only when the run does.

    ``error`` is that of the run as far as the user may see it; ``steps`` are the labels of its unfinished steps,
    by status; ``failed`` is how many of its tasks have failed.
    """
    match run.shown_status:
        case RunStatus.FAILED:
            return _failed(error, failed)
        case RunStatus.SUCCESS:
            return _("Succeeded")
        case RunStatus.CANCELED:
            return _with_reason(_("Canceled"), error)
        case RunStatus.PENDING:
            return _("Waits for its turn")
        case "paused":
            return _("Paused: no further step starts until it is resumed")
        case "canceling":
            return _with_reason(_("Is being canceled"), error)
    return _running(steps)


def _failed(error: str, failed: int) -> str:
    step, text = causes.divide(error)
    if not step:
        return _with_reason(_("Failed"), text)
    where = _("Failed at %(step)s") % {"step": formatting.name(step)}
    if failed > 1:
        more = ngettext("%(n)s other task", "%(n)s other tasks", failed - 1) % {"n": f"{failed - 1:,}"}
        where = _("%(where)s and %(more)s") % {"where": where, "more": more}
    return _with_reason(where, text)


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {formatting.error_line(reason)}" if reason else text


def _running(steps: Mapping[str, Sequence[str]]) -> str:
    for status, text in (
        (TaskStatus.RUNNING, _("Running: %(steps)s")),
        (TaskStatus.WAITING, _("Waits at %(steps)s")),
        (TaskStatus.QUEUED, _("Waits for a worker: %(steps)s")),
    ):
        if names := steps.get(status):
            return text % {"steps": _named(names)}
    return _("Running")


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(formatting.name(name) for name in names[:NAMED])
    rest = len(names) - NAMED
    if rest <= 0:
        return shown
    more = ngettext("%(n)s more", "%(n)s more", rest) % {"n": f"{rest:,}"}
    return f"{shown} + {more}"
