"""Texts in the language of who reads them, in English for programs, and numbers as the language writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.utils.formats import get_format
from django.utils.functional import Promise, lazy
from django.utils.translation import override, pgettext

NONE: Final = None
"""The language in which texts stay as the code has them: English."""


def _make(make: Callable[..., str], *args: object) -> str:
    return make(*args)


_lazy_text: Final[Any] = lazy(_make, str)


def lazy_text(make: Callable[..., str], *args: object) -> Promise:
    """Return a text that ``make`` makes whenever it is read: in the language of the reader of that moment.

    What a process keeps and shows to several people holds such texts.
    """
    text: Promise = _lazy_text(make, *args)
    return text


def in_english(make: Callable[..., str], *args: object) -> str:
    """Return the text that ``make`` makes for programs, commands and logs."""
    with override(NONE):
        return make(*args)


def number(value: float, form: str = ",") -> str:
    """Return a number with the signs of the language: ``12,345.5`` in English, ``12 345,5`` in Russian."""
    if form == "," and isinstance(value, int) and abs(value) < 1000:
        # Most are: a list has hundreds of them.
        return str(value)
    signs = {",": get_format("THOUSAND_SEPARATOR"), ".": get_format("DECIMAL_SEPARATOR")}
    return f"{value:{form}}".translate(str.maketrans(signs))


def count_of(status: object, value: int) -> str:
    """Return how many there are of a status: ``3 failed``."""
    return pgettext("how many of a status", "%(n)s %(status)s") % {"n": number(value), "status": status}
