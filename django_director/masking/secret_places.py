"""The places of a JSON Schema at which values are secret because a schema there is ``writeOnly`` or a password's.

What applies at a place is worked out once for all values there. Where the schema alone can't tell whether a part
of it applies, as under ``if`` or ``contains``, it is taken to apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from time import perf_counter
from typing import Any, Final

from django_director.common.patterns import BadPattern, PatternTooSlow, search

from . import keywords
from .keywords import mapping
from .references import References

MOST_SECONDS: Final = 0.5
"""How many seconds the searches for one payload may take. After that every pattern may match."""


_UNKNOWN: Final = object()


def hides_value(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says that people are not shown its value."""
    return schema.get("writeOnly") is True or schema.get("format") == "password"


class Place:
    """All schemas that apply to one value."""

    __slots__ = ("has_patterns", "has_secret_names", "is_secret", "items", "keys", "others", "rest", "schemas")

    def __init__(self, schemas: list[Mapping[str, Any]], *, has_secret_names: bool, is_secret: bool) -> None:
        self.schemas = schemas
        self.has_secret_names = has_secret_names
        """Whether the keys of an object here are secret. Then the whole object is."""
        self.is_secret = is_secret or has_secret_names or any(map(hides_value, schemas))
        self.has_patterns = any(schema.get("patternProperties") for schema in schemas)
        self.keys: dict[str, Place | None] = {}
        self.others: Any = _UNKNOWN
        """The place of values under keys that no schema names; ``_UNKNOWN`` until it is worked out."""
        self.items: dict[int, Place | None] = {}
        self.rest = max(map(keywords.fixed_items, schemas), default=0)
        """All items of a list from this index on have the same place."""


