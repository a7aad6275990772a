"""Validators of JSON Schema that do a bounded amount of work, whatever the schema and the payload are.

They are those of ``jsonschema`` with some keywords replaced, and they look at the clock before each part. A part
of a schema that has a ``$schema`` of its own, and what ``$ref`` leads to, is checked by such validators too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Specification
from referencing.jsonschema import specification_with

from django_director.common.patterns import BadPattern, compile_pattern

from .keywords import REPLACED
from .parts import Resolver, Validator, part_of
from .work import present_work

OF_SCHEMAS = FormatChecker(formats=())
"""The formats that schemas themselves must have; those of payloads are in ``formats``."""


@OF_SCHEMAS.checks("regex", raises=BadPattern)
def _is_pattern(text: object) -> bool:
    if isinstance(text, str):
        compile_pattern(text)
    return True


@cache
def bounded(kind: Any) -> Any:
    """Return the class ``kind`` of ``jsonschema``, bounded. Its validators work inside ``work.limited`` only."""
    replaced = {name: keyword for name, keyword in REPLACED.items() if name in kind.VALIDATORS}
    made: Any = extend(kind, replaced)  # type: ignore[no-untyped-call]
    identity = kind.ID_OF(kind.META_SCHEMA) or "urn:unknown-dialect"
    specification: Specification[Any] = specification_with(identity, default=Specification.OPAQUE)
    made.RESOURCE = staticmethod(specification.create_resource)
    made.IS_BOUNDED = True
    evolve, iter_errors = made.evolve, made.iter_errors

    def watched(self: Any, instance: object, _schema: object = None) -> Iterator[ValidationError]:
        present_work().check_time()
        return iter_errors(self, instance)  # type: ignore[no-any-return]

    made.iter_errors = watched
    made.evolve = lambda self, **changes: _as_bounded(evolve(self, **changes))
    made.descend = _descend
    return made


def _as_bounded(validator: Any) -> Any:
    """Return a bounded validator in place of one: for a part with a ``$schema`` jsonschema takes its own class."""
    if hasattr(type(validator), "IS_BOUNDED"):
        return validator
    kind: Any = type(validator)
    return bounded(kind)(
        validator.schema,
        registry=validator._registry,
        _resolver=validator._resolver,
        format_checker=validator.format_checker,
    )


def _descend(
    self: Validator,
    instance: object,
    schema: object,
    path: str | int | None = None,
    schema_path: str | int | None = None,
    resolver: Resolver | None = None,
) -> Iterator[ValidationError]:
    if schema is True:
        return
    for error in part_of(self, schema, resolver).iter_errors(instance):
        if path is not None:
            error.path.appendleft(path)
        if schema_path is not None:
            error.schema_path.appendleft(schema_path)
        yield error
