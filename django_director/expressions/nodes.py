"""The parts of a parsed expression; each of them can be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .budget import Fault, Missing, Scope
from .elements import element, missing_key
from .functions import Function
from .names import spell
from .operations import arithmetic, compare, measure, negative, truth


class Node(Protocol):
    """A part of an expression."""

    def evaluate(self, scope: Scope) -> object:
        """Return the value. Raises ``Fault`` with an offset."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: Any

    def evaluate(self, scope: Scope) -> object:
        return self.value


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list: ``[a, b]``."""

    parts: tuple[Node, ...]
    offset: int

    def evaluate(self, scope: Scope) -> list[Any]:
        made = [part.evaluate(scope) for part in self.parts]
        try:
            measure(made, scope)
        except Fault as fault:
            raise fault.at(self.offset) from None
        return made


@dataclass(frozen=True, slots=True)
class Name:
    """A root and fields that the caller's mappings must have: ``tasks.X.result``."""

    root: str
    fields: tuple[str, ...]
    offset: int

    def evaluate(self, scope: Scope) -> object:
        try:
            value = scope.names[self.root]
        except KeyError:
            raise Fault(f"there is no `{self.root}` here", at=self.offset) from None
        for number, field in enumerate(self.fields):
            try:
                value = value[field]
            except KeyError:
                owner = spell(self.root, *self.fields[:number])
                raise missing_key(owner, field, value).at(self.offset) from None
        return value


@dataclass(frozen=True, slots=True)
class Key:
    """A key behind another part: ``.key`` or ``[key]``; ``owner`` is the text before it."""

    node: Node
    owner: str
    offset: int


@dataclass(frozen=True, slots=True)
class Path:
    """A part and keys behind it: ``first.key[key]…``."""

    first: Node
    keys: tuple[Key, ...]

    def evaluate(self, scope: Scope) -> object:
        value = self.first.evaluate(scope)
        for key in self.keys:
            try:
                value = element(value, key.node.evaluate(scope), key.owner)
            except Fault as fault:
                raise fault.at(key.offset) from None
        return value


@dataclass(frozen=True, slots=True)
class Not:
    """A negation: ``not x``."""

    operand: Node

    def evaluate(self, scope: Scope) -> bool:
        return not truth(self.operand.evaluate(scope))


@dataclass(frozen=True, slots=True)
class Negative:
    """A negative number: ``-x``."""

    operand: Node
    offset: int

    def evaluate(self, scope: Scope) -> object:
        try:
            return negative(self.operand.evaluate(scope))
        except Fault as fault:
            raise fault.at(self.offset) from None


@dataclass(frozen=True, slots=True)
class Choice:
    """``a and b and c``, or the same with ``or``; its value is that of the operand that decides, as in Python."""

    operands: tuple[Node, ...]
    stop: bool
    """The truth of the operand that decides: true for ``or``, false for ``and``."""

    def evaluate(self, scope: Scope) -> object:
        value = None
        for operand in self.operands:
            value = operand.evaluate(scope)
            if truth(value) is self.stop:
                break
        return value


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator, its offset, and the operand to the right of it."""

    operator: str
    operand: Node
    offset: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparisons in a row: ``a < b <= c`` compares each pair of neighbours, as in Python."""

    first: Node
    rest: tuple[Operation, ...]

    def evaluate(self, scope: Scope) -> bool:
        left = self.first.evaluate(scope)
        for operation in self.rest:
            right = operation.operand.evaluate(scope)
            try:
                if not compare(operation.operator, left, right, scope):
                    return False
            except Fault as fault:
                raise fault.at(operation.offset) from None
            left = right
        return True


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operators of one strength in a row, from left to right: ``a + b - c``, or ``a * b / c``."""

    first: Node
    rest: tuple[Operation, ...]

    def evaluate(self, scope: Scope) -> object:
        value = self.first.evaluate(scope)
        for operation in self.rest:
            right = operation.operand.evaluate(scope)
            try:
                value = arithmetic(operation.operator, value, right, scope)
            except Fault as fault:
                raise fault.at(operation.offset) from None
        return value


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function: ``len(x)``."""

    function: Function
    arguments: tuple[Node, ...]
    offset: int

    def evaluate(self, scope: Scope) -> object:
        arguments = [argument.evaluate(scope) for argument in self.arguments]
        try:
            return self.function.call(arguments, scope)
        except Fault as fault:
            raise fault.at(self.offset) from None


@dataclass(frozen=True, slots=True)
class Default:
    """``default(x, value)``: the second value if the first is missing or null."""

    wanted: Node
    otherwise: Node

    def evaluate(self, scope: Scope) -> object:
        try:
            value = self.wanted.evaluate(scope)
        except Missing:
            value = None
        return self.otherwise.evaluate(scope) if value is None else value
