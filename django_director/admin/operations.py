"""The buttons on the pages of runs and tasks: each checks permissions, does an operation and tells its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from django_director.access import families
from django_director.access.answers import Answers
from django_director.common.texts import readable
from django_director.exceptions import DirectorError
from django_director.models import COMMENT_LENGTH, Run, Task
from django_director.presentation.actions import ACTIONS, Action, can_be_forced

from . import formatting
from .base import VIA

FORCE: Final = "force"
"""The name of the box in a form with which a user ends running tasks too."""
AT_ONCE: Final = 200
"""How many runs one action of the list takes: with more of them the request would take too long."""
FAILURES_SHOWN: Final = 10
R = TypeVar("R", Run, Task)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A button on the page of a run or a task."""

    name: str
    action: Action
    label: str | Promise
    message: Callable[[Sequence[Any]], str]
    """Returns the message that the operation was done to these rows."""
    also: tuple[str, ...] = ()
    """Further actions that ``authorization`` must allow, for a page that shows a payload and starts a new run."""
    help: str | Promise = ""
    """What the button does, for whoever points at it."""
    comment_length: int = 0
    """How long a comment may be; 0 if the operation takes none."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the action's operation."""
    forced: Operation | None = None
    """What is done in place of it if the user has ticked the box that ends running tasks too."""
    offered: Callable[[Any], bool] | None = None
    """Whether a page may offer it for a row in its state, if that is not when it may offer the action."""

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Return the actions that ``authorization`` must allow."""
        return (str(self.action.permission), *self.also)

    @property
    def changes_payload(self) -> bool:
        """Whether the button leads to a form for the payload."""
        return bool(self.also)

    @property
    def destroys(self) -> bool:
        """Whether it ends work that can't be taken up where it was."""
        return self.action.verb == "cancel"

    def is_possible(self, row: Run | Task) -> bool:
        """Whether a page may offer the operation for a run or task in its state."""
        return (self.offered or self.action.is_possible)(row)

    def chosen(self, form: Mapping[str, object]) -> Operation:
        """Return what the user has chosen in the form of the page that asks first."""
        return self.forced if self.forced is not None and FORCE in form else self


def _canceled(runs: Sequence[Run]) -> str:
    return _counted(ngettext("%(n)s run is being canceled.", "%(n)s runs are being canceled.", len(runs)), runs)


def _forced(runs: Sequence[Run]) -> str:
    text = ngettext(
        "%(n)s run is canceled by force: what still ran is given up.",
        "%(n)s runs are canceled by force: what still ran is given up.",
        len(runs),
    )
    return _counted(text, runs)


def _paused(runs: Sequence[Run]) -> str:
    return _counted(ngettext("%(n)s run is paused.", "%(n)s runs are paused.", len(runs)), runs)


def _resumed(runs: Sequence[Run]) -> str:
    return _counted(ngettext("%(n)s run was resumed.", "%(n)s runs were resumed.", len(runs)), runs)


def _retried(runs: Sequence[Run]) -> str:
    return _counted(ngettext("Retrying %(n)s run.", "Retrying %(n)s runs.", len(runs)), runs)


def _relaunched(runs: Sequence[Run]) -> str:
    return _counted(ngettext("%(n)s new run was started.", "%(n)s new runs were started.", len(runs)), runs)


def _counted(text: str, runs: Sequence[Run]) -> str:
    return text % {"n": len(runs)}


def _rerun(tasks: Sequence[Task]) -> str:
    return _named(_("“%(step)s” runs again, and then what comes after it."), tasks)


def _skipped(tasks: Sequence[Task]) -> str:
    return _named(_("“%(step)s” is skipped; the run goes on with what comes after it."), tasks)


def _named(text: str, tasks: Sequence[Task]) -> str:
    return text % {"step": formatting.name(tasks[0].label)}


def _button(
    name: str,
    label: Promise,
    message: Callable[[Sequence[Any]], str],
    verb: str = "",
    also: tuple[str, ...] = (),
    comment_length: int = 0,
    help: str | Promise = "",
    **further: Any,
) -> Operation:
    return Operation(
        name=name,
        action=ACTIONS[verb or name],
        label=label,
        message=message,
        also=also,
        comment_length=comment_length,
        help=help,
        **further,
    )


