"""Readers of expressions. An expression is compiled to learn what it uses, and kept as it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django_director.common.json_values import JsonValue
from django_director.definitions.source import codes
from django_director.definitions.source.compose import MAX_BYTES
from django_director.definitions.source.misreadings import note_misread
from django_director.definitions.source.nodes import (
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    describe,
    plain,
    text_of,
)
from django_director.definitions.source.report import Report
from django_director.exceptions import ExpressionError
from django_director.expressions import ConstantError, Reference, compile_expression, compile_value, spell

OPEN: Final = "${{"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A value that an expression uses, and where it stands."""

    reference: Reference
    node: Node
    key: str
    """The key at which the expression stands."""


def read_expression(mapping: MappingNode, key: str, report: Report, uses: list[Use]) -> JsonValue:
    """Return the text of an expression, or a value that stands for itself.

    Returns ``None`` when the key is missing or null, or when its value is wrong, which is reported. What the
    expression uses is added to ``uses``.
    """
    node = mapping.get(key)
    if node is None:
        return None
    if isinstance(node, MappingNode):
        message = f"`{key}` must be an expression, and is {describe(node)}"
        report.error(codes.EXPRESSION, node, message, f"write `{key}: payload.name`")
        return None
    text = text_of(node)
    if text is None:
        for scalar in expressions_in(node):
            hint = f'write the whole list as one expression: `{key}: "${{{{ [payload.a, payload.b] }}}}"`'
            report.error(codes.EXPRESSION, scalar, f"`{key}`: the values of a list stand for themselves", hint)
        if isinstance(node, ListNode):
            note_misread(node, key, report)
        return plain(node)
    assert isinstance(node, ScalarNode)
    if not _can_afford(node, report):
        return None
    try:
        references = compile_expression(text, report.known).references
    except ExpressionError as error:
        _report(error, node, key, report)
        return None
    uses += _uses(references, node, key)
    return text


def read_until(mapping: MappingNode, key: str, report: Report, uses: list[Use]) -> JsonValue:
    """Read a time: an expression, epoch seconds, or a written time, which becomes an expression in quotes."""
    node = mapping.get(key)
    text = text_of(node)
    if node is None:
        return None
    if text is not None and _TIME.match(text):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            report.error(codes.VALUE, node, f"`{key}`: “{text[:40]}” is no time of ISO 8601", _UNTIL)
        return json.dumps(text)
    if text is None and not _is_number(node):
        report.error(codes.VALUE, node, f"`{key}` must be a time, and is {describe(node)}", _UNTIL)
        return None
    return read_expression(mapping, key, report, uses)


_UNTIL: Final = "write `2030-01-31T08:00:00`, epoch seconds, or an expression that gives one of these"


def _is_number(node: Node) -> bool:
    return isinstance(node, ScalarNode) and type(node.value) in (int, float)


def read_template(node: Node, key: str, report: Report, uses: list[Use]) -> Any:
    """Return a value with ``${{ … }}`` in it, as it is written. What the expressions use is added to ``uses``."""
    note_misread(node, key, report)
    for scalar in texts_with(".", node):
        _note_bare(scalar, key, report)
    for scalar in texts_with("{{", node):
        _note_braces(scalar, key, report)
    for wrong in _keys_with(OPEN, node):
        report.error(codes.EXPRESSION, wrong, f"`{key}`: an expression can't be a key", _NO_KEY)
    for scalar in expressions_in(node):
        if not _can_afford(scalar, report):
            break
        try:
            references = compile_value(scalar.value, report.known).references
        except ExpressionError as error:
            _report(error, scalar, key, report)
        else:
            uses += _uses(references, scalar, key)
    return plain(node)


def _can_afford(node: ScalarNode, report: Report) -> bool:
    """Count the text of an expression; report when aliases make too much text of the expressions of a file."""
    budget = report.budget
    before = budget.characters
    budget.characters += len(node.text)
    if before <= MAX_BYTES < budget.characters:
        message = f"with aliases expanded the expressions have more than {MAX_BYTES:,} characters"
        report.error(codes.TOO_LARGE, node, message, "split the file, or use fewer aliases")
    return budget.characters <= MAX_BYTES


def expressions_in(node: Node) -> Iterator[ScalarNode]:
    """Yield the texts of a value in which ``${{`` stands."""
    return texts_with(OPEN, node)


def texts_with(part: str, node: Node) -> Iterator[ScalarNode]:
    """Yield the texts of a value in which ``part`` stands."""
    if isinstance(node, MappingNode):
        for entry in node.entries.values():
            yield from texts_with(part, entry.value)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from texts_with(part, item)
    elif isinstance(node, ScalarNode) and isinstance(node.value, str) and part in node.value:
        yield node


