"""`retry` of a step: whether a failed attempt is followed by another one, and when. Reads no rows."""

from __future__ import annotations

import logging
import pkgutil
from functools import cache
from typing import Final

from django_director.definitions import Retry

logger = logging.getLogger(__name__)

HIGHEST: Final = 1e9
"""Seconds. No delay is longer, whatever the file says: databases' calendars end."""


def next_delay(retry: Retry, failures: int, error: type[BaseException], chance: float) -> float | None:
    """Seconds until the next attempt, or ``None`` when there is none.

    ``failures`` is how many attempts had failed before this one, which raised ``error``. ``chance``, from 0 to 1,
    is what jitter makes of the delay: half of it at 0, the whole at 1.
    """
    if failures >= retry.max or not _is_retried(retry, error):
        return None
    delay = min(_grown(retry, failures), float(retry.max_delay), HIGHEST)
    return delay * (0.5 + chance / 2) if retry.jitter else delay


def _grown(retry: Retry, failures: int) -> float:
    try:
        return float(retry.delay) * float(retry.backoff) ** failures
    except OverflowError:
        return HIGHEST


def _is_retried(retry: Retry, error: type[BaseException]) -> bool:
    if any(_is_named(name, error) for name in retry.never):
        return False
    return not retry.only or any(_is_named(name, error) for name in retry.only)


def _is_named(name: str, error: type[BaseException]) -> bool:
    """Whether ``name`` means an error: a dotted name one class and its subclasses, a bare one all of that name."""
    if "." not in name:
        return any(base.__name__ == name for base in error.__mro__)
    named = _named(name)
    # As `except` does, and not by `issubclass`: that asks the class, which may raise.
    return named is not None and any(base is named for base in error.__mro__)


@cache
def _named(name: str) -> type[BaseException] | None:
    """Return the class of a dotted name; ``None`` if this process can't import it, as another one could."""
    try:
        found = pkgutil.resolve_name(name)
    # A module of the project may raise anything when it is run, and the attempt's outcome must be written.
    except Exception as problem:
        logger.warning("`retry` names %s, which can't be imported here: %s", name, problem)
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
