"""Keeps the answer to a question that is dear to ask, for some seconds, for all threads of a process."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Asks a question again when its last answer is too old; threads that ask meanwhile wait for the answer."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asked_at = -math.inf
        self._answer: T

    def answer(self, seconds: float) -> T:
        """Return the answer; one from within the last ``seconds`` is used again."""
        with self._lock:
            if time.monotonic() - self._asked_at >= seconds:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def forget(self) -> None:
        """Ask again at the next call."""
        self._asked_at = -math.inf
