"""Searches with regular expressions that users write, in texts that others send; each search has a time limit.

A search of Python's ``re`` can't be stopped: ``^(a+)+$`` takes twice as long for each further character of a text
that does not fit. The package ``regex`` reads the same expressions, and stops when its time is up.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import regex

SECONDS: Final = 0.5
"""Seconds of processor time that one search may take."""
MOST_REPEATED: Final = 50_000
"""How many parts the counts of an expression may ask for: ``(?:a{1000}){1000}`` takes 300 MB before any text."""
_COUNT: Final = re.compile(r"\{(\d+)(?:,\d*)?\}")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)

_TRIED: Final = 300
"""How many characters the texts have on which an expression is tried."""
_TRY: Final = 0.1
_END: Final = "\x01"
"""A character that no tried expression expects: at the end of a text it makes that text one that does not fit."""
_MOST_TRIED: Final = 12
_USUAL: Final = ("a", "0", " ")
_QUANTIFIERS: Final = "*+{?"


class BadPattern(ValueError):
    """A regular expression can't be used. The message says why."""


class PatternTooSlow(Exception):
    """A search took too long. The message names the expression, but not the text, which may be secret."""


def search(pattern: str, text: str, seconds: float = SECONDS) -> bool:
    """Whether the expression ``pattern`` matches anywhere in ``text``.

    ``seconds`` limits the search further than ``SECONDS`` does. Raises ``BadPattern`` and ``PatternTooSlow``.
    """
    try:
        return compile_pattern(pattern).search(text, timeout=min(seconds, SECONDS)) is not None
    except (TimeoutError, MemoryError):
        shown = pattern if len(pattern) <= 100 else f"{pattern[:99]}…"
        raise PatternTooSlow(
            f"the pattern `{shown}` takes too long on a text of {len(text):,} characters"
        ) from None


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> regex.Pattern:
    """Return the expression compiled by ``regex``. Raises ``BadPattern``."""
    if _repeated(pattern) > MOST_REPEATED:
        raise BadPattern(f"its counts ask for more than {MOST_REPEATED:,} parts")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Only expressions that `re` reads too: `regex` has further syntax, with another meaning for some
            # texts.
            re.compile(pattern)
            return regex.compile(pattern)
    except (re.error, regex.error, OverflowError, RecursionError, ValueError) as error:
        raise BadPattern(str(error) or "it is nested too deeply") from error


def _repeated(pattern: str) -> int:
    """Return how many parts an expression has when each counted part is written out: ``a{3}`` has three."""
    totals, last, place = [0], 0, 0
    while place < len(pattern):
        sign, step = pattern[place], 1
        if sign == "(":
            totals.append(0)
        elif sign == ")" and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
        elif sign == "{" and (count := _COUNT.match(pattern, place)):
            more = last * max(int(count[1][:9]) - 1, 0)
            totals[-1] += more
            last, step = last + more, len(count[0])
        else:
            found = _CLASS.match(pattern, place) if sign == "[" else None
            step = len(found[0]) if found else 2 if sign == "\\" else 1
            last = 1
            totals[-1] += last
        place += step
    return sum(totals)


def slow_part(pattern: str) -> str:
    """Return a part of an expression that takes very long on some short texts; empty when none was found.

    This is a test and no proof: each repeated group is tried on some texts that it almost fits.
    """
    try:
        compile_pattern(pattern)
        return next((part for part in _repeated_groups(pattern) if _is_slow(part)), "")
    except BadPattern:
        return ""


def _is_slow(part: str) -> bool:
    signs = list(dict.fromkeys(filter(str.isalnum, re.sub(r"\\.|\{[^}]*\}", "", part))))[:_MOST_TRIED]
    signs = list(dict.fromkeys([*signs, *_USUAL, *filter(part.__contains__, "-_./,:@")]))
    for text in (*signs, *(first + second for first in signs[:4] for second in signs[:4] if first != second)):
        try:
            compile_pattern(f"^(?:{part})$").search(text * (_TRIED // len(text)) + _END, timeout=_TRY)
        except (BadPattern, TimeoutError) as error:
            return isinstance(error, TimeoutError)
    return False


def _repeated_groups(pattern: str) -> Iterator[str]:
    """Yield the groups of an expression that are repeated, together with their quantifiers."""
    opened, place = [], 0
    while place < len(pattern):
        sign, step = pattern[place], 1
        if sign == "[" and (found := _CLASS.match(pattern, place)):
            step = len(found[0])
        elif sign == "\\":
            step = 2
        elif sign == "(":
            opened.append(place)
        elif sign == ")" and opened:
            begin = opened.pop()
            after = pattern[place + 1 : place + 2]
            if after and after in _QUANTIFIERS:
                count = re.match(r"[*+?]|\{[^}]*\}", pattern[place + 1 :])
                yield pattern[begin : place + 1] + (count[0] if count else "")
        place += step
