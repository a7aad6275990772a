"""The head of a group or chain with a condition."""

from __future__ import annotations

from django_director.engine.attempts.claim import Claim


def perform(claim: Claim) -> bool:
    """Return that the head ran: the members read it from the head's result."""
    return True
