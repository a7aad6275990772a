"""Validators of the parts of a schema, each made once in a check; ``jsonschema`` makes one for each item."""

from __future__ import annotations

from typing import Any

from referencing.jsonschema import lookup_recursive_ref

from .work import work


def part_of(validator: Any, schema: Any, resolver: Any = None) -> Any:
    """Return the validator of a part of the schema of ``validator``."""
    begun = validator._resolver if resolver is None else resolver
    kept, key = work().parts, (type(validator), id(schema), id(begun))
    found = kept.get(key)
    if found is None:
        inside = begun if resolver is not None else begun.in_subresource(validator.RESOURCE(schema))
        # The resolver is kept too: another one might get its number.
        found = kept[key] = validator.evolve(schema=schema, _resolver=inside), begun
    return found[0]


def target_of(validator: Any, address: str | None) -> tuple[Any, Any]:
    """Return what a reference leads to, and the resolver there; ``None`` stands for ``$recursiveRef``.

    Raises ``referencing.exceptions.Unresolvable``.
    """
    begun = validator._resolver
    kept, key = work().targets, (id(begun), address or "")
    found = kept.get(key) if address else None
    if found is None:
        target = begun.lookup(address) if address else lookup_recursive_ref(begun)
        found = kept[key] = target, begun
    return found[0].contents, found[0].resolver


def is_valid(validator: Any, instance: Any, schema: Any) -> bool:
    """Return whether a value fits a part of the schema."""
    return next(validator.descend(instance, schema), None) is None
