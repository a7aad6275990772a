"""Reads scalars without quotes: YAML 1.1 as celery-director reads it, without its surprises."""

from __future__ import annotations

import math
import re
from typing import Final

import yaml

MAX_DIGITS: Final = 100
MAX_INT: Final = 2**63

_RESOLVERS: Final = yaml.SafeLoader.yaml_implicit_resolvers
_ELSEWHERE: Final = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+|0o[0-7]+")
_TRUE: Final = frozenset({"yes", "true", "on"})

Value = None | bool | int | float | str


class Ambiguous(ValueError):
    """The scalar is read as something its writer hardly meant. The message says as what."""


def resolve(text: str) -> Value:
    """Return the value of an unquoted scalar; dates are text. Raises ``Ambiguous``."""
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return _construct(tag.rpartition(":")[2], text)
    return text


def is_number_elsewhere(text: str) -> bool:
    """Return whether JSON or YAML 1.2 has a number where YAML 1.1 reads text: `1e3`, `0o17`."""
    return _ELSEWHERE.fullmatch(text) is not None


def _construct(kind: str, text: str) -> Value:
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() in _TRUE
        case "int":
            return _storable(_integer(text), text)
        case "float":
            return _float(text)
        case _:
            return text


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    if len(digits) > MAX_DIGITS:
        raise Ambiguous(f"a number of {len(digits):,} digits can't be stored")
    if ":" in digits:
        raise Ambiguous(f"YAML reads {text} as the number {_sexagesimal(digits)}")
    unsigned = digits.lstrip("+-")
    if unsigned[:2] in ("0b", "0x"):
        return int(digits, 0)
    if unsigned.startswith("0") and len(unsigned) > 1:
        raise Ambiguous(f"YAML reads {text} as the octal number {int(digits, 8)}")
    return int(digits)


def _storable(number: int, text: str) -> int:
    if not -MAX_INT <= number < MAX_INT:
        raise Ambiguous(f"{text} needs more than 64 bits, which not every database can store")
    return number


def _float(text: str) -> float:
    digits = text.replace("_", "")
    if ":" in digits:
        raise Ambiguous(f"YAML reads {text} as a number to the base 60")
    if digits.lstrip("+-").lower() in (".inf", ".nan"):
        raise Ambiguous(f"{text} is a number that JSON does not have")
    number = float(digits)
    if not math.isfinite(number):
        raise Ambiguous(f"{text[:40]} is beyond the numbers that can be stored")
    return number


def _sexagesimal(digits: str) -> int:
    number = 0
    for part in digits.lstrip("+-").split(":"):
        number = number * 60 + int(part)
    return -number if digits.startswith("-") else number
