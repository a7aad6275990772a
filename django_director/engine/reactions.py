"""Reactions: what other parts of the engine do when something becomes of a run.

The part that ends a run raises an event here and does not know who reacts. The parts that react, as concurrency
and child workflows, register a function when they are imported, which ``engine/__init__`` sees to. So the imports
between the parts go in one direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

from .outbox import RunRef

T = TypeVar("T")


class Event(Generic[T]):
    """Something that happens to a run, with the functions that are called then, in the order of registration."""

    def __init__(self) -> None:
        self.reactions: list[Callable[[T], None]] = []

    def register(self, reaction: Callable[[T], None]) -> Callable[[T], None]:
        """Let ``reaction`` be called at each such event; a decorator."""
        self.reactions.append(reaction)
        return reaction

    def __call__(self, subject: T) -> None:
        for reaction in self.reactions:
            reaction(subject)


slot_freed: Event[RunRef] = Event()
"""A run that held a slot of its key has ended. In its transaction: a reaction acts after the commit."""
run_ended: Event[RunRef] = Event()
"""A run has got its outcome. In its transaction: a reaction acts after the commit."""
step_time_up: Event[UUID] = Event()
"""A child run, named by its id, is being canceled because the time of its step is up. Outside of transactions."""
