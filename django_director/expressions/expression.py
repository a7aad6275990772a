"""An expression that is ready to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from django_director.exceptions import ExpressionError

from .budget import MAX_TEXT, Fault, Scope
from .names import EVERYWHERE, Reference
from .nodes import Node
from .operations import kind
from .parser import Parser

Place = tuple[str | int, ...]


class ConstantError(ExpressionError):
    """An expression is well written, and can't be evaluated whatever the data."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. It has no state: any number of threads may evaluate it."""

    text: str
    """Without ``${{ }}`` and the blanks around."""
    references: tuple[Reference, ...]
    """What it uses, in the order of the text; a name that stands twice is there twice."""
    _node: Node
    place: Place = ()
    """Where its text is in the value that it is a part of."""

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """Return the value, which may share parts with ``names``; nothing but the names it uses is asked for.

        Raises ``ExpressionError`` for what is missing, does not fit, or costs too much.
        """
        return self.evaluate_in(Scope(names))

    def evaluate_in(self, scope: Scope) -> Any:
        """The same, as a part of a larger evaluation with limits in common."""
        try:
            value = self._node.evaluate(scope)
            kind(value)
        except Fault as fault:
            raise error(fault, self.text, self.place) from None
        return value


def compile_part(text: str, start: int, end: int, place: Place = (), known: Set[str] = EVERYWHERE) -> Expression:
    """Compile ``text[start:end]``, where ``place`` leads to ``text``. Raises ``ExpressionError``."""
    own = text[start:end].strip()
    try:
        if end - start > MAX_TEXT:
            raise Fault(f"it has more than {MAX_TEXT:,} characters", "let a task do this", at=start)
        parser = Parser(text, start, end, known)
        node = parser.parse()
    except Fault as fault:
        raise error(fault, own, place) from None
    references = tuple(replace(reference, place=place) for reference in parser.references)
    expression = Expression(own, references, node, place)
    if not references:
        # Whatever is wrong in it is wrong now.
        try:
            expression.evaluate({})
        except ExpressionError as wrong:
            raise ConstantError(wrong.message, wrong.text, wrong.column, wrong.hint, place) from None
    return expression


def error(fault: Fault, text: str, place: Place = ()) -> ExpressionError:
    """The error for users."""
    return ExpressionError(fault.message, text, (fault.offset or 0) + 1, fault.hint, place)
