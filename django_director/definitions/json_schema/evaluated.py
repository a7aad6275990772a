"""Finds what ``unevaluatedProperties`` and ``unevaluatedItems`` leave alone, as other keywords have judged it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parts import Validator, is_valid, part_of, target_of
from .work import present_work


def evaluated_keys(validator: Validator, instance: dict[str, Any], schema: object) -> set[str]:
    """Return the keys of an object that ``schema``, and those of its branches that hold for it, have judged."""
    found: set[str] = set()
    for _, part in _holding(validator, instance, schema):
        if "additionalProperties" in part or (part is not schema and "unevaluatedProperties" in part):
            return set(instance)
        found |= part.get("properties", {}).keys() & instance.keys()
        for expression in part.get("patternProperties", {}):
            found |= {key for key in instance if present_work().is_found(expression, key)}
    return found


def evaluated_items(validator: Validator, instance: list[Any], schema: object) -> set[int]:
    """Return the indexes of a list that ``schema``, and those of its branches that hold for it, have judged."""
    found: set[int] = set()
    for owner, part in _holding(validator, instance, schema):
        items = part.get("items")
        if isinstance(items, dict | bool) or (isinstance(items, list) and "additionalItems" in part):
            return set(range(len(instance)))
        if part is not schema and "unevaluatedItems" in part:
            return set(range(len(instance)))
        found |= set(range(max(len(part.get("prefixItems", ())), len(items or ()))))
        if "contains" in part:
            contains = part["contains"]
            found |= {index for index, item in enumerate(instance) if is_valid(owner, item, contains)}
    return found


def _holding(validator: Validator, instance: object, schema: object) -> Iterator[tuple[Validator, dict[str, Any]]]:
    """Return the schema and those of its branches that hold for the value, each with its validator."""
    present_work().check_time()
    if not isinstance(schema, dict):
        return
    yield validator, schema
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if keyword in schema:
            contents, resolver = target_of(validator, None if keyword == "$recursiveRef" else schema[keyword])
            yield from _holding(part_of(validator, contents, resolver), instance, contents)
    for part in _branches(validator, instance, schema):
        yield from _holding(part_of(validator, part), instance, part)


def _branches(validator: Validator, instance: object, schema: dict[str, Any]) -> Iterator[object]:
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from (part for part in schema.get(keyword, ()) if is_valid(validator, instance, part))
    if "if" in schema:
        holds = is_valid(validator, instance, schema["if"])
        yield from [schema["if"]] if holds else []
        yield schema.get("then" if holds else "else", True)
    for name, part in schema.get("dependentSchemas", {}).items():
        yield from [part] if isinstance(instance, dict) and name in instance else []
