"""Validators of the parts of a schema, each made once in a check; ``jsonschema`` makes one for each item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from jsonschema.exceptions import ValidationError
from referencing.jsonschema import lookup_recursive_ref

from .work import present_work

if TYPE_CHECKING:
    from referencing import _core

Resolver: TypeAlias = "_core.Resolver[Any]"
"""What finds the part of a schema to which a reference leads."""


class Validator(Protocol):
    """What is used of a validator of ``jsonschema``, some of which has no types or is not public."""

    _resolver: Any
    RESOURCE: Any

    def is_type(self, instance: object, type: str) -> bool:
        """Return whether a value is of a type of JSON Schema."""

    def iter_errors(self, instance: object) -> Iterator[ValidationError]:
        """Yield the errors of a value."""

    def evolve(self, **changes: object) -> Validator:
        """Return a validator that differs in some attributes."""

    def descend(
        self,
        instance: object,
        schema: object,
        path: object = None,
        schema_path: object = None,
        resolver: object = None,
    ) -> Iterator[ValidationError]:
        """Yield the errors of a part of the value by a part of the schema."""


def part_of(validator: Validator, schema: object, resolver: Resolver | None = None) -> Validator:
    """Return the validator of a part of the schema of ``validator``."""
    begun = validator._resolver if resolver is None else resolver
    kept, key = present_work().parts, (type(validator), id(schema), id(begun))
    found = kept.get(key)
    if found is None:
        inside = begun if resolver is not None else begun.in_subresource(validator.RESOURCE(schema))
        # The resolver is kept too: another one might get its number.
        found = kept[key] = validator.evolve(schema=schema, _resolver=inside), begun
    part: Validator = found[0]
    return part


def target_of(validator: Validator, address: str | None) -> tuple[Any, Any]:
    """Return what a reference leads to, and the resolver there; ``None`` stands for ``$recursiveRef``.

    Raises ``referencing.exceptions.Unresolvable``.
    """
    begun = validator._resolver
    kept, key = present_work().targets, (id(begun), address or "")
    found = kept.get(key) if address else None
    if found is None:
        target = begun.lookup(address) if address else lookup_recursive_ref(begun)
        found = kept[key] = target, begun
    return found[0].contents, found[0].resolver


def is_valid(validator: Validator, instance: object, schema: object) -> bool:
    """Return whether a value fits a part of the schema."""
    return next(validator.descend(instance, schema), None) is None
