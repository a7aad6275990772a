"""The keywords of JSON Schema, of all drafts, that have schemas under them; and to which values these apply.

They count in any draft: who writes ``writeOnly`` under a keyword that the draft of the schema does not have means
it all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

SAME_VALUE: Final = ("allOf", "anyOf", "oneOf", "if", "then", "else", "not", "extends", "disallow", "type")
"""A schema under these, or each in a list, may apply to the same value as the schema around it."""
SAME_VALUE_BY_NAME: Final = ("dependentSchemas", "dependencies")
"""Each schema in the mapping under these may apply to the same value as the schema around it."""
SOME_ITEM: Final = ("contains", "additionalItems", "unevaluatedItems")
"""A schema under these applies to items of the list of which the schema around it tells."""
_FIXED_ITEMS: Final = ("prefixItems", "items")
_WITHOUT_PREFIX: Final = ("draft-03/", "draft-04/", "draft-06/", "draft-07/", "2019-09/")
"""Parts of the addresses of the drafts that do not know ``prefixItems``."""


def same_value(schema: Mapping[str, Any]) -> Iterator[object]:
    """Yield what stands under keywords whose schemas may apply to the same value as ``schema``."""
    for key in SAME_VALUE:
        if key in schema:
            value = schema[key]
            yield from value if isinstance(value, list) else (value,)
    for key in SAME_VALUE_BY_NAME:
        if key in schema:
            yield from mapping(schema[key]).values()


def fixed_items(schema: Mapping[str, Any]) -> int:
    """Return how many items, from the first on, ``schema`` describes one by one."""
    return max(len(listed(schema.get(key))) for key in _FIXED_ITEMS)


def of_item(schema: Mapping[str, Any], index: int, *, knows_prefix: bool) -> Iterator[object]:
    """Yield the schemas of the item ``index``, without ``unevaluatedItems``.

    ``knows_prefix`` is the answer of ``has_prefix`` for the whole schema.
    """
    prefix, items = listed(schema.get("prefixItems")), schema.get("items")
    if index < len(prefix):
        yield prefix[index]
    if isinstance(items, list):
        yield items[index] if index < len(items) else schema.get("additionalItems")
    else:
        yield items if index >= len(prefix) or not knows_prefix else None
        yield schema.get("additionalItems")
    yield schema.get("contains")


def has_prefix(root: object) -> bool:
    """Whether ``prefixItems`` means something in the draft of a schema, so that ``items`` begins after it."""
    draft = mapping(root).get("$schema")
    return not isinstance(draft, str) or not any(word in draft for word in _WITHOUT_PREFIX)


def judges_item(schema: Mapping[str, Any], index: int) -> bool:
    """Whether the item ``index`` is no unevaluated one to ``schema``, which is sure to apply."""
    items = schema.get("items")
    if isinstance(items, dict | bool) or (isinstance(items, list) and "additionalItems" in schema):
        return True
    return index < fixed_items(schema)


def listed(value: object) -> list[Any]:
    """Return a list, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
