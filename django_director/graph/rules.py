"""Counts of how the members of a junction ended, and what a trigger rule decides from such a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django_director.definitions import TRIGGER_RULES
from django_director.status import TASK_BROKEN, TaskStatus

GUARD: Final = 1 << 24
"""The weight of a guard whose condition is false: more than all other members of any junction together."""


@dataclass(slots=True)
class Tally:
    """How many members of a junction have ended, and how many of them failed or were skipped."""

    ended: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.ended += other.ended
        self.failed += other.failed
        self.skipped += other.skipped

    def as_guard(self) -> Tally:
        """Return this tally with the weight of a guard, for steps that wait for something else too."""
        return Tally(self.ended, self.failed * GUARD, self.skipped * GUARD)

    @property
    def is_guarded(self) -> bool:
        """Whether a guard's condition is false.

        Then the tasks behind the junction have got their status already.
        """
        return self.failed >= GUARD or self.skipped >= GUARD


def tally_of(status: str, *, is_forgiven: bool) -> Tally:
    """Return how the end of one task counts. A forgiven failure counts as a success; being canceled never does."""
    failed = status in TASK_BROKEN and not (is_forgiven and status == TaskStatus.FAILED)
    return Tally(1, int(failed), int(status == TaskStatus.SKIPPED))


def verdict(rule: str, entries: int, tally: Tally) -> TaskStatus:
    """Return ``QUEUED`` if the rule lets a step run, else the status that the step gets.

    ``tally`` counts the ``entries`` for which the step waits.
    """
    if TRIGGER_RULES[rule].holds(entries, tally.failed, tally.skipped):
        return TaskStatus.QUEUED
    return TaskStatus.UPSTREAM_FAILED if tally.failed else TaskStatus.SKIPPED
