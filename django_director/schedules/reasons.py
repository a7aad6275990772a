"""Says why a schedule can't start a run, in the words of pages, commands and logs.

No text quotes the payload: people who may not see payloads read it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.common.languages import lazy_text, number
from django_director.exceptions import (
    InactiveWorkflow,
    InvalidPayload,
    Misuse,
    UnknownWorkflow,
)

NAMED: Final = 3
"""How many schedules have a sentence of their own."""
ERRORS_SHOWN: Final = 3
"""How many errors of a payload a sentence has."""


class Reason(NamedTuple):
    """Why no run could start. What ``words`` and ``cure`` return is in the language of the reader."""

    words: Callable[[str], str]
    cure: Callable[[], str]
    detail: str = ""
    """What ``words`` quotes, in English."""

    def __str__(self) -> str:
        return self.words(self.detail)


class Obstacle(NamedTuple):
    """A schedule that can't start a run."""

    schedule: str
    """Its name; empty for a message that belongs to no schedule."""
    workflow: str
    """The name of the workflow; empty if its arguments can't be read."""
    reason: Reason

    def __lt__(self, other: tuple[object, ...]) -> bool:
        # Reasons have no order.
        return self[:2] < other[:2]

    def __str__(self) -> str:
        if not self.schedule:
            text = _("a message can't start a run of “%(workflow)s”: %(advice)s")
        elif not self.workflow:
            text = _("schedule “%(schedule)s” can't start a run: %(advice)s")
        else:
            text = _("schedule “%(schedule)s” of “%(workflow)s” can't start a run: %(advice)s")
        return text % {"schedule": self.schedule, "workflow": self.workflow, "advice": self.advice}

    @property
    def advice(self) -> str:
        """The reason, and what to do."""
        return _("%(reason)s; %(cure)s") % {"reason": str(self.reason), "cure": self.reason.cure()}


def reason_of(error: Exception) -> Reason:
    """Return why a start was refused, without quotations from the payload."""
    match error:
        case InactiveWorkflow():
            return LEFT
        case UnknownWorkflow():
            return UNKNOWN
        case Misuse():
            return WRONG_ARGUMENTS
        case InvalidPayload() if all(each["path"] for each in error.plain):
            return Reason(_misfit, _change_payload, _errors(error))
        case InvalidPayload():
            return Reason(_refusal, _change_payload, _errors(error))
    return Reason(str, _change_workflow, str(error))


def sentences(found: Sequence[Obstacle], with_names: bool = True) -> list[Promise]:
    """Return the first schedules that can't start a run, a sentence each, and how many more there are.

    Without ``with_names`` it is one sentence, which tells only how many there are.
    """
    if not with_names:
        return [lazy_text(_unnamed, len(found))] if found else []
    told = [lazy_text(str, each) for each in found[:NAMED]]
    more = len(found) - NAMED
    return [*told, lazy_text(_more, more)] if more > 0 else told


def _unnamed(number_of_all: int) -> str:
    text = ngettext(
        "%(n)s schedule can't start a run: “%(command)s” says why",
        "%(n)s schedules can't start a run: “%(command)s” says why",
        number_of_all,
    )
    return text % {"n": number(number_of_all), "command": "manage.py directorstatus"}


def _more(number_of_rest: int) -> str:
    text = ngettext(
        "%(n)s more schedule can't start a run: the page of its workflow says why",
        "%(n)s more schedules can't start a run: the pages of their workflows say why",
        number_of_rest,
    )
    return text % {"n": number(number_of_rest)}


def _errors(error: InvalidPayload) -> str:
    texts = [f"{each['path']}: {each['message']}" if each["path"] else each["message"] for each in error.plain]
    return "; ".join([*texts[:ERRORS_SHOWN], *(["…"] if len(texts) > ERRORS_SHOWN else [])])


def _misfit(errors: str) -> str:
    return _("the payload does not fit the schema (%(errors)s)") % {"errors": errors}


def _refusal(errors: str) -> str:
    return _("a run can't take the payload (%(errors)s)") % {"errors": errors}


def _change_payload() -> str:
    return _("change its payload or the schema")


def _change_workflow() -> str:
    return _("change the workflow")


UNREADABLE: Final = Reason(
    lambda __: _("its arguments are not readable JSON"), lambda: _("correct them among the periodic tasks")
)
WRONG_ARGUMENTS: Final = Reason(
    lambda __: _("its arguments are not the name of a workflow and a payload"),
    lambda: _("correct them among the periodic tasks"),
)
UNKNOWN: Final = Reason(
    lambda __: _("there is no workflow of this name"), lambda: _("sync its file, or delete the schedule")
)
LEFT: Final = Reason(
    lambda __: _("the workflow has left the workflow files"),
    lambda: _("bring it back, or switch the schedule off"),
)
