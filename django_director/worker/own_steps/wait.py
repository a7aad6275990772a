"""A wait: a worker sets the time at which the step ends."""

from __future__ import annotations

from django_director.definitions.kinds.wait import WaitStep
from django_director.engine.attempts.claim import Claim
from django_director.engine.steps import timers
from django_director.worker.step_outcomes import HELD, Held
from django_director.worker.times import as_moment, as_seconds


def perform(claim: Claim) -> Held | None:
    """Let the step wait for its time; it ends at once when that has passed."""
    seconds = _seconds(claim)
    if seconds <= 0:
        return None
    timers.wait(claim, seconds)
    return HELD


def _seconds(claim: Claim) -> float:
    step, values = claim.node.step, claim.values
    assert isinstance(step, WaitStep)
    if step.until is None:
        given = step.seconds if values is None else values.evaluate("for", claim.names, missing=step.seconds)
        return as_seconds(given, str(step.seconds))
    until = step.until if values is None else values.evaluate("until", claim.names)
    moment = as_moment(until, str(step.until))
    return (moment - timers.now(claim)).total_seconds()
