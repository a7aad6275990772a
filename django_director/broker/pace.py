"""How long to wait before the database is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable

FAST = 0.02
SLOW = 0.5
LINGER = 0.5


class Pace:
    """Quick while there is something to do, and for a moment after it; then slower and slower.

    Times are seconds. The moment (``linger``) is for the next step of a workflow: it is published when the step
    before it ends, often a fraction of a second after that was received.
    """

    def __init__(
        self,
        *,
        fast: float = FAST,
        slow: float = SLOW,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fast = min(fast, slow)
        self.slow = slow
        self.linger = linger
        self._clock = clock
        self._active_at = clock()
        self._wait = self.fast

    def active(self) -> None:
        """Something was received or settled: be quick again."""
        self._active_at = self._clock()
        self._wait = self.fast

    def wait(self) -> float:
        """The seconds until the next look, each time longer when nothing happens."""
        if self._clock() - self._active_at < self.linger:
            return self.fast
        current, self._wait = self._wait, min(self._wait * 2, self.slow)
        return current
