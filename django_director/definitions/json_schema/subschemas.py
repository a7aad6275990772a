"""Finds the parts of a JSON Schema that are schemas themselves, and their mistakes, without any payload."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any, Final

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

from django_director.common.patterns import BadPattern, compile_pattern, slow_part
from django_director.common.suggestions import CERTAIN, MAX_HINTS, nearest

_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
"""Keywords that have a schema under each name."""
_LISTED: Final = ("allOf", "anyOf", "oneOf", "prefixItems", "items", "extends")
_SINGLE: Final = (
    *("items", "additionalItems", "unevaluatedItems", "contains", "additionalProperties", "unevaluatedProperties"),
    *("propertyNames", "not", "if", "then", "else", "contentSchema", "extends"),
)
MAX_DEPTH: Final = 100

Keys = tuple[str | int, ...]


def parts(schema: object, keys: Keys = ()) -> Iterator[tuple[Keys, dict[str, Any]]]:
    """Yield the schema and all schemas in it that are objects, each with the keys that lead to it."""
    if not isinstance(schema, dict) or len(keys) > MAX_DEPTH:
        return
    yield keys, schema
    for word, value in schema.items():
        if word in _NAMED and isinstance(value, dict):
            for name, part in value.items():
                yield from parts(part, (*keys, word, name))
        elif word in _LISTED and isinstance(value, list):
            for index, part in enumerate(value):
                yield from parts(part, (*keys, word, index))
        elif word in _SINGLE:
            yield from parts(value, (*keys, word))


def bad_patterns(schema: object) -> Iterator[tuple[Keys, str]]:
    """Yield the patterns that can't be used, each with the keys that lead to it."""
    for keys, pattern in _patterns(schema):
        try:
            compile_pattern(pattern)
        except BadPattern as error:
            yield keys, str(error)


def slow_patterns(schema: object) -> Iterator[tuple[Keys, str]]:
    """Yield parts of patterns that take very long on some short texts, each with the keys to its pattern."""
    for keys, pattern in _patterns(schema):
        if part := slow_part(pattern):
            yield keys, part


def _patterns(schema: object) -> Iterator[tuple[Keys, str]]:
    for keys, part in parts(schema):
        if isinstance(part.get("pattern"), str):
            yield (*keys, "pattern"), part["pattern"]
        named = part.get("patternProperties")
        for name in named if isinstance(named, dict) else ():
            yield (*keys, "patternProperties", name), name


def unnamed(schema: object) -> Iterator[tuple[Keys, str, str, bool]]:
    """Yield names in `required` that `properties` lacks, if a name is like one there, or if nothing else is
    allowed.

    Each comes with the keys that lead to it, the name that is like it, if any, and whether nothing else is
    allowed.
    """
    for keys, part in parts(schema):
        names, required = part.get("properties"), part.get("required")
        if not isinstance(names, dict) or not isinstance(required, list) or part.get("patternProperties"):
            continue
        is_closed = part.get("additionalProperties") is False
        for index, name in enumerate(required[:MAX_HINTS]):
            if isinstance(name, str) and name not in names:
                near = nearest(name, names.keys() - set(required), CERTAIN)
                if near or is_closed:
                    yield (*keys, "required", index), name, near, is_closed


def idle_words(schema: object) -> list[str]:
    """Return the words of a schema without any keyword that checks: they were meant as keys of payloads."""
    if not isinstance(schema, dict) or schema.keys() & (KEYWORDS - _SAYING):
        return []
    words = [word for word in schema if word not in KEYWORDS and not word.lower().startswith("x-")]
    return [] if any(_meant(word, schema) for word in words) else words


def misspelt(schema: object) -> Iterator[tuple[Keys, str]]:
    """Yield words that are no keywords and look like one, each with the keys to it and that keyword."""
    for keys, part in parts(schema):
        for word in part:
            near = "" if word in KEYWORDS else _meant(word, part)
            if near and near not in part:
                yield (*keys, word), near


def _meant(word: str, part: dict[str, Any]) -> str:
    """Return the keyword that was meant in this schema, by its own type where that decides; empty for none."""
    by_type = {} if isinstance(part[word], dict) else _BOUNDS.get(word, {})
    kind = part.get("type")
    return by_type.get(kind, "") if isinstance(kind, str) and by_type else _nearest(word)


def _nearest(word: str) -> str:
    """Return the keyword that was most likely meant; none for a word of the project's own, as `title_de`."""
    if not SHORTEST <= len(word) <= LONGEST or word.lower().startswith("x-"):
        return ""
    likeness, best = max((_likeness(word.lower(), known.lower()), known) for known in LONG_KEYWORDS)
    return best if likeness >= LIKE else ""


def _likeness(one: str, other: str) -> float:
    return 1 if sorted(one) == sorted(other) else SequenceMatcher(None, one, other).ratio()


TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")
_SAYING: Final = frozenset(
    ("$schema", "$id", "id", "$comment", "title", "description", "default", "example", "examples", "$defs")
)
"""Keywords that describe and check nothing."""
_BOUNDS: Final = {
    "min": {"number": "minimum", "integer": "minimum", "string": "minLength", "array": "minItems"},
    "max": {"number": "maximum", "integer": "maximum", "string": "maxLength", "array": "maxItems"},
    "length": {"string": "maxLength", "array": "maxItems"},
    "regex": {"string": "pattern"},
    **{word: dict.fromkeys(TYPES, "enum") for word in ("values", "choices", "options", "one_of")},
}
LIKE: Final = 0.82
SHORTEST: Final = 4
"""A word that is taken for a typing error has so many characters. Shorter words resemble many others: `note`,
`not`."""
LONGEST: Final = 40


def _keywords() -> frozenset[str]:
    """Return all keywords of all drafts, by their own schemas."""
    found = {"$ref", "example", "nullable", "divisibleBy"}
    for address in REGISTRY:
        found |= REGISTRY.contents(address).get("properties", {}).keys()
    return frozenset(found)


KEYWORDS: Final = _keywords()
LONG_KEYWORDS: Final = sorted(word for word in KEYWORDS if len(word) >= SHORTEST)
