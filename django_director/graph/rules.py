"""Counts of how the members of a junction ended, and what a trigger rule decides from such a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django_director.definitions import TRIGGER_RULES
from django_director.status import TASK_BROKEN, TaskStatus

GUARD: Final = 1 << 24
"""What a guard that lets nothing run counts for: more than all other members of any junction."""


@dataclass(slots=True)
class Tally:
    """How many members of a junction have ended, and how many of them failed or were skipped."""

    ended: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Tally) -> None:
        self.ended += other.ended
        self.failed += other.failed
        self.skipped += other.skipped

    def as_guard(self) -> Tally:
        """As the guard of steps that wait for something else too."""
        return Tally(self.ended, self.failed * GUARD, self.skipped * GUARD)

    @property
    def is_guarded(self) -> bool:
        """Whether a guard has said no: whatever this could release has been settled by then."""
        return self.failed >= GUARD or self.skipped >= GUARD


def tally_of(status: str, *, is_forgiven: bool) -> Tally:
    """How the end of one task counts. A forgiven failure counts as a success, a cancel never does."""
    failed = status in TASK_BROKEN and not (is_forgiven and status == TaskStatus.FAILED)
    return Tally(1, int(failed), int(status == TaskStatus.SKIPPED))


def verdict(rule: str, entries: int, tally: Tally) -> TaskStatus:
    """``QUEUED`` where the rule holds, else what becomes of the step; ``tally`` counts entries."""
    if TRIGGER_RULES[rule].holds(entries, tally.failed, tally.skipped):
        return TaskStatus.QUEUED
    return TaskStatus.UPSTREAM_FAILED if tally.failed else TaskStatus.SKIPPED
