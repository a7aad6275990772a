"""What a worker does for a step that is no Celery task of the user's: one module for each kind, with ``perform``.

A module has the name of its kind, and is found by that. ``perform`` takes the claim of the step and returns the
step's result, ``HELD`` or a ``Skip``. A ``DirectorError`` fails the step; after any other error a worker does the
step again, as after the loss of a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from django_director.engine.attempts.claim import Claim
from django_director.worker.step_outcomes import HELD, Skip

__all__ = ["HELD", "KINDS", "Skip", "perform"]

Perform = Callable[[Claim], object]


def perform(claim: Claim) -> object:
    """Do what the kind of the claimed step asks for; return what came of it."""
    return _PERFORM[claim.node.kind](claim)


_PERFORM: Final[Mapping[str, Perform]] = {
    name: import_module(f"{__name__}.{name}").perform for _, name, _ in iter_modules(__path__)
}
KINDS: Final = frozenset(_PERFORM)
"""The kinds of steps that a worker does itself; ``group`` is the head of a group or chain with a condition."""
