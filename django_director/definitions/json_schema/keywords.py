"""Keywords of JSON Schema whose work in ``jsonschema`` grows faster than the payload, or that use a pattern.

Each is a generator of errors, as ``jsonschema`` has them; what they say is worded in ``reasons``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from jsonschema.exceptions import ValidationError

from .evaluated import evaluated_items, evaluated_keys
from .parts import Validator, is_valid, target_of
from .work import present_work

Errors = Iterator[ValidationError]
Schema = Mapping[str, Any]
"""The schema in which a keyword stands."""


class MissingProperty(ValidationError):
    """An object lacks a property that it must have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{json.dumps(name, ensure_ascii=False)} is a required property")
        self.name = name


def canonical(value: object) -> str:
    """Return a text that two JSON values share exactly when JSON Schema calls them equal.

    ``1`` and ``1.0`` are equal, ``1`` and ``true`` are not, and the order of keys means nothing. It is a text and
    no tuple: Python hashes texts with a secret, so nobody can send values that all fall into one place of a set.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    # Only numbers are written in several ways.
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":")) if _FLOAT.search(text) else text


_FLOAT: Final = re.compile(r"\d[.eE]")


def _whole(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def unique_items(validator: Validator, is_asked: bool, instance: object, schema: Schema) -> Errors:
    if not is_asked or not isinstance(instance, list):
        return
    seen: dict[str, int] = {}
    for index, item in enumerate(instance):
        present_work().check_time()
        first = seen.setdefault(canonical(item), index)
        if first != index:
            yield ValidationError(f"items {first} and {index} are equal")
            return


def enum(validator: Validator, values: list[object], instance: object, schema: Schema) -> Errors:
    kept = present_work().choices
    if id(values) not in kept:
        kept[id(values)] = values, frozenset(map(canonical, values))
    if canonical(instance) not in kept[id(values)][1]:
        yield ValidationError("")


def const(validator: Validator, value: object, instance: object, schema: Schema) -> Errors:
    if canonical(value) != canonical(instance):
        yield ValidationError("")


def multiple_of(validator: Validator, step: float, instance: object, schema: Schema) -> Errors:
    """Check ``multipleOf`` exactly: by floats 19.99 is no multiple of 0.01."""
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if _exact(instance) % _exact(step):
        yield ValidationError("")


def _exact(number: float) -> int | Fraction:
    return Fraction(repr(number)) if isinstance(number, float) else number


def pattern(validator: Validator, expression: str, instance: object, schema: Schema) -> Errors:
    if isinstance(instance, str) and not present_work().is_found(expression, instance):
        yield ValidationError("")


def pattern_properties(
    validator: Validator, patterns: dict[str, object], instance: object, schema: Schema
) -> Errors:
    if not isinstance(instance, dict):
        return
    for expression, part in patterns.items():
        for key, value in instance.items():
            if present_work().is_found(expression, key):
                yield from validator.descend(value, part, path=key, schema_path=expression)


def additional_properties(validator: Validator, part: object, instance: object, schema: Schema) -> Errors:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    further = [
        key
        for key in instance
        if key not in known and not any(present_work().is_found(expression, key) for expression in patterns)
    ]
    if isinstance(part, dict):
        for key in further:
            yield from validator.descend(instance[key], part, path=key)
    elif not part and further:
        yield _unknown(further)


def required(validator: Validator, names: list[str], instance: object, schema: Schema) -> Errors:
    if isinstance(instance, dict):
        for name in names:
            if name not in instance:
                yield MissingProperty(name)


def unevaluated_properties(validator: Validator, part: object, instance: object, schema: Schema) -> Errors:
    if not isinstance(instance, dict):
        return
    known = evaluated_keys(validator, instance, schema)
    wrong = [key for key in instance if key not in known and not is_valid(validator, instance[key], part)]
    if wrong:
        yield _unknown(wrong)


def unevaluated_items(validator: Validator, part: object, instance: object, schema: Schema) -> Errors:
    if not isinstance(instance, list):
        return
    known = evaluated_items(validator, instance, schema)
    wrong = [
        index for index, item in enumerate(instance) if index not in known and not is_valid(validator, item, part)
    ]
    if wrong:
        yield ValidationError(f"no items are allowed at {_listed(map(str, wrong))}")


def reference(validator: Validator, address: str, instance: object, schema: Schema) -> Errors:
    contents, resolver = target_of(validator, address)
    yield from validator.descend(instance, contents, resolver=resolver)


def recursive_reference(validator: Validator, address: str, instance: object, schema: Schema) -> Errors:
    contents, resolver = target_of(validator, None)
    yield from validator.descend(instance, contents, resolver=resolver)


def _unknown(keys: list[str]) -> ValidationError:
    shown = _listed(json.dumps(key, ensure_ascii=False) for key in keys)
    return ValidationError(f"{shown} {'is no known property' if len(keys) == 1 else 'are no known properties'}")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


REPLACED: Final[dict[str, Callable[..., Errors]]] = {
    "$ref": reference,
    "$dynamicRef": reference,
    "$recursiveRef": recursive_reference,
    "additionalProperties": additional_properties,
    "const": const,
    "divisibleBy": multiple_of,
    "enum": enum,
    "multipleOf": multiple_of,
    "pattern": pattern,
    "patternProperties": pattern_properties,
    "required": required,
    "unevaluatedItems": unevaluated_items,
    "unevaluatedProperties": unevaluated_properties,
    "uniqueItems": unique_items,
}
