"""The operators of expressions. Their operands are JSON values; any other value is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from operator import add, ge, gt, le, lt, mod, mul, sub, truediv
from types import NoneType
from typing import Any, Final

from .budget import MAX_INT, Fault, Scope

NULL: Final = "null"
BOOLEAN: Final = "a boolean"
NUMBER: Final = "a number"
TEXT: Final = "a text"
LIST: Final = "a list"
MAPPING: Final = "a mapping"

_KINDS: Final[dict[type, str]] = {
    NoneType: NULL,
    bool: BOOLEAN,
    int: NUMBER,
    float: NUMBER,
    str: TEXT,
    list: LIST,
    dict: MAPPING,
}
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {"+": add, "-": sub, "*": mul, "/": truediv, "%": mod}
COMPARISONS: Final = frozenset({*_ORDERS, "==", "!=", "in", "not in"})
_SMALL: Final = frozenset({NoneType, bool, int, float})
_CHARACTERS_PER_STEP: Final = 256


def kind(value: object) -> str:
    """Return the kind of a JSON value as error messages name it. A boolean is no number.

    Raises ``Fault`` for a value that is not JSON.
    """
    found = _KINDS.get(type(value))
    if found is None:
        found = next((name for base, name in _KINDS.items() if isinstance(value, base)), None)
    if found is None:
        raise Fault(f"a value of type {type(value).__name__} is not JSON")
    return found


def compare(operator: str, left: object, right: object, scope: Scope) -> bool:
    """Return whether one comparison is true. Raises ``Fault`` for values that can't be compared."""
    match operator:
        case "==":
            return equal(left, right, scope)
        case "!=":
            return not equal(left, right, scope)
        case "in":
            return _contains(right, left, scope)
        case "not in":
            return not _contains(right, left, scope)
        case _:
            check_ordered(operator, left, right, scope)
            return _ORDERS[operator](left, right)


def check_ordered(operator: str, left: Any, right: Any, scope: Scope) -> None:
    """Raise ``Fault`` unless both values are numbers or both are texts; count the steps of comparing them."""
    first, second = kind(left), kind(right)
    if first != second:
        raise Fault(f"`{operator}` can't compare {first} with {second}")
    if first not in (NUMBER, TEXT):
        raise Fault(f"`{operator}` compares numbers or texts, not {first} with {second}")
    scope.spend(1 + (min(len(left), len(right)) // _CHARACTERS_PER_STEP if first == TEXT else 0))


def equal(left: object, right: object, scope: Scope) -> bool:
    """Whether two JSON values are equal: ``1`` equals ``1.0`` but not ``true``, at any depth."""
    pending: list[tuple[Any, Any]] = [(left, right)]
    while pending:
        one, other = pending.pop()
        what = kind(one)
        if what != kind(other):
            return False
        if what in (LIST, MAPPING, TEXT):
            if len(one) != len(other):
                return False
            scope.spend(1 + (len(one) // _CHARACTERS_PER_STEP if what == TEXT else len(one)))
        if what == LIST:
            pending.extend(zip(one, other, strict=True))
        elif what == MAPPING:
            if one.keys() != other.keys():
                return False
            pending.extend((one[key], other[key]) for key in one)
        elif one != other:
            return False
    return True


def _contains(container: Any, value: Any, scope: Scope) -> bool:
    what = kind(container)
    if what == LIST:
        scope.spend(len(container))
        return any(equal(value, part, scope) for part in container)
    if what not in (TEXT, MAPPING):
        raise Fault(f"`in` looks into a list, a text or a mapping, not {what}")
    if kind(value) != TEXT:
        raise Fault(f"in {what} only a text can be, not {kind(value)}")
    if what == TEXT:
        scope.spend(1 + (len(container) + len(value)) // _CHARACTERS_PER_STEP)
    return value in container


def arithmetic(operator: str, left: Any, right: Any, scope: Scope) -> object:
    """Return the result of ``+ - * / %`` with two numbers, or of ``+`` with two texts. Raises ``Fault``."""
    first, second = kind(left), kind(right)
    if first == second == TEXT and operator == "+":
        scope.make(len(left) + len(right))
        return left + right
    if not first == second == NUMBER:
        what = "two numbers or two texts" if operator == "+" else "two numbers"
        convert = TEXT in (first, second) and operator == "+"
        raise Fault(
            f"`{operator}` takes {what}, not {first} and {second}", "convert with `str(…)`" if convert else ""
        )
    try:
        return checked_number(_ARITHMETIC[operator](checked_number(left), checked_number(right)))
    except ZeroDivisionError:
        raise Fault("division by zero") from None


def truth(value: object) -> bool:
    """Whether a JSON value counts as true, as in Python."""
    kind(value)
    return bool(value)


def negative(value: Any) -> object:
    """Return the negative of a number. Raises ``Fault`` for any other value."""
    if kind(value) != NUMBER:
        raise Fault(f"`-` takes a number, not {kind(value)}")
    return checked_number(-value)


def checked_number(value: int | float) -> int | float:
    """Return the number. Raises ``Fault`` if it is too large to be stored."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Fault("the number is too large")
    elif not -MAX_INT <= value < MAX_INT:
        raise Fault("the integer needs more than 64 bits")
    return value


def as_text(value: object, scope: Scope) -> str:
    """Return a text unchanged, and any other JSON value as its JSON text. Raises ``Fault``."""
    what = kind(value)
    if what == TEXT:
        return str(value)
    measure(value, scope)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise Fault(f"{what} can't be written as JSON") from None


def measure(value: object, scope: Scope) -> None:
    """Count the parts and characters of a value as made, each time that it stands in the result."""
    pending: list[Any] = [value]
    while pending:
        part = pending.pop()
        what = kind(part)
        if what == TEXT:
            scope.make(len(part))
        if what not in (LIST, MAPPING):
            continue
        # Two characters for each part, such as `1,`: this is never more than the part has as JSON.
        scope.make(2 + 2 * len(part))
        if what == MAPPING:
            scope.make(sum(map(len, map(str, part))))
            part = part.values()
        pending.extend(inner for inner in part if type(inner) not in _SMALL)
