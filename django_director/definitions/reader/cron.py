"""Reads crontab expressions, and checks them as Celery does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART: Final = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)


class CrontabError(ValueError):
    """The expression can't be used; the message says which field is wrong, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    lowest: int
    highest: int
    length: int
    """The room in django-celery-beat's table."""
    words: tuple[str, ...] = ()


_FIELDS: Final = (
    _Field(name="minute", lowest=0, highest=59, length=240),
    _Field(name="hour", lowest=0, highest=23, length=96),
    _Field(name="day of month", lowest=1, highest=31, length=124),
    _Field(name="month of year", lowest=1, highest=12, length=64, words=_MONTHS),
    _Field(name="day of week", lowest=0, highest=6, length=64, words=_DAYS),
)


def normalise(text: str) -> str:
    """Return the five fields, "minute hour day_of_month month_of_year day_of_week", with single spaces.

    Raises ``CrontabError``.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise CrontabError(f"a crontab has 5 fields, this one has {len(parts)}")
    values = [_values(part, field) for part, field in zip(parts, _FIELDS, strict=True)]
    days, months = values[2], values[3]
    if min(days) > max(_DAYS_OF_MONTH[month - 1] for month in months):
        raise CrontabError(f"day {min(days)} never comes in the months it names")
    return " ".join(parts)


def _values(text: str, field: _Field) -> set[int]:
    if len(text) > field.length:
        raise CrontabError(f"{field.name}: longer than {field.length} characters")
    values: set[int] = set()
    for part in text.split(","):
        values.update(_part(part, field))
    return values


def _part(text: str, field: _Field) -> list[int]:
    match = _PART.fullmatch(text)
    if match is None or (match["step"] and not (match["star"] or match["last"])):
        raise CrontabError(f"{field.name}: “{text}” is no number, range or `*`")
    step = int(match["step"] or 1)
    if step < 1:
        raise CrontabError(f"{field.name}: the step of “{text}” must be at least 1")
    return _range(match, field)[::step]


def _range(match: re.Match[str], field: _Field) -> list[int]:
    everything = list(range(field.lowest, field.highest + 1))
    if match["star"]:
        return everything
    first = _number(match["first"], field)
    last = _number(match["last"], field) if match["last"] else first
    if first <= last:
        return list(range(first, last + 1))
    # Celery wraps around: 22-2 are the hours 22, 23, 0, 1, 2.
    return [value for value in everything if value >= first] + [value for value in everything if value <= last]


def _number(text: str, field: _Field) -> int:
    word = text.lower()[:3]
    if word in field.words:
        return field.words.index(word) + field.lowest
    if not text.isdigit():
        raise CrontabError(f"{field.name}: “{text}” is not a number")
    if not field.lowest <= (number := int(text[:9])) <= field.highest:
        raise CrontabError(f"{field.name}: {number} is not between {field.lowest} and {field.highest}")
    return number
