"""What people do with a run: authorise, call one operation, say how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_director import engine
from django_director.access.authorization import require
from django_director.exceptions import DirectorError
from django_director.models import Run
from django_director.status import RUN_ACTIVE, RUN_RETRYABLE, STOP_SPARING

from . import formatting
from .base import VIA

AT_ONCE: Final = 200
"""How many runs one action takes: more would outlast the request."""
FAILURES_SHOWN: Final = 10


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A button of a run."""

    name: str
    permission: str
    """The action of ``authorization`` it asks for."""
    label: str | Promise
    perform: Callable[..., Run]
    """Called with the run, the user and what ``perform`` was given besides."""
    is_possible: Callable[[Run], bool]
    done: Callable[[int], str]
    """What the message says, for so many runs."""
    also: tuple[str, ...] = ()
    """Further actions it asks for: to start with another payload is to run, and its page shows the payload."""

    @property
    def changes_payload(self) -> bool:
        """Whether it has a form for the payload."""
        return bool(self.also)


def is_root(run: Run) -> bool:
    """Whether the run can be steered by itself: a child run is steered through its root."""
    return run.parent_task_id is None


def _cancel(run: Run, user: Any) -> Run:
    return engine.cancel(run, user=user, via=VIA)


def _pause(run: Run, user: Any) -> Run:
    return engine.pause(run, user=user, via=VIA)


def _resume(run: Run, user: Any) -> Run:
    return engine.resume(run, user=user, via=VIA)


def _retry(run: Run, user: Any) -> Run:
    return engine.retry(run, user=user, via=VIA)


def _relaunch(run: Run, user: Any, **changes: Any) -> Run:
    return engine.relaunch(run, user=user, via=VIA, **changes)


def _relaunched(number: int) -> str:
    return ngettext("%(n)s new run was started.", "%(n)s new runs were started.", number) % {"n": number}


ALL: Final = {
    operation.name: operation
    for operation in (
        Operation(
            name="cancel",
            permission="cancel",
            label=gettext_lazy("Cancel"),
            perform=_cancel,
            is_possible=lambda run: not run.is_finished and run.stop in STOP_SPARING,
            done=lambda n: (
                ngettext("%(n)s run is being canceled.", "%(n)s runs are being canceled.", n) % {"n": n}
            ),
        ),
        Operation(
            name="pause",
            permission="cancel",
            label=gettext_lazy("Pause"),
            perform=_pause,
            is_possible=lambda run: is_root(run) and run.shown_status in RUN_ACTIVE,
            done=lambda n: ngettext("%(n)s run is paused.", "%(n)s runs are paused.", n) % {"n": n},
        ),
        Operation(
            name="resume",
            permission="cancel",
            label=gettext_lazy("Resume"),
            perform=_resume,
            is_possible=lambda run: is_root(run) and run.shown_status == "paused",
            done=lambda n: ngettext("%(n)s run goes on.", "%(n)s runs go on.", n) % {"n": n},
        ),
        Operation(
            name="retry",
            permission="retry",
            label=gettext_lazy("Retry failed"),
            perform=_retry,
            is_possible=lambda run: is_root(run) and run.status in RUN_RETRYABLE,
            done=lambda n: ngettext("%(n)s run goes on.", "%(n)s runs go on.", n) % {"n": n},
        ),
        Operation(
            name="relaunch",
            permission="retry",
            label=gettext_lazy("Relaunch"),
            perform=_relaunch,
            is_possible=lambda run: run.is_finished,
            done=_relaunched,
        ),
        Operation(
            name="relaunch_with_changes",
            permission="retry",
            label=gettext_lazy("Relaunch with changes"),
            perform=_relaunch,
            is_possible=lambda run: run.is_finished,
            done=_relaunched,
            also=("run", "view_payload"),
        ),
    )
}


def perform(request: HttpRequest, operation: Operation, run: Run, **given: Any) -> Run:
    """Do it; returns the run to look at next. Raises ``DirectorError``."""
    require(request.user, operation.permission, run.workflow)
    return operation.perform(run, request.user, **given)


def on_one(request: HttpRequest, operation: Operation, run: Run) -> Run:
    """Do it from the run's page; what the state does not allow becomes a warning."""
    try:
        after = perform(request, operation, run)
    except DirectorError as error:
        messages.warning(request, str(error))
        return run
    messages.success(request, operation.done(1))
    return after


def on_many(request: HttpRequest, operation: Operation, runs: Iterable[Run], site: str) -> None:
    """Do it to each of at most ``AT_ONCE`` runs; each has an outcome of its own."""
    done, refused, left = 0, [], 0
    for number, run in enumerate(runs):
        if number >= AT_ONCE:
            left += 1
            continue
        try:
            perform(request, operation, run)
        except DirectorError as error:
            refused.append(_refusal(run, error, site))
        else:
            done += 1
    _report(request, operation, done, refused)
    if left:
        text = _("%(left)s further runs were left alone: an action takes %(limit)s at once.")
        messages.warning(request, text % {"left": f"{left:,}", "limit": AT_ONCE})


def _report(request: HttpRequest, operation: Operation, done: int, refused: list[SafeString]) -> None:
    if done:
        messages.success(request, operation.done(done))
    for message in refused[:FAILURES_SHOWN]:
        messages.warning(request, message)
    rest = len(refused) - FAILURES_SHOWN
    if rest > 0:
        text = ngettext("%(n)s further run was refused.", "%(n)s further runs were refused.", rest)
        messages.warning(request, text % {"n": rest})


def _refusal(run: Run, error: DirectorError, site: str) -> SafeString:
    link = formatting.address("run_change", run.pk, site=site)
    return format_html('<a href="{}">{}</a>: {}', link, formatting.short_id(run.pk), str(error))
