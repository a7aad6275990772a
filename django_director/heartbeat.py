"""The signs of life of a worker, written by a thread beside its supervisor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError

from .engine import workers
from .engine.bounds import bounded
from .engine.transactions import disconnect
from .throttle import Throttle

logger = logging.getLogger(__name__)


class Heartbeat(threading.Thread):
    """Writes a worker's signs of life until ``leave``."""

    def __init__(self, key: int, name: str, *, is_watched: bool) -> None:
        super().__init__(name="director-heartbeat", daemon=True)
        self._key = key
        self._worker = name
        self._is_watched = is_watched
        self._leaving = threading.Event()
        self._warnings = Throttle()

    def run(self) -> None:
        """Beat, and say good-bye at the end."""
        while not self._leaving.is_set():
            self._try(lambda: workers.beat(self._key, self._worker, is_watched=self._is_watched))
            self._leaving.wait(workers.beat_period())
        self._try(lambda: workers.leave(self._key))
        disconnect()

    def leave(self, seconds: float) -> None:
        """Write that the worker ends; wait for that for ``seconds`` at most."""
        self._leaving.set()
        self.join(seconds)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            with bounded():
                work()
        except (DatabaseError, InterfaceError) as error:
            disconnect()
            if self._warnings.passes("beat"):
                logger.warning("The worker can't write that it is alive: %s", error, extra={"action": "beat"})
