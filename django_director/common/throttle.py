"""Say the same thing once in a while only."""

from __future__ import annotations

import time
from typing import Final

PERIOD: Final = 60.0
"""Seconds in which one thing is said once."""


class Throttle:
    """Lets the first of its kind pass, and then one for each period; the threads of a process share it."""

    def __init__(self, period: float = PERIOD) -> None:
        self._period = period
        self._said: dict[str, float] = {}

    def passes(self, kind: str) -> bool:
        """Whether something of this kind may be said now."""
        now = time.monotonic()
        if now - self._said.get(kind, float("-inf")) < self._period:
            return False
        self._said[kind] = now
        return True

    def reset(self) -> None:
        """Let everything pass again: what was wrong is over."""
        self._said.clear()
