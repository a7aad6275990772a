"""Which values may be stored as JSON, by one rule for all databases.

``DjangoJSONEncoder`` decides how values are written. This module refuses each value that one of the databases
would refuse or change: NaN, NUL, lone surrogates, integers beyond 64 bits, and nesting that MariaDB does not
accept.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeAlias

from django.core.serializers.json import DjangoJSONEncoder

MAX_DEPTH: Final = 30
"""MariaDB's JSON functions accept 32 levels."""
MAX_INT: Final = 2**63
MAX_KEY_SHOWN: Final = 100

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""A value that JSON can hold, as Python's ``json`` reads it."""

_UNSTORABLE: Final = re.compile(r"\\u0000|\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\)\\ud[c-f][0-9a-f]{2}")


class NotStorable(ValueError):
    """A value, or a part of it, can't be stored as JSON. The message says which part, and why.

    ``plain`` says why without naming the part: keys of the value lead to it.
    """

    def __init__(self, message: str, plain: str = "") -> None:
        super().__init__(message)
        self.plain = plain or message


class StrictDecoder(json.JSONDecoder):
    """Reads JSON that people or clients give. A key that stands twice in one object is an error, and so is NaN.

    Python's own decoder takes the last value of such a key. A run would start with a value that its author may
    never have seen.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "object_pairs_hook": _unique, "parse_constant": _no_constant})


def parse(text: str) -> JsonValue:
    """Return the value of a JSON text.

    Raises ``ValueError`` for text that is no JSON, and for a key that stands twice in one object; raises
    ``RecursionError`` for text that is nested too deeply.
    """
    value: JsonValue = json.loads(text, cls=StrictDecoder)
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {json.dumps(twice[:MAX_KEY_SHOWN])} stands twice in one object")
    return found


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def normalise(value: object, limit: int) -> JsonValue:
    """Return ``value`` as it will be read back from the database.

    Raises ``NotStorable`` for a value that JSON or a database can't hold, and for one whose JSON text has more
    than ``limit`` bytes in UTF-8.
    """
    if value is None or value is True or value is False:
        return value
    text = _dump(value)
    # With its escapes the text is never shorter than in UTF-8, so mostly nothing more is counted.
    if len(text) > limit and (size := len(_dump(value, is_ascii=False).encode(errors="surrogatepass"))) > limit:
        raise NotStorable(f"it has {size:,} bytes as JSON, the limit is {limit:,}")
    if _UNSTORABLE.search(text):
        _inspect(value)
    elif text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(plain := json.loads(text)):
        _inspect(plain)
    stored: JsonValue = json.loads(text, parse_int=_checked_int)
    return stored


def same(one: object, two: object) -> bool:
    """Whether two JSON values have the same JSON text; the order of keys does not count.

    Python's ``==`` is not enough: for it ``1 == True``.
    """
    try:
        return json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    except RecursionError:
        return False


def storable_text(text: str) -> str:
    """Return the text with a replacement sign for each character that some database refuses.

    These characters are NUL and halves of surrogate pairs.
    """
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _dump(value: object, *, is_ascii: bool = True) -> str:
    try:
        return json.dumps(
            value, cls=DjangoJSONEncoder, allow_nan=False, separators=(",", ":"), ensure_ascii=is_ascii
        )
    except (TypeError, ValueError, RecursionError) as error:
        _inspect(value)
        raise NotStorable(f"it can't be written as JSON: {error}") from error


def _checked_int(text: str) -> int:
    number = int(text)
    if not -MAX_INT <= number < MAX_INT:
        raise NotStorable("an integer in it needs more than 64 bits; return it as a string")
    return number


def _is_deep(value: JsonValue) -> bool:
    """Whether a value that was read from JSON is nested deeper than ``MAX_DEPTH`` levels."""
    level: list[dict[str, JsonValue] | list[JsonValue]] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH - 1):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [inner for part in parts for inner in part if isinstance(inner, (dict, list))]
    return any(level)


def _inspect(value: object) -> None:
    """Raise ``NotStorable`` for the first part of ``value`` that can't be stored; the message names its place."""
    for place, part, depth in _walk(value):
        if depth > MAX_DEPTH:
            raise NotStorable(f"it is nested deeper than {MAX_DEPTH} levels")
        problem = _problem(part)
        if problem:
            raise NotStorable(f"{problem} at {place}", problem)


def _problem(part: object) -> str | None:
    if isinstance(part, str):
        return _text_problem(part)
    if isinstance(part, float) and (part != part or part in (float("inf"), float("-inf"))):
        return f"the number {part} is not JSON"
    if isinstance(part, int) and not -MAX_INT <= part < MAX_INT:
        return "an integer needs more than 64 bits; return it as a string"
    if isinstance(part, dict):
        return next(filter(None, map(_key_problem, part)), None)
    if part is None or isinstance(part, (bool, int, float, list, tuple)):
        return None
    try:
        json.dumps(part, cls=DjangoJSONEncoder)
    except (TypeError, ValueError):
        return f"a value of type {type(part).__name__} is not JSON"
    return None


def _key_problem(key: object) -> str | None:
    if isinstance(key, str):
        return _text_problem(key)
    if key is None or isinstance(key, (bool, int, float)):
        return None
    return f"a key of type {type(key).__name__} is not JSON"


def _text_problem(text: str) -> str | None:
    if "\x00" in text:
        return "a string holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a string holds half a surrogate pair"
    return None


def _walk(value: object) -> Iterator[tuple[str, object, int]]:
    # A list of pending parts instead of recursion: a value may be nested to any depth, and may even hold itself.
    pending: list[tuple[str, object, int]] = [("$", value, 1)]
    while pending:
        place, part, depth = pending.pop()
        yield place, part, depth
        if isinstance(part, dict):
            pending.extend((f"{place}.{key}", item, depth + 1) for key, item in reversed(part.items()))
        elif isinstance(part, (list, tuple)):
            pending.extend((f"{place}[{index}]", part[index], depth + 1) for index in reversed(range(len(part))))