BY_FORCE: Final = _button(
    "cancel_by_force",
    gettext_lazy("Cancel by force"),
    _forced,
    verb="cancel",
    help=gettext_lazy("This run is being canceled: ends its running tasks too"),
    given={"force": True},
    offered=can_be_forced,
)
OF_RUNS: Final = {
    button.name: button
    for button in (
        _button(
            "cancel",
            pgettext_lazy("to do with a run", "Cancel"),
            _canceled,
            help=gettext_lazy("Ends this run early"),
            forced=BY_FORCE,
        ),
        BY_FORCE,
        _button("pause", gettext_lazy("Pause"), _paused, help=gettext_lazy("Lets no further step start")),
        _button("resume", gettext_lazy("Resume"), _resumed, help=gettext_lazy("Lets steps start again")),
        _button(
            "retry",
            gettext_lazy("Retry failed"),
            _retried,
            help=gettext_lazy("In this run: what failed, and what comes after it; what has succeeded is kept"),
        ),
        _button(
            "relaunch",
            gettext_lazy("Relaunch"),
            _relaunched,
            help=gettext_lazy("A new run with the same payload, from the first step"),
        ),
        _button(
            "relaunch_with_changes",
            gettext_lazy("Relaunch with changes"),
            _relaunched,
            verb="relaunch",
            also=("run", "view_payload"),
            help=gettext_lazy("A new run with a payload that you change first, from the first step"),
        ),
    )
}
OF_TASKS: Final = {
    button.name: button
    for button in (
        _button(
            "rerun",
            gettext_lazy("Rerun from here"),
            _rerun,
            help=gettext_lazy("In this run: this step and all that comes after it, even what has succeeded"),
        ),
        _button(
            "skip",
            pgettext_lazy("to do with a task", "Skip"),
            _skipped,
            comment_length=COMMENT_LENGTH,
            help=gettext_lazy("In this run: goes on without this step, as if it had nothing to give"),
        ),
    )
}


def perform(request: HttpRequest, operation: Operation, row: R, **given: object) -> R:
    """Do an operation, and return the run or task to show next. Raises ``DirectorError``."""
    operation.action.require(request.user, row)
    after: R = operation.action.operation(row, user=request.user, via=VIA, **operation.given, **given)
    return after


def perform_on_one(request: HttpRequest, operation: Operation, row: R) -> R:
    """Do an operation from the page of a run or task, and warn the user if its state does not allow that."""
    given = {"comment": request.POST.get("comment", "")} if operation.comment_length else {}
    try:
        after = perform(request, operation, row, **given)
    except DirectorError as error:
        messages.warning(request, readable(families.refusal(error, Answers.of(request))))
        return row
    messages.success(request, operation.message([after]))
    return after


def perform_on_many(request: HttpRequest, operation: Operation, runs: Iterable[Run], site: str) -> None:
    """Do an operation to at most ``AT_ONCE`` runs; if one is refused, the others are still done."""
    done, refused, left = [], [], 0
    for number, run in enumerate(runs):
        if number >= AT_ONCE:
            left += 1
            continue
        try:
            done.append(perform(request, operation, run))
        except DirectorError as error:
            refused.append(_refusal(run, families.refusal(error, Answers.of(request)), site))
    if done:
        messages.success(request, operation.message(done))
    _tell_refused(request, refused)
    if left:
        text = _("%(left)s further runs were left alone: an action takes %(limit)s at once.")
        messages.warning(request, text % {"left": formatting.number(left), "limit": AT_ONCE})


def _tell_refused(request: HttpRequest, refused: list[SafeString]) -> None:
    for message in refused[:FAILURES_SHOWN]:
        messages.warning(request, message)
    rest = len(refused) - FAILURES_SHOWN
    if rest > 0:
        text = ngettext("%(n)s further run was refused.", "%(n)s further runs were refused.", rest)
        messages.warning(request, text % {"n": rest})


def _refusal(run: Run, why: str, site: str) -> SafeString:
    link = formatting.address("run_change", run.pk, site=site)
    return format_html('<a href="{}">{}</a>: {}', link, formatting.short_id(run.pk), readable(why))
