"""All functions that an expression may call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .budget import MAX_RANGE, MAX_TEXT, Fault, Scope
from .operations import (
    BOOLEAN,
    LIST,
    MAPPING,
    NUMBER,
    TEXT,
    arithmetic,
    as_text,
    check_ordered,
    checked_number,
    kind,
    truth,
)

Arguments = Sequence[Any]
"""The evaluated arguments of a call."""

_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]{1,30}\s*", re.ASCII)
_FLOAT: Final = re.compile(r"\s*[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,5})?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Function:
    """A function with ``least`` to ``most`` arguments; ``usage`` shows people how to call it."""

    usage: str
    least: int
    most: int
    call: Callable[[Arguments, Scope], Any]


def _len(arguments: Arguments, scope: Scope) -> int:
    return len(_one("len", arguments[0], TEXT, LIST, MAPPING))


def _min(arguments: Arguments, scope: Scope) -> object:
    return _extreme("min", "<", arguments, scope)


def _max(arguments: Arguments, scope: Scope) -> object:
    return _extreme("max", ">", arguments, scope)


def _extreme(name: str, operator: str, arguments: Arguments, scope: Scope) -> object:
    values = arguments if len(arguments) > 1 else _one(name, arguments[0], LIST)
    if not values:
        raise Fault(f"`{name}` of an empty list")
    found = values[0]
    for value in values:
        check_ordered(operator, value, found, scope)
        if (value < found) if operator == "<" else (value > found):
            found = value
    return found


def _sum(arguments: Arguments, scope: Scope) -> object:
    values = _one("sum", arguments[0], LIST)
    scope.spend(len(values))
    wrong = next((what for what in map(kind, values) if what != NUMBER), None)
    if wrong:
        raise Fault(f"`sum` takes a list of numbers, and there is {wrong} in it")
    total: Any = 0
    for value in values:
        total = arithmetic("+", total, value, scope)
    return total


def _range(arguments: Arguments, scope: Scope) -> list[int]:
    for argument in arguments:
        if not isinstance(_one("range", argument, NUMBER), int):
            raise Fault("`range` takes whole numbers")
        checked_number(argument)
    if len(arguments) == 3 and arguments[2] == 0:
        raise Fault("the step of `range` is zero")
    numbers = range(*arguments)
    # `len` of a range overflows beyond the machine's word.
    if numbers and (numbers[-1] - numbers[0]) // numbers.step >= MAX_RANGE:
        raise Fault(f"`range` gives at most {MAX_RANGE:,} numbers")
    scope.spend(len(numbers))
    scope.make(len(numbers))
    return list(numbers)


def _str(arguments: Arguments, scope: Scope) -> str:
    text = as_text(arguments[0], scope)
    if text is not arguments[0]:
        scope.make(len(text))
    return text


def _int(arguments: Arguments, scope: Scope) -> int:
    value = _one("int", arguments[0], TEXT, NUMBER, BOOLEAN)
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise Fault("`int` of a text that is no whole number")
    return int(checked_number(int(value if isinstance(value, str) else checked_number(value))))


def _float(arguments: Arguments, scope: Scope) -> float:
    value = _one("float", arguments[0], TEXT, NUMBER, BOOLEAN)
    if isinstance(value, str) and not _FLOAT.fullmatch(value):
        raise Fault("`float` of a text that is no number")
    return float(checked_number(float(value if isinstance(value, str) else checked_number(value))))


def _bool(arguments: Arguments, scope: Scope) -> bool:
    return truth(arguments[0])


def _lower(arguments: Arguments, scope: Scope) -> str:
    text: str = _one("lower", arguments[0], TEXT)
    scope.make(len(text))
    return text.lower()


def _upper(arguments: Arguments, scope: Scope) -> str:
    text: str = _one("upper", arguments[0], TEXT)
    scope.make(len(text))
    return text.upper()


def _one(name: str, value: object, *kinds: str) -> Any:
    if kind(value) not in kinds:
        raise Fault(f"`{name}` takes {' or '.join(kinds)}, not {kind(value)}")
    return value


_MANY: Final = MAX_TEXT
FUNCTIONS: Final = {
    "len": Function("len(x)", 1, 1, _len),
    "min": Function("min(list) or min(a, b, …)", 1, _MANY, _min),
    "max": Function("max(list) or max(a, b, …)", 1, _MANY, _max),
    "sum": Function("sum(list)", 1, 1, _sum),
    "range": Function("range(end), range(start, end) or range(start, end, step)", 1, 3, _range),
    "str": Function("str(x)", 1, 1, _str),
    "int": Function("int(x)", 1, 1, _int),
    "float": Function("float(x)", 1, 1, _float),
    "bool": Function("bool(x)", 1, 1, _bool),
    "lower": Function("lower(text)", 1, 1, _lower),
    "upper": Function("upper(text)", 1, 1, _upper),
}
"""The functions by name. ``default`` is not among them: it does not always evaluate all its arguments."""
DEFAULT: Final = "default"
DEFAULT_USAGE: Final = "default(x, value)"
