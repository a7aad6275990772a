"""Keys and indexes: what is behind a dot or in brackets, and what is said when it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from django_director.common.suggestions import MAX_COMPARED, nearest

from .budget import Fault, Missing
from .names import accessor
from .operations import LIST, MAPPING, NULL, NUMBER, TEXT, kind

_LISTED: Final = 8
_LOOKED_AT: Final = 200


def element(value: Any, key: Any, owner: str) -> Any:
    """``value[key]`` of JSON data; ``owner`` is the text of ``value``. Raises ``Missing`` also for null."""
    what, wanted = kind(value), kind(key)
    if what == MAPPING:
        if wanted != TEXT:
            raise Fault(f"`{owner}` is a mapping; its keys are texts, not {wanted}")
        if key not in value:
            raise missing_key(owner, key, value)
        return value[key]
    if what == NULL:
        raise Missing(f"`{owner}` is null and has no {'index' if wanted == NUMBER else 'key'} {_shown(key)}")
    if what not in (LIST, TEXT):
        raise Fault(f"`{owner}` is {what} and has no keys")
    if wanted != NUMBER or isinstance(key, float):
        raise Fault(f"`{owner}` is {what}; it has no key {_shown(key)}", "its parts are `[0]`, `[1]`, …")
    if not -len(value) <= key < len(value):
        raise Missing(
            f"`{owner}` has no index {key}; it has {len(value):,} {'part' if len(value) == 1 else 'parts'}"
        )
    return value[key]


def missing_key(owner: str, key: str, value: Mapping[str, Any]) -> Missing:
    """The error for a mapping without ``key``, which says what there is."""
    return Missing(lambda: f"`{owner}` has no {_shown(key)}; there is {_listed(key, value)}")


def _listed(key: str, value: Mapping[str, Any]) -> str:
    """Some of the keys, the nearest to ``key`` first."""
    names = [str(name) for name in islice(value, _LOOKED_AT)]
    if near := nearest(key, names):
        names.remove(near)
        names.insert(0, near)
    shown = ", ".join(_shown(name) for name in names[:_LISTED]) or "nothing"
    return shown + (f" and {len(value) - _LISTED:,} more" if len(value) > _LISTED else "")


def _shown(key: Any) -> str:
    if not isinstance(key, str):
        return f"`[{key}]`" if kind(key) == NUMBER else f"like {kind(key)}"
    if len(key) > MAX_COMPARED:
        # Nothing finds the beginning of a secret, to hide it.
        return f"`…` of {len(key):,} characters"
    return f"`{accessor(key).removeprefix('.')}`"
