"""The YAML of a workflow as people are shown it: what it gives to secret keys is hidden.

Values stand under `with`, `payload` and in the defaults of a `schema`. Elsewhere a key is a name, as of a step
called GET_TOKEN or of a property `password`; only passwords in addresses are hidden. Comments stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

from .values import EXAMPLES, MASKED, NAMES, VALUES, is_secret_key, mask_urls

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE: Final = "# This text is no YAML of its own, so that secrets in it can't be found: it is not shown."
_EXPRESSION: Final = "${{"
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions")
"""Under these keys of a schema stand names."""

# Where a node stands.
_DEFINITION: Final = "definition"
_VALUE: Final = "value"
_SCHEMA: Final = "schema"
_INSIDE: Final = {"with": _VALUE, "payload": _VALUE, "schema": _SCHEMA}


class _Node(NamedTuple):
    start: int
    end: int
    text: str | None
    """Of a scalar."""
    pairs: list[tuple[_Node, _Node]]
    items: list[_Node]

    def get(self, names: tuple[str, ...]) -> Iterator[str]:
        """The texts under these keys."""
        return (value.text for key, value in self.pairs if key.text in names and value.text is not None)


def masked_source(source: str, schema: Any = None) -> str:
    """The source with ``********`` in place of secrets; ``schema`` is that of the workflow's payload."""
    try:
        events = iter(yaml.parse(source, Loader=_LOADER))
        roots = [_node(events, event) for event in events if isinstance(event, yaml.NodeEvent)]
        hider = _Hider(_write_only(schema))
        for root in roots:
            hider.look(root, _DEFINITION, False)
    except (yaml.YAMLError, RecursionError):
        return _UNREADABLE
    return hider.applied(source)


def _node(events: Iterator[Any], event: Any) -> _Node:
    """The node that begins with this event; an alias is an empty one, for it hides nothing of its own."""
    start, end = event.start_mark.index, event.end_mark.index
    pairs: list[tuple[_Node, _Node]] = []
    items: list[_Node] = []
    if isinstance(event, yaml.MappingStartEvent):
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            pairs.append((_node(events, key), _node(events, next(events))))
    elif isinstance(event, yaml.SequenceStartEvent):
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_node(events, item))
    text = event.value if isinstance(event, yaml.ScalarEvent) else None
    return _Node(start, end, text, pairs, items)


class _Hider:
    """Collects the places to be hidden."""

    def __init__(self, write_only: frozenset[str]) -> None:
        self.write_only = write_only
        self.places: dict[int, tuple[int, str | None]] = {}

    def look(self, node: _Node, where: str, is_secret: bool) -> None:
        if node.text is not None:
            self._scalar(node, where == _VALUE and is_secret)
        for item in node.items:
            self.look(item, where, is_secret)
        if where == _VALUE:
            self._values(node, is_secret)
        elif where == _SCHEMA:
            self._schema(node, is_secret)
        else:
            for key, value in node.pairs:
                self.look(value, _INSIDE.get(key.text or "", _DEFINITION), False)

    def applied(self, source: str) -> str:
        parts, done = [], 0
        for start, (end, shown) in sorted(self.places.items()):
            old = source[start:end]
            # The end of a block of text is where the next thing begins.
            space = old[len(old.rstrip()) :]
            parts += [source[done:start], mask_urls(old) if shown is None else shown + space]
            done = end
        return "".join([*parts, source[done:]])

    def _scalar(self, node: _Node, is_secret: bool) -> None:
        text = node.text or ""
        if is_secret and text and not text.startswith(_EXPRESSION):
            self.places[node.start] = (node.end, f'"{MASKED}"')
        elif mask_urls(text) != text:
            self.places[node.start] = (node.end, None)

    def _values(self, node: _Node, is_secret: bool) -> None:
        named = VALUES if any(map(is_secret_key, node.get(NAMES))) else ()
        for key, value in node.pairs:
            name = key.text or ""
            self.look(value, _VALUE, is_secret or name in named or name in self.write_only or is_secret_key(name))

    def _schema(self, node: _Node, is_secret: bool) -> None:
        is_secret = is_secret or "true" in node.get(("writeOnly",))
        for key, value in node.pairs:
            name = key.text or ""
            if name in _NAMED:
                for inner, part in value.pairs:
                    self.look(part, _SCHEMA, is_secret or is_secret_key(inner.text or ""))
            else:
                self.look(value, _VALUE if name in EXAMPLES else _SCHEMA, is_secret)


def _write_only(schema: Any) -> frozenset[str]:
    """The names of the properties that a schema calls ``writeOnly``, at whatever depth."""
    found: set[str] = set()
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            properties = part.get("properties")
            for name, sub in properties.items() if isinstance(properties, dict) else ():
                if isinstance(sub, dict) and sub.get("writeOnly") is True:
                    found.add(str(name))
            left += part.values()
        elif isinstance(part, list):
            left += part
    return frozenset(found)
