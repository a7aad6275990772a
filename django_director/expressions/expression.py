"""Compiled expressions, which can be evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from django_director.exceptions import ExpressionError

from .budget import MAX_TEXT, Fault, Scope
from .names import EVERYWHERE, Reference
from .nodes import Constant, Name, Node, Path
from .operations import kind
from .parser import Parser

Place = tuple[str | int, ...]


class ConstantError(ExpressionError):
    """An expression has no syntax error, but uses only constants and can't be evaluated."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. It has no state: any number of threads may evaluate it."""

    text: str
    """Its text without ``${{ }}`` and the spaces around it."""
    references: tuple[Reference, ...]
    """The values that it uses, in the order of the text; a value that it uses twice stands here twice."""
    _node: Node
    place: Place = ()
    """The keys and indexes that lead to its text in the value that it is a part of."""

    @property
    def path(self) -> tuple[Any, ...]:
        """The root and the keys behind it, if the expression is nothing but the path to one value; else empty.

        All keys are known without data: ``tasks.FETCH.result.images`` has the path
        ``("tasks", "FETCH", "result", "images")``.
        """
        node, keys = (self._node.first, self._node.keys) if isinstance(self._node, Path) else (self._node, ())
        known = [key.node.value for key in keys if isinstance(key.node, Constant)]
        is_plain = len(known) == len(keys)
        return (node.root, *node.fields, *known) if isinstance(node, Name) and is_plain else ()

    def evaluate(self, names: Mapping[str, Any]) -> object:
        """Return the value; it may share parts with ``names``. Only names that the expression uses are read.

        Raises ``ExpressionError`` if a value is missing or of the wrong kind, or if the evaluation takes too much.
        """
        return self.evaluate_in(Scope(names))

    def evaluate_in(self, scope: Scope) -> object:
        """Return the value as a part of a larger evaluation, whose limits count. Raises ``ExpressionError``."""
        try:
            value = self._node.evaluate(scope)
            kind(value)
        except Fault as fault:
            raise error(fault, self.text, self.place) from None
        return value


def compile_part(text: str, start: int, end: int, place: Place = (), known: Set[str] = EVERYWHERE) -> Expression:
    """Compile ``text[start:end]``. Raises ``ExpressionError``.

    ``place`` leads to ``text`` in the value that it is a part of, and ``known`` are the names that hints offer.
    """
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
        # The expression uses only constants, so an error does not depend on the data and can be raised now.
        try:
            expression.evaluate({})
        except ExpressionError as wrong:
            raise ConstantError(wrong.message, wrong.text, wrong.column, wrong.hint, place) from None
    return expression


def error(fault: Fault, text: str, place: Place = ()) -> ExpressionError:
    """Return the error that users see, for a fault in the expression ``text`` at ``place``."""
    return ExpressionError(fault.message, text, (fault.offset or 0) + 1, fault.hint, place)
