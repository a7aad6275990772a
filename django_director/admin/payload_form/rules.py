"""Reads the parts of a JSON Schema as a form needs them: with references followed, and without null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django_director.masking.references import KEYWORDS, References

MAX_STEPS: Final = 20
"""How many references are followed from one part of a schema."""
_OPEN: Final = ("patternProperties", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "unevaluatedProperties")
"""Keywords by which an object may have properties that ``properties`` does not name."""
_EITHER: Final = ("anyOf", "oneOf")
"""Keywords that give a value a choice, of which one may be null."""
_SAYING: Final = frozenset(("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a schema says of one value."""

    words: Mapping[str, Any]
    """The keywords."""
    kind: str
    """The only type that a value has besides null; empty if the schema names none or several."""
    is_nullable: bool = False

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schemas of the properties that it names, if it describes an object."""
        found = self.words.get("properties")
        return found if self.kind == "object" and isinstance(found, dict) else {}

    @property
    def required(self) -> frozenset[str]:
        """The names of the properties that an object must have."""
        names = self.words.get("required")
        return frozenset(map(str, names)) if isinstance(names, list) else frozenset()

    @property
    def is_open(self) -> bool:
        """Whether an object may well have other properties than those that it names."""
        others = isinstance(self.words.get("additionalProperties"), dict)
        return others or any(self.words.get(key) for key in _OPEN) or not self.required <= self.properties.keys()

    @property
    def choices(self) -> list[Any] | None:
        """The only values that are allowed; ``None`` if there are no such values, or not only plain ones."""
        values = self.words.get("enum", [self.words["const"]] if "const" in self.words else None)
        if not isinstance(values, list) or not values or any(isinstance(value, dict | list) for value in values):
            return None
        return values

    def text(self, word: str) -> str:
        """Return what a keyword says to people; empty if it says nothing."""
        value = self.words.get(word, "")
        return value if isinstance(value, str) else ""

    def number(self, word: str) -> int | float | None:
        """Return the number that a keyword has."""
        value = self.words.get(word)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


class Rules:
    """Reads the parts of one schema."""

    def __init__(self, root: object) -> None:
        self._references = References(root)

    def read(self, schema: object) -> Rule:
        """Return the rule of a part of the schema; one that says nothing for what can't be followed."""
        words: Mapping[str, Any] = schema if isinstance(schema, dict) else {}
        is_nullable = False
        # The part in which a reference stands says where it leads: of that an `$id` around the part decides.
        owner = words
        for _ in range(MAX_STEPS):
            key, inner = self._inner(words, owner)
            joined = _joined(inner, words, key) if key else None
            if joined is None:
                return _rule(words, is_nullable)
            is_nullable = is_nullable or key in _EITHER
            owner = inner if isinstance(inner, dict) and "$ref" in inner else owner
            words = joined
        return Rule(words={}, kind="")

    def _inner(self, words: Mapping[str, Any], owner: Mapping[str, Any]) -> tuple[str, object]:
        """Return the schema for which another one only stands, and under which keyword; an empty one if none."""
        if isinstance(words.get("$ref"), str):
            return "$ref", self._references.target(owner, words["$ref"])
        parts = words.get("allOf")
        if isinstance(parts, list) and len(parts) == 1:
            return "allOf", parts[0]
        for key in _EITHER:
            parts = words.get(key)
            if isinstance(parts, list) and len(parts) == 2:
                others = [part for part in parts if not (isinstance(part, dict) and part.get("type") == "null")]
                if len(others) == 1:
                    return key, others[0]
        return "", None


def _joined(inner: object, around: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """Return ``inner`` with what is said around it; ``None`` if both say something that has to be combined."""
    outer = {word: value for word, value in around.items() if word != key}
    if not isinstance(inner, dict) or inner is around:
        return None
    return None if outer.keys() & inner.keys() - _SAYING else {**inner, **outer}


def _rule(words: Mapping[str, Any], is_nullable: bool) -> Rule:
    kinds = words.get("type")
    named = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str)]
    others = [kind for kind in named if kind != "null"]
    is_known = len(others) == 1 and not any(words.get(keyword) for keyword in KEYWORDS)
    return Rule(
        words=words, kind=others[0] if is_known else "", is_nullable=is_nullable or len(others) < len(named)
    )
