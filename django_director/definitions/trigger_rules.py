"""The trigger rules: whether a step runs, once everything before it has ended.

All that the program knows of a rule stands in its entry of ``_RULES``. The reader, the editors' schema and the
graph ask this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Holds = Callable[[int, int, int], bool]
"""Takes how many entries a step waits for, how many failed, and how many were skipped; returns whether it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRule:
    """One value of ``trigger_rule``."""

    name: str
    holds: Holds
    runs_after_failures: bool = False
    """Whether it may let a step run because something failed: ``fail_fast`` leaves such steps alone."""
    never_skips: bool = False
    """Whether a step with it either runs or fails with what is before it, and is never skipped."""
    passes_failures_on: bool = False
    """Whether each failure before the step makes the step fail."""
    counts_ends: bool = False
    """Whether it looks at the last steps of a container before it, and not at the container as a whole."""
    foreign_words: tuple[str, ...] = ()
    """Words of other engines that mean this rule."""


_RULES: Final = (
    TriggerRule(
        name="none_failed",
        holds=lambda entries, failed, skipped: not failed,
        never_skips=True,
        passes_failures_on=True,
    ),
    TriggerRule(
        name="all_success",
        holds=lambda entries, failed, skipped: not failed and not skipped,
        passes_failures_on=True,
        foreign_words=("on_success", "success", "all", "none_skipped"),
    ),
    TriggerRule(
        name="any_success",
        holds=lambda entries, failed, skipped: failed + skipped < entries,
        counts_ends=True,
        foreign_words=("one_success", "none_failed_min_one_success", "any"),
    ),
    TriggerRule(
        name="any_failed",
        holds=lambda entries, failed, skipped: failed > 0,
        runs_after_failures=True,
        foreign_words=("one_failed", "on_failure", "failure", "failed", "all_failed"),
    ),
    TriggerRule(
        name="always",
        holds=lambda entries, failed, skipped: True,
        runs_after_failures=True,
        never_skips=True,
        foreign_words=("all_done",),
    ),
)

TRIGGER_RULES: Final[Mapping[str, TriggerRule]] = {rule.name: rule for rule in _RULES}
"""Every rule by its name, in the order in which messages and editors list them."""
RULES: Final[tuple[str, ...]] = tuple(TRIGGER_RULES)
"""The names of all rules; the first one holds where a file says nothing."""
NONE_FAILED: Final = RULES[0]
HINTS: Final[Mapping[str, str]] = {word: f"write `{rule.name}`" for rule in _RULES for word in rule.foreign_words}
"""Hints for the words that other engines have in place of a rule's name."""