def _keys_with(part: str, node: Node) -> Iterator[ScalarNode]:
    if isinstance(node, MappingNode):
        for entry in node.entries.values():
            if part in entry.key.text:
                yield entry.key
            yield from _keys_with(part, entry.value)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from _keys_with(part, item)


_NO_KEY: Final = "write the key as it is; only values are evaluated"


def note_text(node: Node, key: str, report: Report) -> None:
    """Note expressions in a value that is never evaluated."""
    for scalar in expressions_in(node):
        message = f"`{key}` holds `${{{{ … }}}}`, which stays text here"
        report.note(codes.STAYS_TEXT, scalar, message, _EVALUATED)


_EVALUATED: Final = "only `with`, `payload` and `for` of steps, and expressions, are evaluated"


def _note_braces(node: ScalarNode, key: str, report: Report) -> None:
    """Note ``{{ … }}`` without a ``$``, as other languages have it; a text that aliases repeat is noted once."""
    place = node.line, node.column
    if place in report.budget.noted:
        return
    report.budget.noted.add(place)
    first, *others = node.text.split(OPEN)
    plain_parts = [first, *(other.partition("}}")[2] for other in others)]
    if any("}}" in part.partition("{{")[2] for part in plain_parts):
        message = f"`{key}` has `{{{{ … }}}}` in a text, which stays as it is"
        report.note(codes.BRACES, node, message, "write `${{ … }}` for an expression")


_PATH: Final = (
    r"((?:(?:payload|item)(?:\.[^\W\d]|\[)|run\.(?:id|workflow|trigger|scheduled_for|status|error)\b"
    r"|tasks(?:\.[\w-]+|\[[^\]\s]+\])\.(?:result|status|decision)\b)[\w.\[\]\"'-]*)"
)
_BARE: Final = re.compile(
    rf"{_PATH}|\${_PATH}|\$?\{{\s*{_PATH}\s*\}}|\{{\{{\s*{_PATH}\s*\}}\}}|\$\{{\{{\s*{_PATH}\s*\}}\}}\}}+"
)
_BARE_LENGTH: Final = 200
"""Only so many characters of a text are looked at: with aliases one text may stand in a file very often."""


def bare_hint(node: Node | None, report: Report) -> str:
    """Return how to write a text that as a whole looks like an expression without ``${{ }}``; else nothing."""
    text = text_of(node)
    match = _BARE.fullmatch(text) if text is not None and len(text) <= _BARE_LENGTH else None
    path = next(filter(None, match.groups())) if match else ""
    return f"write `${{{{ {path} }}}}`" if re.split(r"[.\[]", path)[0] in report.known else ""


def _note_bare(node: ScalarNode, key: str, report: Report) -> None:
    place = node.line, node.column
    if node.text.startswith("{{") or place in report.budget.noted:
        return
    if hint := bare_hint(node, report):
        report.budget.noted.add(place)
        report.note(codes.BARE, node, f"`{key}` has “{node.text}”, which gives text, not the value", hint)


def _uses(references: tuple[Reference, ...], node: ScalarNode, key: str) -> list[Use]:
    return [Use(reference=reference, node=_at(node, reference.column), key=key) for reference in references]


def _report(error: ExpressionError, node: ScalarNode, key: str, report: Report) -> None:
    hint = _own_name(error, node, report) or error.hint or (_FAILS if isinstance(error, ConstantError) else _ANY)
    report.error(codes.EXPRESSION, _at(node, error.column), f"`{key}`: {error.message}", hint)


def _own_name(error: ExpressionError, node: ScalarNode, report: Report) -> str:
    """Return how to write a step, or a key of the payload, that an expression names without its root."""
    if not error.message.startswith("unknown name ") or error.hint.startswith("write "):
        return ""
    there = _WORD.match(node.text, error.column - 1)
    if there is None:
        return ""
    meant = []
    step = max(
        (name for name in report.steps() if there[0].startswith(name) and _ends(there[0], name)),
        key=len,
        default="",
    )
    if step and "tasks" in report.known:
        meant.append(spell("tasks", step, "result"))
    word = there[0].partition(".")[0]
    if (
        "payload" in report.known
        and isinstance(report.schema, dict)
        and word in report.schema.get("properties", {})
    ):
        meant.append(spell("payload", word))
    return "write " + " or ".join(f"`{path}`" for path in meant) if meant else ""


def _ends(text: str, name: str) -> bool:
    return text[len(name) : len(name) + 1] in ("", ".")


_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_FAILS: Final = "it fails so in every run, whatever the data"
_ANY: Final = "an expression is as `payload.amount > 1000`; a text stands in quotes"


def _at(node: ScalarNode, column: int) -> Node:
    """Return the place of a column of the text, where the text stands in the file as it is."""
    shift = node.offset + column - 1 if node.offset >= 0 else 0
    return Node(line=node.line, column=node.column + shift)
