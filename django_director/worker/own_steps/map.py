"""A map: a worker makes the rows of its items."""

from __future__ import annotations

from django_director.engine.attempts.claim import Claim
from django_director.engine.steps import maps
from django_director.worker.step_outcomes import HELD, Held


def perform(claim: Claim) -> Held | list[object]:
    """Make the rows of all items, and let the map wait for them; without items its result is an empty list."""
    texts = maps.items_of(claim)
    if not texts:
        return []
    maps.expand(claim, texts)
    return HELD
