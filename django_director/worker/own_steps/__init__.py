"""Performs the steps that are no Celery tasks of the user: one module for each kind of step, with ``perform``.

Each module has the name of its kind of step, and is found by that name. ``perform`` takes the claim of the step
and returns the step's result, ``HELD`` or a ``Skip``. A ``DirectorError`` fails the step. After any other error a
worker performs the step again, as it does after the loss of a worker.
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
    """Perform a claimed step; return its result, ``HELD`` or a ``Skip``."""
    return _PERFORM[claim.node.kind](claim)


_PERFORM: Final[Mapping[str, Perform]] = {
    name: import_module(f"{__name__}.{name}").perform for _, name, _ in iter_modules(__path__)
}
KINDS: Final = frozenset(_PERFORM)
"""The kinds of steps that a worker does itself; ``group`` is the head of a group or chain with a condition."""
