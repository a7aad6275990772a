"""Limits how often a process repeats a message."""

from __future__ import annotations

import time
from typing import Final

PERIOD: Final = 60.0
"""Seconds in which a message is written once."""


class Throttle:
    """Lets the first message of a kind pass, and then one in each period. Threads may share it."""

    def __init__(self, period: float = PERIOD) -> None:
        self._period = period
        self._said: dict[str, float] = {}

    def passes(self, kind: str) -> bool:
        """Whether a message of this kind may be written now; if so it counts as written."""
        now = time.monotonic()
        if now - self._said.get(kind, float("-inf")) < self._period:
            return False
        self._said[kind] = now
        return True

    def reset(self) -> None:
        """Let the next message of each kind pass: the problem is over."""
        self._said.clear()
