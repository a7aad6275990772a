"""Checks payloads against their JSON Schema, and fills in its defaults. Nothing is ever fetched.

The draft is the one that ``$schema`` names, 2020-12 without it. Defaults are those of ``properties``, at every
level that ``properties``, ``items``, ``prefixItems``, ``additionalProperties``, ``allOf`` and ``$ref`` lead to.
Defaults of a branch that is to be chosen first (``anyOf``, ``oneOf``, ``if``) are not filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY as SPECIFICATIONS  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from django_director.common.patterns import BadPattern, PatternTooSlow
from django_director.definitions.json_schema.bounded import OF_SCHEMAS, bounded
from django_director.definitions.json_schema.formats import FORMATS
from django_director.definitions.json_schema.keywords import MissingProperty
from django_director.definitions.json_schema.parts import Resolver, is_valid
from django_director.definitions.json_schema.reasons import Quotes, plain, short
from django_director.definitions.json_schema.subschemas import bad_patterns
from django_director.definitions.json_schema.work import (
    TOO_LONG,
    TooMuchWork,
    explain_giving_up,
    limited_work,
    present_work,
)
from django_director.exceptions import InvalidPayload
from django_director.masking.schemas import SchemaMask

MAX_ERRORS: Final = 100
TOO_DEEP: Final = "the schema or the payload is nested too deeply"

Schema = dict[str, Any] | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadError:
    """One reason why a payload does not fit; ``keys`` lead from the payload to the value."""

    keys: tuple[str | int, ...]
    path: str
    """The keys as a JSON path: ``$.a.b[0]``."""
    message: str
    plain: str = ""
    """The message without the value."""
    plain_path: str = ""
    """The path without the names that stand in the payload only: ``$.prices.*``."""
    keyword: str = field(default="", compare=False)
    """The keyword of JSON Schema that refuses the value; empty if none does."""
    limit: object = field(default=None, compare=False)
    """What the schema has under this keyword. It may be a secret, as an ``enum`` may."""
    missing: str | None = field(default=None, compare=False)
    """The name of a property that is required and not there."""


def validate(schema: Schema | None, payload: object) -> object:
    """Return the payload with the schema's defaults; the argument is not changed.

    Raises ``InvalidPayload`` with every reason as ``{"path": "$.a.b", "message": …}``.
    """
    if schema is None:
        return payload
    filled, errors = _compiled(_key(schema)).apply(payload)
    if errors:
        raise InvalidPayload(
            [{"path": error.path, "message": error.message} for error in errors],
            [
                {"path": error.plain_path or error.path, "message": error.plain or error.message}
                for error in errors
            ],
        )
    return filled


def errors_of(schema: Schema, payload: object) -> list[PayloadError]:
    """Return why the payload, with defaults filled in, does not fit; nothing when it fits."""
    return _compiled(_key(schema)).apply(payload)[1]


def with_defaults(schema: Schema | None, payload: object) -> Any:
    """Return the payload with the schema's defaults, whether it fits or not; the argument is not changed."""
    return payload if schema is None else _compiled(_key(schema)).apply(payload)[0]


def problems_of(schema: Schema) -> list[PayloadError]:
    """Return why the schema itself is not usable; nothing when it is. An unknown draft is taken as 2020-12."""
    if isinstance(schema, dict) and not isinstance(schema.get("$schema", ""), str):
        return [PayloadError(keys=("$schema",), path="$.$schema", message="`$schema` must be text")]
    try:
        with limited_work():
            return _problems_of(schema)
    except (RecursionError, TooMuchWork, PatternTooSlow) as error:
        return [_given_up(error)]


def _problems_of(schema: Schema) -> list[PayloadError]:
    checker = validator_for(schema, default=Draft202012Validator)
    meta = bounded(checker)(checker.META_SCHEMA, registry=SPECIFICATIONS, format_checker=OF_SCHEMAS)
    errors = _ordered(meta.iter_errors(schema), Quotes(schema, None))
    if errors:
        return errors
    # The drafts do not all say that the names of `patternProperties` are patterns.
    for keys, reason in bad_patterns(schema):
        return [PayloadError(keys=keys, path=_json_path(keys), message=f"this is not a usable regex: {reason}")]
    return _Compiled(schema).problems()


def _given_up(error: Exception) -> PayloadError:
    """Return what is said of a check that came to no end. It quotes nothing of the payload."""
    match error:
        case RecursionError():
            message = TOO_DEEP
        case TooMuchWork() | PatternTooSlow():
            message = explain_giving_up(error)
        case _:
            message = f"the schema can't be used: {error}"
    return PayloadError(keys=(), path="$", message=message)


def _key(schema: Schema) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=256)
def _compiled(key: str) -> _Compiled:
    return _Compiled(json.loads(key))


