"""Readers of single values: texts, truth values, numbers, durations, lists of names."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from django_director.common.suggestions import did_you_mean
from django_director.definitions.source import codes
from django_director.definitions.source.compose import QUOTES
from django_director.definitions.source.foreign_words import Words, hint_for
from django_director.definitions.source.nodes import (
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    describe,
    is_null,
    text_of,
)
from django_director.definitions.source.report import Report

from .expressions import note_text

NAME_LENGTH: Final = 200
"""The database has room for so many characters of a name or an id."""
MAX_INT: Final = 2**31 - 1
"""The largest number that a column of 32 bits holds."""
LEAST_BATCH: Final = 2
MOST_BATCH: Final = 1_000
"""How many tasks one message takes at most."""
UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

Named = tuple[str, Node]
"""A name, and where it stands."""
Word = TypeVar("Word", bound=str)

_NUMBER: Final = r"(\d{1,10}(?:\.\d{1,6})?)"
_DURATION: Final = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in UNITS))


def read_text(mapping: MappingNode, key: str, report: Report, *, is_long: bool = False) -> str | None:
    """Return the text of a key; ``None`` when it is missing, null, or wrong, which is reported."""
    node = mapping.get(key)
    if node is None:
        return None
    text = text_of(node)
    if not text:
        shown = "empty" if text == "" else describe(node)
        empty = f"take `{key}` out, or write it"
        report.error(codes.VALUE, node, f"`{key}` must be text, and is {shown}", QUOTES if text is None else empty)
        return None
    if not is_long and len(text) > NAME_LENGTH:
        report.error(codes.TOO_LONG, node, f"`{key}` has more than {NAME_LENGTH} characters", "shorten it")
        return None
    if key != "description":
        note_text(node, key, report)
    return text


def read_flag(mapping: MappingNode, key: str, report: Report) -> bool | None:
    """Return a truth value; ``None`` when it is missing, null, or wrong, which is reported."""
    node = mapping.get(key)
    if node is None:
        return None
    if isinstance(node, ScalarNode) and isinstance(node.value, bool):
        return node.value
    report.error(
        codes.VALUE, node, f"`{key}` must be true or false, and is {describe(node)}", f"write `{key}: true`"
    )
    return None


def read_word(
    mapping: MappingNode, key: str, words: Sequence[Word], report: Report, foreign: Words = MappingProxyType({})
) -> Word | None:
    """Return one of some words; ``None`` when it is missing, null, or wrong, which is reported.

    ``foreign`` has the hints for words of other engines.
    """
    node = mapping.get(key)
    if node is None:
        return None
    text = text_of(node)
    for word in words:
        if word == text:
            return word
    shown = describe(node) if text is None else f"“{text}”"
    message = f"`{key}` can't be {shown}"
    report.error(codes.VALUE, node, message, hint_for(text or "", foreign) or did_you_mean(text or "", words))
    return None


def read_whole(mapping: MappingNode, key: str, lowest: int, highest: int, report: Report) -> int | None:
    """Return a whole number; ``None`` when it is missing, null, or wrong, which is reported."""
    node = mapping.get(key)
    if node is None:
        return None
    value = number_of(node)
    if isinstance(value, int) and lowest <= value <= highest:
        return value
    message = f"`{key}` must be a whole number from {lowest} to {highest:,}, and is {describe(node)}"
    report.error(codes.VALUE, node, message, f"write `{key}: {max(lowest, 1)}`")
    return None


def read_batch(mapping: MappingNode, report: Report) -> int | None:
    """Return `batch`; ``None`` when it is missing, null, or wrong, which is reported."""
    node = mapping.get("batch")
    value = None if node is None else number_of(node)
    if node is None or (isinstance(value, int) and LEAST_BATCH <= value <= MOST_BATCH):
        return value if isinstance(value, int) else None
    message = f"`batch` must be a whole number from {LEAST_BATCH} to {MOST_BATCH:,}, and is {describe(node)}"
    report.error(codes.VALUE, node, message, "write `batch: 50`, or take it out")
    return None


def read_duration(mapping: MappingNode, key: str, report: Report, *, lowest: int = 1) -> int | float | None:
    """Return the seconds of a number, or of a text as `1h30m`; ``None`` when missing, null, or wrong and reported.

    ``lowest`` is 0, or 1, which stands for anything above 0.
    """
    node = mapping.get(key)
    if node is None:
        return None
    value = number_of(node)
    text = text_of(node)
    seconds = parse_duration(text or "") if value is None else value
    if seconds is None:
        message = f"`{key}` must be a duration, and is {f'“{text[:40]}”' if text else describe(node)}"
        report.error(codes.DURATION, node, message, "write it as 90, 90s, 10m, 1h30m or 2d")
    elif seconds < 0 or (seconds < lowest and not seconds) or not seconds <= MAX_INT:
        bound = "above 0" if lowest else "0 or more"
        message = f"`{key}` must be {bound} and up to {MAX_INT:,} seconds, and is {text or describe(node)}"
        report.error(codes.DURATION, node, message, f"write `{key}: 90s` or `{key}: 2d`")
    else:
        return int(seconds) if seconds == int(seconds) else seconds
    return None


def number_of(node: Node) -> int | float | None:
    """Return the number of a scalar that YAML reads as one."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def parse_duration(text: str) -> float | None:
    """Return the seconds of a text as ``1h30m``; ``None`` for another text."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    return sum(float(number) * unit for number, unit in zip(match.groups(), UNITS.values(), strict=True) if number)


def read_names(mapping: MappingNode, key: str, report: Report, *, hint: str) -> list[Named] | None:
    """Return names, from a list or from one name; ``None`` when missing, null, or wrong and reported."""
    node = mapping.get(key)
    if node is None:
        return None
    items = node.items if isinstance(node, ListNode) else [node]
    names = [(text, item) for item in items if (text := text_of(item))]
    if len(names) == len(items):
        return names
    wrong = next(item for item in items if not text_of(item))
    what = "an empty one" if is_null(wrong) or text_of(wrong) == "" else describe(wrong)
    if isinstance(wrong, ScalarNode) and isinstance(wrong.value, bool):
        hint = f'{QUOTES}: "{wrong.text}"'
    report.error(codes.VALUE, wrong, f"`{key}` must be a list of names, and has {what}", hint)
    return None
