"""The page before an operation on many runs: it tells what will happen to how many, and does it when confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.access.authorization import is_allowed, missing_for
from django_director.conf import director
from django_director.models import Run
from django_director.models.querysets import RunQuerySet
from django_director.presentation import relaunches, visible_errors
from django_director.presentation.actions import is_root
from django_director.presentation.summaries import work_counts
from django_director.status import TASK_RETRYABLE, TASK_UNSTARTED, TaskStatus

from . import cancel_preview, formatting
from .base import BoundedPaginator, MoreThan
from .operations import AT_ONCE, Operation

FIELD: Final = "run"
"""The name of the form's fields with the ids of the runs."""
LISTED: Final = 50


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs that a user has selected for an operation."""

    fit: Sequence[Run]
    """Those that the operation is done to."""
    unfit: Sequence[Run]
    """Those whose state does not allow it."""
    refused: Sequence[Run]
    """Those to which the user may not do it."""
    missing: str
    """What the user lacks for the first of these; empty if nothing is refused or the site has rules of its own."""
    left: int
    """How many more were selected than one operation takes."""


def select(request: HttpRequest, operation: Operation, runs: RunQuerySet) -> Selection:
    """Divide the selected runs by whether the operation can be done to them. It takes one query."""
    chosen = list(runs[: AT_ONCE + 1])
    left = _beyond(runs) if len(chosen) > AT_ONCE else 0
    allowed = [run for run in chosen[:AT_ONCE] if _may(request, operation, run)]
    refused = [run for run in chosen[:AT_ONCE] if run not in allowed]
    fit = [run for run in allowed if operation.is_possible(run)]
    return Selection(
        fit=fit,
        unfit=[run for run in allowed if run not in fit],
        refused=refused,
        missing=_missing(request, operation, refused),
        left=left,
    )


def _beyond(runs: RunQuerySet) -> int:
    """Return how many more runs than ``AT_ONCE`` there are; they are counted like those of a list."""
    found = BoundedPaginator(runs, AT_ONCE).count
    return type(found)(found - AT_ONCE)


def _may(request: HttpRequest, operation: Operation, run: Run) -> bool:
    return all(is_allowed(request.user, action, run.workflow) for action in operation.asks_for)


def _missing(request: HttpRequest, operation: Operation, refused: Sequence[Run]) -> str:
    if not refused or director.AUTHORIZE:
        return ""
    wanted = (missing_for(request.user, action, refused[0].workflow) for action in operation.asks_for)
    return next(filter(None, wanted), "")


def chosen_ids(request: HttpRequest) -> list[UUID]:
    """Return the ids in the form of the page; what is no id is left out."""
    found = []
    for text in request.POST.getlist(FIELD)[:AT_ONCE]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def context(operation: Operation, selection: Selection, user: Any) -> dict[str, Any]:
    """Return what the template needs. It takes one query, and before a retry two."""
    number = len(selection.fit)
    return {
        "title": _title(operation, number),
        "operation": operation,
        "field": FIELD,
        "number": number,
        "sentences": [*_sentences(operation, selection.fit), *_exceptions(selection)],
        "runs": [_row(run, user) for run in selection.fit[:LISTED]],
        "more": max(0, number - LISTED),
        **_left_alone(operation, selection),
        **cancel_preview.force_box(operation),
        "ids": [str(run.pk) for run in selection.fit],
        "by_workflow": Counter(formatting.name(run.workflow.name) for run in selection.fit).most_common(),
    }


def _title(operation: Operation, number: int) -> str:
    text = ngettext("%(what)s: %(n)s run", "%(what)s: %(n)s runs", number)
    return text % {"what": operation.label, "n": number}


def _sentences(operation: Operation, runs: Sequence[Run]) -> list[str]:
    """Return what the operation does to ``runs``."""
    if not runs:
        return [_("There is no run to which this can be done.")]
    counts: Counter[str] = Counter()
    further = _of_relaunched(runs) if operation.action.verb == "retry" else []
    for found in work_counts(runs).values():
        counts.update(found)
    match operation.action.verb:
        case "retry":
            number = sum(counts[status] for status in TASK_RETRYABLE)
            text = ngettext(
                "%(n)s failed or canceled task runs again, and what comes after it. What has succeeded is kept.",
                "%(n)s failed or canceled tasks run again, and what comes after them. What has succeeded is kept.",
                number,
            )
        case "cancel":
            unstarted = sum(counts[status] for status in TASK_UNSTARTED)
            return cancel_preview.of_tasks(unstarted, counts[TaskStatus.RUNNING])
        case _:
            number = len(runs)
            text = ngettext(
                "%(n)s new run starts from the beginning with the payload of the old one, which is kept.",
                "%(n)s new runs start from the beginning with the payloads of the old ones, which are kept.",
                number,
            )
    return [text % {"n": formatting.number(number)}, *further]


def _of_relaunched(runs: Sequence[Run]) -> list[str]:
    number = relaunches.count_relaunched(runs)
    text = ngettext(
        "%(n)s of these runs was relaunched: what has run there runs again here.",
        "%(n)s of these runs were relaunched: what has run there runs again here.",
        number,
    )
    return [text % {"n": formatting.number(number)}] if number else []


def _exceptions(selection: Selection) -> list[str]:
    """Say which of the selected runs are left alone, and why."""
    counted = [
        (
            len(selection.unfit),
            ngettext(
                "%(n)s selected run is left alone: its state does not allow this.",
                "%(n)s selected runs are left alone: their state does not allow this.",
                len(selection.unfit),
            ),
        ),
        (
            len(selection.refused),
            ngettext(
                "%(n)s selected run is left alone: you may not do this to it.",
                "%(n)s selected runs are left alone: you may not do this to them.",
                len(selection.refused),
            ),
        ),
        (
            selection.left,
            ngettext(
                "%(n)s further run is left alone: %(limit)s at once are possible.",
                "%(n)s further runs are left alone: %(limit)s at once are possible.",
                selection.left,
            ),
        ),
    ]
    shown = [text % {"n": _as_text(number), "limit": AT_ONCE} for number, text in counted if number]
    return [*shown, _("It needs %(what)s.") % {"what": selection.missing}] if selection.missing else shown


def _as_text(number: int) -> str:
    return str(number) if isinstance(number, MoreThan) else formatting.number(number)


def _left_alone(operation: Operation, selection: Selection) -> dict[str, Any]:
    """Return the first runs that are left alone, each with the reason, and how many more there are."""
    reasons = [(run, _unfit_reason(operation.action.verb, run)) for run in selection.unfit]
    reasons += [(run, _("You may not do this to it")) for run in selection.refused]
    return {
        "left_alone": [
            (run, formatting.short_id(run.pk), formatting.badge(run.shown_status), _since(run), why)
            for run, why in reasons[:LISTED]
        ],
        "more_left_alone": max(0, len(reasons) - LISTED),
    }


def _unfit_reason(verb: str, run: Run) -> str:
    if verb == "retry" and not is_root(run):
        return _("It is a child run: retry the run that it belongs to")
    if verb == "cancel":
        return _("It has ended") if run.is_finished else _("It is being canceled already")
    return _("It has succeeded") if run.is_finished else _("It has not ended yet")


def _since(run: Run) -> SafeString | str:
    return formatting.when(run.finished_at or run.started_at or run.created_at)


def _row(run: Run, user: Any) -> tuple[Run, str, SafeString, SafeString | str, str]:
    sees_payload = is_allowed(user, "view_payload", run.workflow)
    error = formatting.error_line(visible_errors.of_run(run, sees_payload=sees_payload))
    return run, formatting.short_id(run.pk), formatting.badge(run.shown_status), _since(run), error
