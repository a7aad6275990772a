"""The way out: the nearest known name."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

MAX_HINTS: Final = 20
"""The nearest of many names costs a comparison with each; a file full of wrong names must not cost minutes."""
LISTED: Final = 8
"""How many known names a hint lists at most."""


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name most like ``name``, whatever its case; ``None`` when none is near."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known, reverse=True)}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Collection[str], mark: str = "`{}`") -> str:
    """A hint with the nearest name, else with the known names when they are few, else ''."""
    if near := nearest(name, known):
        return f"did you mean {mark.format(near)}?"
    if 0 < len(known) <= LISTED:
        return "known: " + ", ".join(mark.format(candidate) for candidate in known)
    return ""
