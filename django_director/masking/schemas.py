"""Hides the secrets in a JSON Schema: in the values that it gives as defaults, constants and examples.

Like a payload, such a value is masked by all schemas that apply to it: the schema that gives it, those beside that
in ``allOf``, and those that refer to it. Of a schema under a secret key, or inside one that is ``writeOnly`` or a
password's, all values are hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from .keywords import SAME_VALUE, SAME_VALUE_BY_NAME, SOME_ITEM, mapping
from .secret_places import Place, Places, hides_value
from .values import EXAMPLES, MASKED, MAX_DEPTH, Masker, is_secret_key, secret_keys

MOST_PLACES: Final = 1_000
"""How many places of a schema are examined. In a schema with more places every value is hidden."""
_SEVERAL: Final = ("enum", "examples")
"""The keywords among ``EXAMPLES`` that hold a list of values."""
_NAMED: Final = ("properties", "patternProperties")
_DEFINED: Final = ("$defs", "definitions")


def mask_schema(schema: object) -> object:
    """Return a copy of a JSON Schema in which secret defaults, constants and examples are hidden."""
    return SchemaMask(schema).schema()


class SchemaMask:
    """Finds and hides the secret values in one JSON Schema."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._places = Places(root)
        self._masker = Masker(secret_keys(), self._places)
        self._applied: dict[int, list[Place]] = {}
        """The places to which each part of the schema applies, by the ``id`` of that part."""
        self._secret: set[int] = set()
        """The ``id`` of each part of the schema that applies to a secret value."""
        self._is_endless = False
        self._find_places()

    def schema(self) -> object:
        """Return a copy of the schema in which secret values are hidden."""
        return self._schema(self._root, False, 0, [])

    def value(self, schema: Mapping[str, Any], value: object) -> object:
        """Return a masked copy of a value that ``schema``, a part of the root schema, gives."""
        is_secret = id(schema) in self._secret or hides_value(schema)
        return self._hidden(value) if is_secret else self._value(value, self._of(schema, []))

    def default(self, name: str, schema: Mapping[str, Any]) -> object:
        """Return a masked copy of the default of property ``name``; ``schema`` is a part of the root schema."""
        default = schema["default"]
        return self._hidden(default) if is_secret_key(name) else self.value(schema, default)

    def _find_places(self) -> None:
        left, seen = [(self._places.root, False)], set[tuple[Place, bool]]()
        while left:
            place, is_secret = left.pop()
            if place is None or (place, is_secret) in seen or (place, True) in seen:
                continue
            seen.add((place, is_secret))
            if len(seen) > MOST_PLACES:
                self._is_endless = True
                return
            is_secret = is_secret or place.is_secret
            for schema in place.schemas:
                self._applied.setdefault(id(schema), []).append(place)
                if is_secret:
                    self._secret.add(id(schema))
            left += ((inner, is_secret or hides) for inner, hides in self._below(place))

    def _below(self, place: Place) -> Iterator[tuple[Place | None, bool]]:
        """Yield the places inside a place, each with whether its key is secret."""
        for schema in place.schemas:
            for name in mapping(schema.get("properties")):
                yield self._places.of_key(place, str(name)), is_secret_key(str(name))
            for sub in mapping(schema.get("patternProperties")).values():
                yield self._places.of_schema(sub), False
        yield self._places.of_others(place), False
        for index in range(place.rest + 1):
            yield self._places.of_item(place, index), False

    def _schema(self, schema: object, is_secret: bool, depth: int, around: list[Place]) -> object:
        if isinstance(schema, list):
            return [self._schema(part, is_secret, depth + 1, around) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if depth >= MAX_DEPTH:
            return MASKED
        is_secret = is_secret or id(schema) in self._secret or hides_value(schema)
        here = self._of(schema, around)
        return {key: self._part(key, part, is_secret, depth + 1, here) for key, part in schema.items()}

    def _part(self, key: str, part: object, is_secret: bool, depth: int, here: list[Place]) -> object:
        if key in EXAMPLES:
            if is_secret:
                return self._hidden(part)
            if key in _SEVERAL and isinstance(part, list):
                return [self._value(one, here) for one in part]
            return self._value(part, here)
        inside = self._around(key, here)
        if key in (*_NAMED, *_DEFINED, *SAME_VALUE_BY_NAME) and isinstance(part, dict):
            return {
                name: self._schema(sub, is_secret or (key in _NAMED and is_secret_key(str(name))), depth, inside)
                for name, sub in part.items()
            }
        return self._schema(part, is_secret, depth, inside)

    def _around(self, key: str, here: list[Place]) -> list[Place]:
        """Return the places to which the schemas under ``key`` apply, as far as the schema around them tells."""
        if key in SAME_VALUE or key in SAME_VALUE_BY_NAME:
            return here
        items = (self._places.of_item(place, place.rest) for place in here) if key in SOME_ITEM else ()
        return [place for place in items if place is not None]

    def _of(self, schema: Mapping[str, Any], around: Iterable[Place]) -> list[Place]:
        own = self._places.of_schema(schema)
        found = self._applied.get(id(schema)) or ([] if own is None else [own])
        return list(dict.fromkeys([*found, *around]))

    def _value(self, value: object, places: list[Place]) -> object:
        for place in places:
            hides = self._is_endless or place.is_secret
            value = self._hidden(value) if hides else self._masker.masked(value, place, 0)
        return value

    def _hidden(self, value: object) -> str | None:
        return None if value is None else MASKED
