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
from django_director.presentation.summaries import work_counts
from django_director.status import TASK_RETRYABLE, TASK_UNSTARTED, TaskStatus

from . import formatting
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
    refused: int
    """How many the user may not do it to."""
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
        refused=len(refused),
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
    further: list[str] = []
    for found in work_counts(runs).values():
        counts.update(found)
    match operation.action.verb:
        case "retry":
            number = sum(counts[status] for status in TASK_RETRYABLE)
            further = _of_relaunched(runs)
            text = ngettext(
                "%(n)s failed or canceled task runs again, and what comes after it. What has succeeded is kept.",
                "%(n)s failed or canceled tasks run again, and what comes after them. What has succeeded is kept.",
                number,
            )
        case "cancel":
            number = sum(counts[status] for status in TASK_UNSTARTED)
            further = _of_running(counts)
            text = ngettext(
                "%(n)s task has not started and will not start.",
                "%(n)s tasks have not started and will not start.",
                number,
            )
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


def _of_running(counts: Counter[str]) -> list[str]:
    number = counts[TaskStatus.RUNNING]
    text = ngettext(
        "%(n)s task is running: it is asked to stop and may run to its end.",
        "%(n)s tasks are running: they are asked to stop and may run to their end.",
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
            selection.refused,
            ngettext(
                "%(n)s selected run is left alone: you may not do this to it.",
                "%(n)s selected runs are left alone: you may not do this to them.",
                selection.refused,
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


def _row(run: Run, user: Any) -> tuple[Run, str, SafeString, SafeString | str, str]:
    sees_payload = is_allowed(user, "view_payload", run.workflow)
    error = formatting.error_line(visible_errors.of_run(run, sees_payload=sees_payload))
    since = formatting.when(run.finished_at or run.started_at or run.created_at)
    return run, formatting.short_id(run.pk), formatting.badge(run.shown_status), since, error
