"""JSON values that contain expressions in ``${{ … }}``, as under ``with`` and ``payload``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from django_director.exceptions import ExpressionError

from .budget import Fault, Scope
from .expression import Expression, Place, compile_part, error
from .names import EVERYWHERE, Reference
from .nodes import Constant, Node
from .operations import as_text, measure

OPEN: Final = "${{"
MAX_LEVELS: Final = 100
"""How deep a value may be nested. A file may have 32 levels only; this limit is for values from other sources."""

_CLOSE: Final = "}}"
# A text in quotes may contain `}}`. The expression has no possessive quantifiers, because Python before 3.11.5 has
# an error in these (CPython issue 106052).
_PART: Final = re.compile(r"""[^"'}]+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\}(?!\})""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value. It has no state: any number of threads may evaluate it."""

    references: tuple[Reference, ...]
    """The values that its expressions use, in their order."""
    _node: Node

    @property
    def is_constant(self) -> bool:
        """Whether its value does not depend on any name."""
        return not self.references

    def evaluate(self, names: Mapping[str, Any]) -> object:
        """Return the value, with the value of each expression in its place. Raises ``ExpressionError``.

        Lists and mappings of the template are new objects. The value of an expression may share parts with
        ``names``.
        """
        return self._node.evaluate(Scope(names))


def compile_value(value: object, known: Set[str] = EVERYWHERE) -> Template:
    """Compile a value of JSON data. Raises ``ExpressionError`` for the first wrong expression in it.

    ``known`` are the names that its hints offer.
    """
    references: list[Reference] = []
    node = _Compiler(references, known).compiled(value, ())
    return Template(tuple(references), node)


def compile_expression(text: str, known: Set[str] = EVERYWHERE) -> Expression:
    """Compile an expression, with or without one ``${{ … }}`` around it. Raises ``ExpressionError``.

    ``known`` are the names that its hints offer.
    """
    if not text.lstrip().startswith(OPEN):
        return compile_part(text, 0, len(text), known=known)
    pieces = [piece for piece in _pieces(text, (), known) if not isinstance(piece, str) or piece.strip()]
    if len(pieces) == 1 and isinstance(pieces[0], Expression):
        return pieces[0]
    message = "here stands one expression, without anything around its `${{ … }}`"
    raise ExpressionError(message, text.strip(), len(text) - len(text.lstrip()) + 1)


@dataclass(frozen=True, slots=True)
class _Compiler:
    references: list[Reference]
    known: Set[str]

    def compiled(self, value: object, place: Place) -> Node:
        if len(place) > MAX_LEVELS:
            raise ExpressionError(f"nested deeper than {MAX_LEVELS} levels", place=place)
        if isinstance(value, list):
            return _Items(tuple(self.compiled(part, (*place, index)) for index, part in enumerate(value)))
        if isinstance(value, dict):
            return _Entries(tuple((key, self.entry(key, part, place)) for key, part in value.items()))
        if not isinstance(value, str) or OPEN not in value:
            return Constant(value)
        return self.text(value, place)

    def entry(self, key: str | int, value: object, place: Place) -> Node:
        if isinstance(key, str) and OPEN in key:
            raise ExpressionError("an expression can't be a key", key, place=place)
        return self.compiled(value, (*place, key))

    def text(self, value: str, place: Place) -> Node:
        pieces = tuple(_pieces(value, place, self.known))
        for piece in pieces:
            self.references.extend(piece.references if isinstance(piece, Expression) else ())
        if len(pieces) == 1 and isinstance(pieces[0], Expression):
            return _Whole(pieces[0])
        return _Joined(pieces)


def _pieces(text: str, place: Place, known: Set[str]) -> Iterator[str | Expression]:
    """Yield the parts of a text: expressions, and the plain texts between them unless they are empty."""
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        if start > position:
            yield text[position:start]
        begin = start + len(OPEN)
        end = _end_of_body(text, begin)
        if end is None:
            fault = Fault(
                "this `${{` or a quote in it is never closed",
                'close it with `}}`; write `${{ "${{" }}` for the text',
                at=start,
            )
            raise error(fault, text[start:], place)
        yield compile_part(text, begin, end, place, known)
        position = end + len(_CLOSE)
    if position < len(text):
        yield text[position:]


@dataclass(frozen=True, slots=True)
class _Items:
    parts: tuple[Node, ...]

    def evaluate(self, scope: Scope) -> list[Any]:
        return [part.evaluate(scope) for part in self.parts]


@dataclass(frozen=True, slots=True)
class _Entries:
    pairs: tuple[tuple[Any, Node], ...]

    def evaluate(self, scope: Scope) -> dict[Any, Any]:
        return {key: node.evaluate(scope) for key, node in self.pairs}


@dataclass(frozen=True, slots=True)
class _Whole:
    """A text that consists of one expression: its value keeps its type."""

    expression: Expression

    def evaluate(self, scope: Scope) -> object:
        value = self.expression.evaluate_in(scope)
        try:
            # One large value that stands in many places takes little memory here, but its JSON is huge.
            measure(value, scope)
        except Fault as fault:
            raise error(fault, self.expression.text, self.expression.place) from None
        return value


@dataclass(frozen=True, slots=True)
class _Joined:
    """A text that contains expressions; their values become text."""

    pieces: tuple[str | Expression, ...]

    def evaluate(self, scope: Scope) -> str:
        return "".join(piece if isinstance(piece, str) else _text(piece, scope) for piece in self.pieces)


def _text(expression: Expression, scope: Scope) -> str:
    value = expression.evaluate_in(scope)
    try:
        text = as_text(value, scope)
        scope.make(len(text))
    except Fault as fault:
        raise error(fault, expression.text, expression.place) from None
    return text


def _end_of_body(text: str, begin: int) -> int | None:
    """Return the offset of the `}}` that closes the expression at ``begin``; ``None`` if there is none."""
    while (part := _PART.match(text, begin)) is not None:
        begin = part.end()
    return begin if text.startswith(_CLOSE, begin) else None
