"""Suggestions for an unknown name: the known name that is most like it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_HINTS: Final = 20
"""For how many wrong names of a file a suggestion is looked for.

Each suggestion is compared with all known names, and a file full of wrong names must not take minutes.
"""
MAX_COMPARED: Final = 60
"""How many characters of a name are compared: the work grows with the square of their number."""
CERTAIN: Final = 0.75
"""How much a wrong name must be like a known one to be taken for that."""
LISTED: Final = 8
"""How many known names a hint lists at most."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known name that is most like ``name``; the case of letters does not count.

    Empty when none is similar enough: ``cutoff`` is the least similarity, where 1 is equal.
    """
    by_start = {candidate.lower()[:MAX_COMPARED]: candidate for candidate in sorted(known, reverse=True)}
    found = get_close_matches(name.lower()[:MAX_COMPARED], by_start, n=1, cutoff=cutoff)
    return by_start[found[0]] if found else ""


def question(name: str, known: Iterable[str], mark: str = "“{}”") -> str:
    """Return the question whether the nearest of the ``known`` names was meant; empty when none is similar."""
    near = nearest(name, known)
    return f"did you mean {mark.format(near)}?" if near else ""


def did_you_mean(name: str, known: Iterable[str], mark: str = "`{}`", listed: int = LISTED) -> str:
    """Return a hint: the nearest of the known names, or all of them if they are at most ``listed``, or ``""``."""
    names = list(known)
    if near := question(name, names, mark):
        return near
    return "known: " + ", ".join(map(mark.format, names)) if 0 < len(names) <= listed else ""