class Places:
    """The places of one JSON Schema."""

    def __init__(self, root: object) -> None:
        self._references = References(root)
        self._knows_prefix = keywords.has_prefix(root)
        self._known: dict[frozenset[int], Place | None] = {}
        self._sure: dict[int, list[Mapping[str, Any]]] = {}
        self._left = MOST_SECONDS
        self.root = self._place([root])

    def of_key(self, place: Place, key: str) -> Place | None:
        """Return the place of the value under ``key`` of an object at ``place``; ``None``: no schema applies."""
        if not place.has_patterns and all(key not in mapping(part.get("properties")) for part in place.schemas):
            return self.of_others(place)
        if key not in place.keys:
            found = self._place(schema for part in place.schemas for schema in self._of_key(part, key))
            place.keys[key] = found
        return place.keys[key]

    def of_others(self, place: Place) -> Place | None:
        """Return the place of values under keys that no schema of ``place`` names; ``None``: no schema applies."""
        if place.others is _UNKNOWN:
            place.others = self._place(schema for part in place.schemas for schema in self._of_others(part))
        others: Place | None = place.others
        return others

    def of_schema(self, schema: object) -> Place | None:
        """Return the place of a value to which ``schema`` applies, if nothing else is known of it."""
        return self._place([schema])

    def of_item(self, place: Place, index: int) -> Place | None:
        """Return the place of the item ``index`` of a list at ``place``; ``None``: no schema applies there."""
        index = min(index, place.rest)
        if index not in place.items:
            found = self._place(schema for part in place.schemas for schema in self._of_item(part, index))
            place.items[index] = found
        return place.items[index]

    def _place(self, schemas: Iterable[object]) -> Place | None:
        seen = self._collect(schemas)
        key = frozenset(seen)
        if key not in self._known:
            self._known[key] = self._new_place(list(seen.values())) if seen else None
        return self._known[key]

    def _new_place(self, schemas: list[Mapping[str, Any]]) -> Place:
        names = self._collect(schema.get("propertyNames") for schema in schemas)
        within = (schema["contentSchema"] for schema in schemas if "contentSchema" in schema)
        has_secret_names = any(map(hides_value, names.values()))
        return Place(schemas, has_secret_names=has_secret_names, is_secret=any(map(self._holds_secret, within)))

    def _collect(self, schemas: Iterable[object]) -> dict[int, Mapping[str, Any]]:
        """Return the schemas and all schemas in them that apply to the same value, by their ``id``."""
        seen: dict[int, Mapping[str, Any]] = {}
        left = list(schemas)[::-1]
        while left:
            schema = left.pop()
            if isinstance(schema, Mapping) and id(schema) not in seen:
                seen[id(schema)] = schema
                left += keywords.same_value(schema)
                left += self._references.targets(schema)
        return seen

    def _holds_secret(self, schema: object) -> bool:
        """Whether anything in the schema of a text's contents is secret: then the text is hidden."""
        seen, left = set[int](), [schema]
        while left:
            part = left.pop()
            if isinstance(part, list):
                left += part
            elif isinstance(part, Mapping) and id(part) not in seen:
                seen.add(id(part))
                if hides_value(part):
                    return True
                left += part.values()
                left += self._references.targets(part)
        return False

    def _of_key(self, schema: Mapping[str, Any], key: str) -> Iterator[object]:
        properties = mapping(schema.get("properties"))
        named = key in properties
        if named:
            yield properties[key]
        for pattern, sub in mapping(schema.get("patternProperties")).items():
            found = self._is_found(pattern, key)
            named = named or found is True
            if found is not False:
                yield sub
        if not named:
            yield schema.get("additionalProperties")
        if "unevaluatedProperties" in schema and not self._is_judged(schema, key):
            yield schema["unevaluatedProperties"]

    def _of_others(self, schema: Mapping[str, Any]) -> Iterator[object]:
        yield schema.get("additionalProperties")
        if "unevaluatedProperties" in schema and not self._is_judged(schema, None):
            yield schema["unevaluatedProperties"]

    def _is_judged(self, schema: Mapping[str, Any], key: str | None) -> bool:
        """Whether a key is surely no unevaluated one to ``schema``; ``None``: a key that nothing names."""
        for part in self._surely_applied(schema):
            if "additionalProperties" in part or (part is not schema and "unevaluatedProperties" in part):
                return True
            if key is None:
                continue
            if key in mapping(part.get("properties")):
                return True
            if any(self._is_found(pattern, key) for pattern in mapping(part.get("patternProperties"))):
                return True
        return False

    def _of_item(self, schema: Mapping[str, Any], index: int) -> Iterator[object]:
        yield from keywords.of_item(schema, index, knows_prefix=self._knows_prefix)
        if "unevaluatedItems" in schema:
            sure = self._surely_applied(schema)
            is_judged = any(keywords.judges_item(part, index) for part in sure)
            if not is_judged and not any("unevaluatedItems" in part for part in sure[1:]):
                yield schema["unevaluatedItems"]

    def _surely_applied(self, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the schema, first, and those that apply wherever it does, by ``allOf`` and ``$ref``."""
        if id(schema) not in self._sure:
            seen: dict[int, Mapping[str, Any]] = {}
            left: list[object] = [schema]
            while left:
                part = left.pop()
                if isinstance(part, Mapping) and id(part) not in seen:
                    seen[id(part)] = part
                    left += keywords.listed(part.get("allOf"))
                    # A dynamic reference may lead to another schema than each of those that are known of it.
                    left += self._references.targets(part) if _has_plain_reference(part) else ()
            self._sure[id(schema)] = list(seen.values())
        return self._sure[id(schema)]

    def _is_found(self, pattern: str, key: str) -> bool | None:
        """Whether a key matches a pattern; ``None`` if that can't be decided."""
        if self._left <= 0:
            return None
        begun = perf_counter()
        try:
            return search(pattern, key, self._left)
        except (PatternTooSlow, BadPattern):
            return None
        finally:
            self._left -= perf_counter() - begun


def _has_plain_reference(schema: Mapping[str, Any]) -> bool:
    return "$ref" in schema and "$dynamicRef" not in schema and "$recursiveRef" not in schema
