"""Divides the text of an expression into tokens, each with its offset."""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

from .budget import Fault

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?!\w))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?!\w))
  | (?P<odd>\w+)
  | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<foreign>\*\*|//|===|!==|=>|=<|=!|<>|&&|\|\||:=|=(?!=)|!(?!=)|\{\{|[|&?:{}])
  | (?P<operator><=|>=|==|!=|[-+*/%<>().,\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_FOREIGN: Final = {
    "**": "there are no powers",
    "//": "use `int(a / b)`",
    "===": "use `==`",
    "!==": "use `!=`",
    "<>": "use `!=`",
    "=!": "use `!=`",
    "=>": "use `>=`",
    "=<": "use `<=`",
    "&&": "use `and`",
    "||": "use `or`",
    "!": "use `not`",
    "=": "use `==`",
    "|": "there are no filters; write `lower(x)`, `default(x, 0)`",
    "?": "there is no choice between two values; use `when` on two steps",
    ":": "there are no slices",
    "{": "there are no mappings in expressions",
    "{{": "write `${{ … }}`, or leave the braces out",
}
_PAIR: Final = r"u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}"
_ESCAPE: Final = re.compile(rf"\\({_PAIR}|u[0-9A-Fa-f]{{4}}|.)", re.DOTALL)
_ESCAPES: Final = {
    '"': '"',
    "'": "'",
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}


class Token(NamedTuple):
    """A token.

    ``kind`` is ``name`` (keywords too), ``odd`` (a word that is no name), ``number``, ``string``, ``operator`` or
    ``end``. ``value`` is its text; for numbers and strings it is the number or the string.
    """

    kind: str
    value: Any
    start: int
    end: int


def tokens(text: str, start: int, end: int) -> list[Token]:
    """Return the tokens of ``text[start:end]``, and a token of kind ``end`` after them. Raises ``Fault``."""
    found: list[Token] = []
    position = start
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            raise _unreadable(text[position], position)
        if match.lastgroup != "space":
            found.append(_token(match))
        position = match.end()
    return [*found, Token("end", "the end", end, end)]


def _unreadable(character: str, position: int) -> Fault:
    if character in "\"'":
        return Fault("this quote is never closed", at=position)
    hint = "`${{ … }}` stands around a whole expression" if character == "$" else ""
    return Fault(f"`{character}` means nothing here", hint, at=position)


def _token(match: re.Match[str]) -> Token:
    kind, text, start = match.lastgroup or "", match[0], match.start()
    value: Any = text
    if kind == "foreign":
        raise Fault(f"`{text}` is no operator here", _FOREIGN.get(text, ""), at=start)
    if kind == "number":
        value = _number(text, start)
    elif kind == "string":
        value = _string(text, start)
    return Token(kind, value, start, match.end())


def _number(text: str, start: int) -> int | float:
    if text.isdigit():
        # The parser checks whether the value is too large: a `-` may stand before it. Here only the length is
        # limited.
        return int(text[:30])
    number = float(text)
    if not math.isfinite(number):
        raise Fault("this number is too large", at=start)
    return number


def _string(text: str, start: int) -> str:
    body = text[1:-1]
    if "\\" in body:
        body = _ESCAPE.sub(lambda match: _escaped(match, start + 1), body)
    if "\x00" in body:
        raise Fault("a text with a NUL character can't be stored", at=start)
    return body


def _escaped(match: re.Match[str], start: int) -> str:
    code = match[1]
    if len(code) == 1:
        if code not in _ESCAPES:
            hint = "`\\u` takes four hex digits" if code == "u" else "a backslash is written `\\\\`"
            raise Fault(f"`\\{code}` is no escape", hint, at=start + match.start())
        return _ESCAPES[code]
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in code[1:].split("\\u"))
    try:
        return units.decode("utf-16-be")
    except UnicodeDecodeError:
        raise Fault("this is half a surrogate pair", at=start + match.start()) from None
