"""What a worker does for a step that is no Celery task of the user's. Each kind of step has its function here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from django_director.definitions.model import ApprovalStep, WaitStep
from django_director.engine.attempts.claim import Claim
from django_director.engine.steps import approvals, child_workflows, maps, timers

from . import inputs
from .times import as_moment, as_seconds


class Held(Enum):
    HELD = "held"


HELD: Final = Held.HELD
"""The step waits: its row was made to, and somebody else will end it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The step does not run."""

    reason: str


def perform(claimed: Claim) -> Any:
    """Do a step of ours; return its result, ``HELD`` or a ``Skip``.

    A ``DirectorError`` fails the step; after any other error it is tried again, as after the loss of a worker.
    """
    return _PERFORM[claimed.node.kind](claimed)


def _head(claimed: Claim) -> bool:
    # The members of a container read from its head's result that it ran.
    return True


def _map(claimed: Claim) -> Any:
    assert claimed.values is not None
    texts = maps.read_items(claimed.values.evaluate("over", claimed.names))
    if not texts:
        return []
    maps.expand(claimed, texts)
    return HELD


def _approval(claimed: Claim) -> Any:
    step = claimed.node.step
    assert isinstance(step, ApprovalStep)
    approvals.ask(claimed, step.timeout)
    return HELD


def _wait(claimed: Claim) -> Any:
    seconds = _seconds(claimed)
    if seconds <= 0:
        return None
    timers.wait(claimed, seconds)
    return HELD


def _seconds(claimed: Claim) -> float:
    step, values = claimed.node.step, claimed.values
    assert isinstance(step, WaitStep)
    if step.until is None:
        given = step.seconds if values is None else values.evaluate("for", claimed.names, missing=step.seconds)
        return as_seconds(given, str(step.seconds))
    until = step.until if values is None else values.evaluate("until", claimed.names)
    moment = as_moment(until, str(step.until))
    return (moment - timers.now(claimed)).total_seconds()


def _workflow(claimed: Claim) -> Any:
    try:
        child = child_workflows.start_or_resume(claimed, inputs.child_payload(claimed))
    except child_workflows.Refused as refusal:
        return Skip(str(refusal))
    return HELD if child is None else child_workflows.result_of(child)


_PERFORM: Final[Mapping[str, Callable[[Claim], Any]]] = {
    "group": _head,
    "map": _map,
    "approval": _approval,
    "wait": _wait,
    "workflow": _workflow,
}
