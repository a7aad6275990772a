"""Notes values without quotes that YAML 1.1 reads as something else than they look: `NO`, `3.10`, `1e3`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from . import codes
from .nodes import ListNode, MappingNode, Node, ScalarNode, text_of
from .report import Report
from .scalars import is_number_elsewhere

_LETTERS: Final = ("true", "false")
"""The words for truth values that nobody means as text."""
_ODD_NUMBER: Final = re.compile(r"\+.*|.*_.*|-?0[xXbB].*|-?\d+\.\d+0", re.DOTALL)
"""Numbers that are often meant as text: +4930123, 1_000, 0x1F, the version 3.10."""
_OF_VALUES: Final = ("enum", "const", "default", "examples")
"""The keywords of a schema that hold values of payloads."""


def note_misread(node: Node, key: str, report: Report) -> None:
    """Note what is read otherwise than it looks, in a value that may hold anything; once for all aliases of it."""
    for scalar in _plain_scalars(node):
        place = scalar.line, scalar.column
        if place not in report.budget.noted and (found := _misread(scalar)):
            report.budget.noted.add(place)
            read_as, instead = found
            message = f"`{key}` has {scalar.text[:40]}, which YAML reads as {read_as}"
            report.note(codes.MISREAD, scalar, message, f'write "{scalar.text[:40]}" for the text{instead}')


def note_misread_schema(node: MappingNode, report: Report) -> None:
    """Note values of payloads in a schema that YAML reads otherwise than they look."""
    for name, entry in node.entries.items():
        if name in _OF_VALUES and not (name == "default" and text_of(node.get("type")) == "boolean"):
            note_misread(entry.value, name, report)
        else:
            for part in entry.value.items if isinstance(entry.value, ListNode) else [entry.value]:
                if isinstance(part, MappingNode):
                    note_misread_schema(part, report)


def _misread(node: ScalarNode) -> tuple[str, str] | None:
    """Return how a value is read, and what to write to get that; ``None`` when it is read as it looks."""
    value, text = node.value, node.text
    if isinstance(value, bool):
        word = "true" if value else "false"
        return None if text.lower() in _LETTERS else (word, f", else {word}")
    if isinstance(value, int | float) and _ODD_NUMBER.fullmatch(text):
        return f"the number {value}", f", else {value}"
    if isinstance(value, str) and is_number_elsewhere(text):
        return "text", _as_number(text)
    return None


def _as_number(text: str) -> str:
    if text.startswith("0o"):
        return f", or {int(text, 8)} for the number"
    number = float(text.replace("_", ""))
    return (
        f", or {int(number)} for the number" if number.is_integer() and abs(number) < 1e15 else ", or write it out"
    )


def _plain_scalars(node: Node) -> Iterator[ScalarNode]:
    if isinstance(node, MappingNode):
        for entry in node.entries.values():
            yield from _plain_scalars(entry.value)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from _plain_scalars(item)
    elif isinstance(node, ScalarNode) and node.is_plain:
        yield node
