"""Bounds what one check of a payload may cost, and keeps what it has made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from time import perf_counter, thread_time
from typing import Any, Final

from django_director.common.patterns import PatternTooSlow, search

SECONDS: Final = 1.0
"""One payload may take so much processor time."""
MIN_PAUSE: Final = 0.005
SHORT: Final = 64
"""Before a search in a text of fewer characters the clock is not asked: that would cost as much."""


TOO_LONG: Final = "it takes more than a second to check this against the schema"


class TooMuchWork(Exception):
    """It takes too long to check the payload against the schema."""


class Work:
    """The time that one check has left, and the validators it has made: parts of a schema come back with each
    item."""

    def __init__(self, seconds: float) -> None:
        self._end = thread_time() + seconds
        self._due = perf_counter() + seconds
        self.parts: dict[tuple[type, int, int], tuple[Any, Any]] = {}
        self.targets: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.choices: dict[int, tuple[Any, frozenset[str]]] = {}

    def check_time(self) -> None:
        """Raise ``TooMuchWork`` when the time is up."""
        # The thread's clock is dear to ask, and never ahead of this one.
        if perf_counter() >= self._due:
            self._due = perf_counter() + max(self.left(), MIN_PAUSE)

    def left(self) -> float:
        """Return how many seconds are left. Raises ``TooMuchWork`` when there are none."""
        left = self._end - thread_time()
        if left <= 0:
            raise TooMuchWork
        return left

    def is_found(self, pattern: str, text: str) -> bool:
        """Whether a pattern of the schema is found in a text of the payload."""
        return search(pattern, text) if len(text) < SHORT else search(pattern, text, self.left())


_work: ContextVar[Work] = ContextVar("django_director_work")


@contextlib.contextmanager
def limited_work() -> Iterator[None]:
    """Bound the work of the block. A block within another one shares what that has left."""
    if _work.get(None) is not None:
        yield
        return
    token = _work.set(Work(SECONDS))
    try:
        yield
    finally:
        _work.reset(token)


def present_work() -> Work:
    """Return the work that is bounded now."""
    return _work.get()


def explain_giving_up(error: TooMuchWork | PatternTooSlow) -> str:
    """Return what a person is told when a check was given up; it quotes nothing of the payload."""
    return str(error) or TOO_LONG
