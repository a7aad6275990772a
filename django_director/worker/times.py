"""Converts the values of `for` and `until` of a wait step to a duration and to a moment."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from django.utils import timezone

from django_director.definitions.fields.plain_values import MAX_INT, parse_duration
from django_director.exceptions import ExpressionError
from django_director.expressions.operations import kind

DURATION: Final = "give seconds as a number, or a text like `1h30m`"
LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""The latest moment: late enough for "never", and one that exists in every time zone."""
MOMENT: Final = "give ISO 8601, or epoch seconds as a number"


def as_seconds(value: object, text: str) -> float:
    """Return a duration, the value of the expression ``text``, in seconds. Raises ``ExpressionError``."""
    seconds = parse_duration(value.strip()) if isinstance(value, str) else _number(value)
    if seconds is None:
        raise ExpressionError(f"it gives {kind(value)}, which is no duration", text, hint=DURATION)
    if not 0 <= seconds <= MAX_INT:
        raise ExpressionError(f"it gives a duration that is not between 0 and {MAX_INT:,} s", text, hint=DURATION)
    return seconds


def as_moment(value: object, text: str) -> datetime:
    """Return the moment that is the value of the expression ``text``. Raises ``ExpressionError``.

    The value is epoch seconds, or a text in ISO 8601; a text without an offset is in Django's ``TIME_ZONE``.
    """
    try:
        moment = _parsed(value)
        if moment.tzinfo is None:
            moment = timezone.make_aware(moment, timezone.get_default_timezone())
        return min(moment, LAST)
    except (ValueError, OverflowError, OSError) as error:
        raise ExpressionError(f"it gives {kind(value)}, which is no time", text, hint=MOMENT) from error


def _parsed(value: object) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value.strip())
    seconds = _number(value)
    if seconds is None:
        raise ValueError
    return datetime.fromtimestamp(seconds, UTC)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
