"""Values behind a dot or in brackets, and the errors when there is no such key or index."""

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


def element(value: Any, key: Any, owner: str) -> object:
    """Return ``value[key]`` of JSON data; ``owner`` is the text of ``value`` in the expression.

    Raises ``Missing`` if there is no such key or index, and if ``value`` is null; raises ``Fault`` for a value
    that has no keys.
    """
    what, wanted = kind(value), kind(key)
    if what == MAPPING:
        if wanted != TEXT:
            raise Fault(f"`{owner}` is a mapping; its keys are texts, not {wanted}")
        if key not in value:
            raise missing_key(owner, key, value)
        return value[key]
    if what == NULL:
        raise Missing(f"`{owner}` is null and has no {'index' if wanted == NUMBER else 'key'} {_quoted(key)}")
    if what not in (LIST, TEXT):
        raise Fault(f"`{owner}` is {what} and has no keys")
    if wanted != NUMBER or isinstance(key, float):
        raise Fault(f"`{owner}` is {what}; it has no key {_quoted(key)}", "its parts are `[0]`, `[1]`, …")
    if not -len(value) <= key < len(value):
        raise Missing(
            f"`{owner}` has no index {key}; it has {len(value):,} {'part' if len(value) == 1 else 'parts'}"
        )
    return value[key]


def missing_key(owner: str, key: str, value: Mapping[str, Any]) -> Missing:
    """Return the error for a mapping that lacks ``key``; its message lists the keys that exist."""
    return Missing(lambda: f"`{owner}` has no {_quoted(key)}; there is {_listed(key, value)}")


def _listed(key: str, value: Mapping[str, Any]) -> str:
    """Return a list of some of the keys as text, the one most like ``key`` first."""
    names = [str(name) for name in islice(value, _LOOKED_AT)]
    if near := nearest(key, names):
        names.remove(near)
        names.insert(0, near)
    shown = ", ".join(_quoted(name) for name in names[:_LISTED]) or "nothing"
    return shown + (f" and {len(value) - _LISTED:,} more" if len(value) > _LISTED else "")


def _quoted(key: object) -> str:
    if not isinstance(key, str):
        return f"`[{key}]`" if kind(key) == NUMBER else f"like {kind(key)}"
    if len(key) > MAX_COMPARED:
        # The key is left out: a secret of which only the beginning was shown would not be found and hidden.
        return f"`…` of {len(key):,} characters"
    return f"`{accessor(key).removeprefix('.')}`"
