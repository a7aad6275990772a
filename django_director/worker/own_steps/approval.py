"""An approval: a worker asks for a decision."""

from __future__ import annotations

from django_director.definitions.kinds.approval import ApprovalStep
from django_director.engine.attempts.claim import Claim
from django_director.engine.steps import approvals
from django_director.worker.step_outcomes import HELD, Held


def perform(claim: Claim) -> Held:
    """Let the step wait until a person, or its time-out, decides."""
    step = claim.node.step
    assert isinstance(step, ApprovalStep)
    approvals.ask(claim, step.timeout)
    return HELD
