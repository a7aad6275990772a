"""How long the transport waits before it asks the database again."""

from __future__ import annotations

import time
from collections.abc import Callable

FAST = 0.02
SLOW = 0.5
LINGER = 0.5


class Pace:
    """Pauses that are short while there are messages, and for ``linger`` seconds after that; then they grow.

    Times are seconds. During ``linger`` the next step of a workflow may come: it is published when the step before
    it ends, which is often a fraction of a second after that was received.
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
        """Note that a message was received or settled: the waiting times are short again."""
        self._active_at = self._clock()
        self._wait = self.fast

    def wait(self) -> float:
        """Return the seconds to wait until the next query; they grow as long as nothing happens."""
        if self._clock() - self._active_at < self.linger:
            return self.fast
        current, self._wait = self._wait, min(self._wait * 2, self.slow)
        return current
