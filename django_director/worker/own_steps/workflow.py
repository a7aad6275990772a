"""Another workflow as a step: a worker starts the child run, or goes on with one that is there."""

from __future__ import annotations

from django_director.engine.attempts.claim import Claim
from django_director.engine.steps import child_workflows
from django_director.models.results import size_limit
from django_director.worker import inputs
from django_director.worker.step_outcomes import HELD, Skip


def perform(claim: Claim) -> object:
    """Let the step wait for its child run; return the child's result if that has ended already."""
    try:
        child = child_workflows.start_or_resume(claim, inputs.child_payload(claim))
    except child_workflows.Refused as refusal:
        return Skip(str(refusal))
    if child is None:
        return HELD
    return child_workflows.result_of(child, size_limit(claim.graph, claim.node.position))
