"""The way out: the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_HINTS: Final = 20
"""The nearest of many names costs a comparison with each; a file full of wrong names must not cost minutes."""
MAX_COMPARED: Final = 60
"""Characters of a name that are compared: the work grows with the square."""
CERTAIN: Final = 0.75
"""How much a wrong name must be like a known one to be taken for that."""
LISTED: Final = 8
"""How many known names a hint lists at most."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known name most like ``name``, whatever its case; empty when none is near: at least ``cutoff`` of 1."""
    by_start = {candidate.lower()[:MAX_COMPARED]: candidate for candidate in sorted(known, reverse=True)}
    found = get_close_matches(name.lower()[:MAX_COMPARED], by_start, n=1, cutoff=cutoff)
    return by_start[found[0]] if found else ""


def question(name: str, known: Iterable[str], mark: str = "“{}”") -> str:
    """The question whether the nearest of ``known`` was meant; empty when none is near."""
    near = nearest(name, known)
    return f"did you mean {mark.format(near)}?" if near else ""


def did_you_mean(name: str, known: Iterable[str], mark: str = "`{}`", listed: int = LISTED) -> str:
    """A hint with the nearest name, else with the known names when they are at most ``listed``, else ''."""
    names = list(known)
    if near := question(name, names, mark):
        return near
    return "known: " + ", ".join(map(mark.format, names)) if 0 < len(names) <= listed else ""
