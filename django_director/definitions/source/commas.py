"""Mends values that a comma has cut in two: `{when: max(payload.a, 1) > 2}` has one key more than it seems.

The parts are put together again, so that one problem is reported, and the rest of the file is read as it was
meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from . import codes
from .nodes import Node, ScalarNode, is_null
from .report import Report

MAX_PARTS: Final = 20
"""At most so many parts of one value are looked at: the work grows with the square of the open brackets."""

_CALL: Final = re.compile(r"\w\(")
_QUOTED: Final = re.compile(r'"[^"]*"|\'[^\']*\'')

Pair = tuple[Node, Node]


def mend_pairs(pairs: list[Pair], report: Report) -> list[Pair]:
    """Return the keys and values of a mapping in braces, where the part behind a comma is a key without value."""
    mended: list[Pair] = []
    number = 0
    while number < len(pairs):
        key, value = pairs[number]
        whole, parts = _mend_value(value, _lone_keys(pairs, number + 1), report, "{…}")
        mended.append((key, whole))
        number += 1 + parts
    return mended


def mend_items(items: list[Node], report: Report) -> list[Node]:
    """Return the items of a list in brackets."""
    mended: list[Node] = []
    number = 0
    while number < len(items):
        following = (items[index] for index in range(number + 1, len(items)))
        whole, parts = _mend_value(items[number], following, report, "[…]")
        mended.append(whole)
        number += 1 + parts
    return mended


def _lone_keys(pairs: list[Pair], start: int) -> Iterator[Node]:
    for index in range(start, len(pairs)):
        key, value = pairs[index]
        if not (is_null(value) and isinstance(value, ScalarNode) and not value.text):
            return
        yield key


def _mend_value(first: Node, following: Iterable[Node], report: Report, where: str) -> tuple[Node, int]:
    """Return the value as it was meant, report it, and return how many of the ``following`` parts belong to it."""
    if not isinstance(first, ScalarNode) or not first.is_plain or not _is_open(first.text, where):
        return first, 0
    text = first.text
    for number, part in enumerate(islice(following, MAX_PARTS), start=1):
        if not isinstance(part, ScalarNode) or not part.is_plain:
            break
        text = f"{text}, {part.text}"
        if not _is_open(text, where):
            message = f"a comma inside `{where}` ends a value: “{text[:80]}” is cut in two"
            report.error(codes.CUT, first, message, f"put it in quotes: {_in_quotes(text[:80])}")
            return replace(first, value=text, text=text, offset=-1, is_plain=False), number
    return first, 0


def _is_open(text: str, where: str) -> bool:
    """Return whether a call, or in a mapping a quote, has no end: a list may well hold “don't” and “can't”."""
    bare = _QUOTED.sub("", text)
    if _CALL.search(bare) and bare.count("(") > bare.count(")"):
        return True
    return where == "{…}" and ("'" in bare or '"' in bare)


def _in_quotes(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'
