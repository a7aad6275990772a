"""Checks the formats of texts in payloads: dates and times, e-mail addresses, addresses of the web.

Each check takes time in proportion to the text, and says how such a text is written. Formats that are not here
describe a value and check nothing, as JSON Schema has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from jsonschema import FormatChecker

FORMATS: Final = FormatChecker(formats=())

_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_OFFSET: Final = r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
_IS_DATE: Final = re.compile(_DATE)
_IS_MOMENT: Final = re.compile(rf"{_DATE}[Tt ]{_CLOCK}{_OFFSET}")
_IS_TIME: Final = re.compile(rf"[0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,9}})?)?{_OFFSET}?")
_IS_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x1f\x7f]+")
_WITH_HOST: Final = ("http", "https", "ftp", "ftps", "ws", "wss")


def is_date(text: str) -> bool:
    """Whether a text is a day of the calendar, as 2026-01-31."""
    return bool(_IS_DATE.fullmatch(text)) and _is_read(date.fromisoformat, text)


def is_moment(text: str) -> bool:
    """Whether a text is a day and a time of day with an offset from UTC, as 2026-01-31T14:30:00+01:00."""
    return bool(_IS_MOMENT.fullmatch(text)) and _is_read(datetime.fromisoformat, text.upper())


def is_time(text: str) -> bool:
    """Whether a text is a time of day, as 14:30, with or without seconds and an offset from UTC."""
    return bool(_IS_TIME.fullmatch(text)) and _is_read(time.fromisoformat, text.upper())


def is_email(text: str) -> bool:
    """Whether a text is the address of a mailbox."""
    return _is_read(validate_email, text)


def is_uri(text: str) -> bool:
    """Whether a text begins with a scheme and holds no character that addresses don't have."""
    if not _IS_ADDRESS.fullmatch(text) or not _is_read(lambda part: urlsplit(part).port, text):
        return False
    parts = urlsplit(text)
    return parts.scheme not in _WITH_HOST or bool(parts.hostname)


def is_url(text: str) -> bool:
    """Whether a text is an address with a host."""
    return is_uri(text) and bool(urlsplit(text).hostname)


def _is_read(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ValueError, ValidationError):
        return False
    return True


def _add(name: str, is_fitting: Callable[[str], bool], how: str) -> None:
    def check(value: object) -> bool:
        if isinstance(value, str) and not is_fitting(value):
            raise ValueError(how)
        return True

    FORMATS.checks(name, raises=ValueError)(check)


_add("date", is_date, "write a day as 2026-01-31")
_add("date-time", is_moment, "write a day, a time and the offset from UTC as 2026-01-31T14:30:00+01:00")
_add("time", is_time, "write a time of day as 14:30 or 14:30:00")
_add("email", is_email, "write an address as name@example.com")
_add("uri", is_uri, "write an address as https://example.com/page")
_add("url", is_url, "write an address as https://example.com/page")
