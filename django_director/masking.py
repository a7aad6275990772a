"""Hide secrets in what people and clients are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from .conf import director
from .exceptions import InvalidSettings

MASKED: Final = "********"
MAX_DEPTH: Final = 64
"""What lies deeper is hidden: nobody reads it there, and a hostile payload can't exhaust the stack."""

_COMBINING: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONAL: Final = ("then", "else")


def mask(value: Any, schema: Any = None) -> Any:
    """A copy of a JSON value in which secrets read ``********``.

    Secret is what stands under a key that matches ``DIRECTOR["MASK"]`` (an expression, or a list of them),
    or what ``schema`` (a JSON Schema) calls ``writeOnly``; ``None`` stays, for it keeps no secret.
    """
    return _Masker(patterns(), schema).masked(value, [schema], 0)


def restore(entered: Any, original: Any, shown: Any) -> Any:
    """``entered`` with what was left as ``shown``, a mask of ``original``, put back.

    What can't be told to be the same place, as in a list that has grown, stays ``********``; see ``holds_mask``.
    """
    if entered == shown == MASKED:
        return original
    if isinstance(entered, dict) and isinstance(original, dict) and isinstance(shown, dict):
        return {
            key: restore(value, original[key], shown[key]) if key in original else value
            for key, value in entered.items()
        }
    if isinstance(entered, list) and isinstance(original, list) and len(entered) == len(original):
        return [restore(*values) for values in zip(entered, original, shown, strict=True)]
    return entered


def holds_mask(value: Any) -> bool:
    """Whether ``********`` stands somewhere in a JSON value as a value."""
    if isinstance(value, dict):
        return any(map(holds_mask, value.values()))
    return any(map(holds_mask, value)) if isinstance(value, list) else value == MASKED


class _Masker:
    def __init__(self, patterns: tuple[re.Pattern[str], ...], root: Any) -> None:
        self.patterns = patterns
        self.root = root

    def masked(self, value: Any, schemas: list[Any], depth: int) -> Any:
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= MAX_DEPTH:
            return MASKED
        schemas = [part for schema in schemas for part in self._parts(schema, set())]
        if isinstance(value, dict):
            return {key: self._member(str(key), item, schemas, depth) for key, item in value.items()}
        return [
            self._child(item, [schema for part in schemas for schema in _of_item(part, index)], depth)
            for index, item in enumerate(value)
        ]

    def _member(self, key: str, value: Any, schemas: list[Any], depth: int) -> Any:
        if value is not None and any(pattern.search(key) for pattern in self.patterns):
            return MASKED
        return self._child(value, [schema for part in schemas for schema in _of_key(part, key)], depth)

    def _child(self, value: Any, schemas: list[Any], depth: int) -> Any:
        if value is not None and any(self._is_secret(schema) for schema in schemas):
            return MASKED
        return self.masked(value, schemas, depth + 1)

    def _is_secret(self, schema: Any) -> bool:
        return any(part.get("writeOnly") is True for part in self._parts(schema, set()))

    def _parts(self, schema: Any, seen: set[int]) -> Iterator[Mapping[str, Any]]:
        """The schema and those that apply to the same value."""
        if not isinstance(schema, Mapping) or id(schema) in seen:
            return
        seen.add(id(schema))
        yield schema
        applied = [schema.get(key) for key in _CONDITIONAL]
        for key in _COMBINING:
            applied += _list(schema.get(key))
        for part in [*applied, self._target(schema.get("$ref"))]:
            yield from self._parts(part, seen)

    def _target(self, reference: Any) -> Any:
        """What a reference inside the schema points to, else ``None``."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found = self.root
        for token in reference[1:].split("/")[1:]:
            found = found.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _of_key(schema: Mapping[str, Any], key: str) -> Iterator[Any]:
    properties = schema.get("properties")
    named = isinstance(properties, Mapping) and key in properties
    if isinstance(properties, Mapping) and named:
        yield properties[key]
    patterns = schema.get("patternProperties")
    for pattern, sub in patterns.items() if isinstance(patterns, Mapping) else ():
        if re.search(pattern, key):
            named = True
            yield sub
    if not named:
        yield schema.get("additionalProperties")


def _of_item(schema: Mapping[str, Any], index: int) -> Iterator[Any]:
    prefix = _list(schema.get("prefixItems"))
    yield prefix[index] if index < len(prefix) else schema.get("items")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def patterns() -> tuple[re.Pattern[str], ...]:
    """The expressions of ``DIRECTOR["MASK"]``. Raises ``InvalidSettings``."""
    given = director.MASK or ()
    return _compiled((given,) if isinstance(given, str) else tuple(given))


@lru_cache(maxsize=8)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(pattern) for pattern in patterns)
    except re.error as error:
        raise InvalidSettings(f'DIRECTOR["MASK"] is not a regular expression: {error}') from error
