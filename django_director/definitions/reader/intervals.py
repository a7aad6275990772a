"""Reads the intervals of schedules, with the limits of django-celery-beat's tables."""

from __future__ import annotations

import math
from typing import Final

from django_director.definitions.fields.plain_values import MAX_INT, parse_duration

LEAST: Final = 0.1
"""Seconds. An interval below would start runs faster than most sites can work on them."""


class IntervalError(ValueError):
    """The interval can't be used; ``hint`` says what to write in its place."""

    def __init__(self, message: str, hint: str) -> None:
        self.hint = hint
        super().__init__(message)


def normalise(seconds: float | None) -> str:
    """Return the seconds of an interval as text; ``None`` stands for what is no duration.

    Raises ``IntervalError``.
    """
    if seconds is None or not math.isfinite(seconds) or not 0 < seconds <= MAX_INT:
        message = f"must be a duration above 0 and up to {MAX_INT:,} seconds"
        raise IntervalError(message, "write `interval: 60`, or 90s, 10m, 1h30m, 2d")
    if seconds < LEAST:
        raise IntervalError(f"must be a duration of at least {LEAST} seconds", "write `interval: 1`")
    # Fractions are kept as microseconds, in a column of 32 bits.
    if seconds != int(seconds) and seconds * 1_000_000 > MAX_INT:
        message = "takes a fraction of a second up to 2,147 seconds only"
        raise IntervalError(message, f"write `interval: {max(1, round(seconds))}`")
    return str(int(seconds)) if seconds == int(seconds) else repr(seconds)


def parse(text: str) -> str:
    """Return the seconds of an interval that a person has typed: ``90``, ``1h30m``. Raises ``IntervalError``."""
    try:
        seconds: float | None = float(text)
    except ValueError:
        seconds = parse_duration(text)
    return normalise(seconds)
