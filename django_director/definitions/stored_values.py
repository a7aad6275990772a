"""How values are written into the stored form of a definition, and read from it.

Databases sort the keys of JSON, so a value with a mapping whose order people see is kept as text.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_ORDERED: Final = "$ordered"
"""A value that is kept as text is a mapping with this only key."""

Json = dict[str, Any]


def keep_order(value: object) -> object:
    """Return a value as it is stored: as text where a mapping in it has an order to be kept."""
    text = json.dumps(value, separators=(",", ":"))
    return {_ORDERED: text} if _has_order(value) or _ORDERED in text else value


def restore_order(value: object) -> Any:
    """Return a stored value as it was before ``keep_order``."""
    if isinstance(value, dict) and value.keys() == {_ORDERED}:
        return json.loads(value[_ORDERED])
    return value


def without_none(**values: object) -> Json:
    """Return the values that are not ``None``: what a file does not say is not stored."""
    return {key: value for key, value in values.items() if value is not None}


def changed_fields(value: DataclassInstance, usual: object) -> Json:
    """Return those fields of a dataclass that differ from the fields of ``usual``."""
    pairs = ((part.name, getattr(value, part.name)) for part in fields(value) if part.compare)
    changed = {name: own for name, own in pairs if own != getattr(usual, name)}
    return {name: list(own) if isinstance(own, tuple) else own for name, own in changed.items()}


def _has_order(value: object) -> bool:
    if isinstance(value, dict):
        return len(value) > 1 or any(map(_has_order, value.values()))
    return isinstance(value, list) and any(map(_has_order, value))