class _Compiled:
    """A schema ready for use."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        checker = validator_for(schema, default=Draft202012Validator)
        self.resource: Resource[Any] = Resource.from_contents(schema, default_specification=DRAFT202012)
        # A registry of its own has no way to retrieve, so a remote `$ref` is an error and no request.
        self.registry: Registry[Any] = SPECIFICATIONS.with_resource(self.resource.id() or "", self.resource)
        self.resolver = self.registry.resolver_with_root(self.resource)
        self.validator = bounded(checker)(schema, registry=self.registry, format_checker=FORMATS)
        self.has_defaults = '"default":' in _key(schema)

    def apply(self, payload: object) -> tuple[Any, list[PayloadError]]:
        try:
            with limited_work():
                return self._apply(payload)
        except (RecursionError, TooMuchWork, PatternTooSlow, BadPattern, Unresolvable) as error:
            return payload, [_given_up(error)]

    def _apply(self, payload: object) -> tuple[Any, list[PayloadError]]:
        if self.has_defaults:
            payload = deepcopy(payload)
            self._fill(self.schema, payload, self.resolver, frozenset())
        return payload, _ordered(self.validator.iter_errors(payload), Quotes(payload, self.schema))

    def problems(self) -> list[PayloadError]:
        """Return references that lead nowhere, defaults that don't fit, and schemas that never end."""
        found = list(self._broken_references(self.resource, self.resolver))
        return found or list(self._wrong_defaults(self.schema, ())) or self._endless()

    def _endless(self) -> list[PayloadError]:
        return [error for error in self.apply({})[1] if error.message in (TOO_DEEP, TOO_LONG)]

    def _fill(self, schema: object, value: object, resolver: Resolver, seen: frozenset[str]) -> None:
        """Fill in ``value``. ``seen`` holds the references that were followed at this place of the value."""
        present_work().check_time()
        if not isinstance(schema, dict):
            return
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            target = resolver.lookup(reference)
            self._fill(target.contents, value, target.resolver, seen | {reference})
        for part in schema.get("allOf", ()):
            self._fill(part, value, resolver, seen)
        if isinstance(value, dict):
            self._fill_object(schema, value, resolver)
        elif isinstance(value, list):
            self._fill_list(schema, value, resolver)

    def _fill_object(self, schema: dict[str, Any], value: dict[str, Any], resolver: Resolver) -> None:
        properties = schema.get("properties", {})
        for name, part in properties.items():
            if name not in value and isinstance(part, dict) and "default" in part:
                value[name] = deepcopy(part["default"])
            if name in value:
                self._fill(part, value[name], resolver, frozenset())
        rest = schema.get("additionalProperties")
        for name in value.keys() - properties.keys() if isinstance(rest, dict) else ():
            self._fill(rest, value[name], resolver, frozenset())

    def _fill_list(self, schema: dict[str, Any], value: list[Any], resolver: Resolver) -> None:
        first = schema.get("prefixItems", ())
        rest = schema.get("items")
        for index, item in enumerate(value):
            self._fill(first[index] if index < len(first) else rest, item, resolver, frozenset())

    def _broken_references(self, resource: Resource[Any], resolver: Resolver) -> Iterator[PayloadError]:
        contents = resource.contents
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = contents.get(keyword) if isinstance(contents, dict) else None
            if isinstance(reference, str) and not _resolves(resolver, reference):
                message = f"`{keyword}: {reference}` leads to nothing in this schema, and nothing is fetched"
                yield PayloadError(keys=(), path="$", message=message)
        for part in resource.subresources():
            if not isinstance(part.contents, dict | bool):
                # Of a single schema under `extends`, in draft 3, the library gives the keys.
                continue
            yield from self._broken_references(part, resolver.in_subresource(part))

    def _wrong_defaults(self, schema: object, path: tuple[str | int, ...]) -> Iterator[PayloadError]:
        """Return defaults that the schema itself would refuse, so that no run could start without a value."""
        if not isinstance(schema, dict):
            return
        for name, part in schema.get("properties", {}).items():
            keys = (*path, "properties", name)
            if isinstance(part, dict) and "default" in part and not self._fits(part):
                shown = short(json.dumps(SchemaMask(self.schema).default(name, part)))
                message = f"the default of “{name}”, {shown}, does not fit its own schema"
                yield PayloadError(keys=(*keys, "default"), path=_json_path(keys), message=message)
            yield from self._wrong_defaults(part, keys)
        yield from self._wrong_defaults(schema.get("items"), (*path, "items"))

    def _fits(self, part: dict[str, Any]) -> bool:
        # The whole schema's validator knows the references of its part.
        return is_valid(self.validator, part["default"], part)


def _resolves(resolver: Resolver, reference: str) -> bool:
    try:
        resolver.lookup(reference)
    except Unresolvable:
        return False
    return True


def _ordered(errors: Iterator[ValidationError], quotes: Quotes) -> list[PayloadError]:
    found = [
        PayloadError(
            keys=tuple(error.absolute_path),
            path=_json_path(_plain_keys(error)) if quotes.hides_keys(error) else error.json_path,
            message=quotes.message(error),
            plain=plain(error),
            plain_path=_json_path(_plain_keys(error)),
            keyword=str(error.validator or ""),
            limit=error.validator_value,
            missing=error.name if isinstance(error, MissingProperty) else None,
        )
        for error, _ in zip(errors, range(MAX_ERRORS), strict=False)
    ]
    return sorted(found, key=lambda error: (error.path, error.message))


def _plain_keys(error: ValidationError) -> tuple[str | int, ...]:
    """Return the keys that lead to the value, with a star for each that the schema does not name."""
    named = {str(name) for keyword, name in pairwise(error.absolute_schema_path) if keyword == "properties"}
    return tuple(key if isinstance(key, int) or key in named else "*" for key in error.absolute_path)


def _json_path(keys: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
