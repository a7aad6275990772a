"""The places of a JSON Schema at which values are secret because a schema there is ``writeOnly`` or a password's.

What applies at a place is worked out once for all values there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from time import perf_counter
from typing import Any, Final

from django_director.common.patterns import BadPattern, PatternTooSlow, search

_COMBINING: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONAL: Final = ("then", "else")
MOST_SECONDS: Final = 0.5
"""How many seconds the searches for one payload may take. After that every pattern counts as a match."""


_UNKNOWN: Final = object()


def hides_value(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says that people are not shown its value."""
    return schema.get("writeOnly") is True or schema.get("format") == "password"


class Place:
    """All schemas that apply to one value."""

    __slots__ = ("has_patterns", "is_secret", "items", "keys", "others", "rest", "schemas")

    def __init__(self, schemas: list[Mapping[str, Any]]) -> None:
        self.schemas = schemas
        self.is_secret = any(map(hides_value, schemas))
        self.has_patterns = any(schema.get("patternProperties") for schema in schemas)
        self.keys: dict[str, Place | None] = {}
        self.others: Any = _UNKNOWN
        """The place of values under keys that no schema names; ``_UNKNOWN`` until it is worked out."""
        self.items: dict[int, Place | None] = {}
        self.rest = max((len(_list(schema.get("prefixItems"))) for schema in schemas), default=0)
        """All items of a list from this index on have the same place."""


class Places:
    """The places of one JSON Schema."""

    def __init__(self, root: object) -> None:
        self._schema = root
        self._known: dict[frozenset[int], Place | None] = {}
        self._left = MOST_SECONDS
        self.root = self._place([root])

    def of_key(self, place: Place, key: str) -> Place | None:
        """Return the place of the value under ``key`` of an object at ``place``; ``None``: no schema applies."""
        if not place.has_patterns and all(key not in _mapping(part.get("properties")) for part in place.schemas):
            return self.of_others(place)
        if key not in place.keys:
            found = self._place(schema for part in place.schemas for schema in self._of_key(part, key))
            place.keys[key] = found
        return place.keys[key]

    def of_others(self, place: Place) -> Place | None:
        """Return the place of values under keys that no schema of ``place`` names; ``None``: no schema applies."""
        if place.others is _UNKNOWN:
            place.others = self._place(part.get("additionalProperties") for part in place.schemas)
        others: Place | None = place.others
        return others

    def of_schema(self, schema: object) -> Place | None:
        """Return the place of a value to which ``schema`` applies, if nothing else is known of it."""
        return self._place([schema])

    def of_item(self, place: Place, index: int) -> Place | None:
        """Return the place of the item ``index`` of a list at ``place``; ``None``: no schema applies there."""
        index = min(index, place.rest)
        if index not in place.items:
            place.items[index] = self._place(schema for part in place.schemas for schema in _of_item(part, index))
        return place.items[index]

    def _place(self, schemas: Iterable[object]) -> Place | None:
        seen: dict[int, Mapping[str, Any]] = {}
        for schema in schemas:
            self._collect(schema, seen)
        key = frozenset(seen)
        if key not in self._known:
            self._known[key] = Place(list(seen.values())) if seen else None
        return self._known[key]

    def _collect(self, schema: object, seen: dict[int, Mapping[str, Any]]) -> None:
        """Add to ``seen`` the schema and all schemas in it that apply to the same value."""
        if not isinstance(schema, Mapping) or id(schema) in seen:
            return
        seen[id(schema)] = schema
        applied = [schema.get(key) for key in _CONDITIONAL]
        for key in _COMBINING:
            applied += _list(schema.get(key))
        for part in [*applied, self._target(schema.get("$ref"))]:
            self._collect(part, seen)

    def _target(self, reference: object) -> object:
        """Return the part of the schema to which a reference points; ``None`` if it points to none."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found = self._schema
        for token in reference[1:].split("/")[1:]:
            found = found.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _of_key(self, schema: Mapping[str, Any], key: str) -> Iterator[object]:
        properties = _mapping(schema.get("properties"))
        named = key in properties
        if named:
            yield properties[key]
        for pattern, sub in _mapping(schema.get("patternProperties")).items():
            if self._is_found(pattern, key):
                named = True
                yield sub
        if not named:
            yield schema.get("additionalProperties")

    def _is_found(self, pattern: str, key: str) -> bool:
        if self._left <= 0:
            return True
        begun = perf_counter()
        try:
            return search(pattern, key, self._left)
        except (PatternTooSlow, BadPattern):
            return True
        finally:
            self._left -= perf_counter() - begun


def _of_item(schema: Mapping[str, Any], index: int) -> Iterator[object]:
    prefix = _list(schema.get("prefixItems"))
    yield prefix[index] if index < len(prefix) else schema.get("items")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
