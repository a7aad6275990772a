"""Hides the secrets in the YAML text of a workflow before people are shown it.

A workflow gives values under `with`, under `payload` and in the defaults of a `schema`; those of secret keys are
hidden. Elsewhere a key is a name, such as that of a step GET_TOKEN or of a property `password`. There only
passwords in addresses are hidden. Comments are not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

from .secret_places import hides_value
from .values import EXAMPLES, MASKED, NAMES, VALUES, is_secret_key, mask_urls

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE: Final = "# This text is no YAML of its own, so that secrets in it can't be found: it is not shown."
_EXPRESSION: Final = "${{"
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions")
"""The keywords of a JSON Schema under which the keys are names."""

# The kinds of place at which a node may stand.
_DEFINITION: Final = "definition"
_VALUE: Final = "value"
_SCHEMA: Final = "schema"
_INSIDE: Final = {"with": _VALUE, "payload": _VALUE, "schema": _SCHEMA}


class _Node(NamedTuple):
    """A node of a YAML document; ``start`` and ``end`` are its place in the text."""

    start: int
    end: int
    text: str | None
    """The value of a scalar; ``None`` for a mapping or a sequence."""
    pairs: list[tuple[_Node, _Node]]
    items: list[_Node]

    def get(self, names: tuple[str, ...]) -> Iterator[str]:
        """Yield the scalars under these keys."""
        return (value.text for key, value in self.pairs if key.text in names and value.text is not None)


def mask_source(source: str, schema: object = None) -> str:
    """Return the YAML text with ``********`` in place of secrets; ``schema`` is the JSON Schema of the payload.

    Text that is no YAML is replaced as a whole by a comment that says so.
    """
    try:
        events = iter(yaml.parse(source, Loader=_LOADER))
        roots = [_node(events, event) for event in events if isinstance(event, yaml.NodeEvent)]
        hider = _Hider(_write_only(schema))
        for root in roots:
            hider.visit(root, _DEFINITION, False)
    except (yaml.YAMLError, RecursionError):
        return _UNREADABLE
    return hider.replace(source)


def _node(events: Iterator[Any], event: Any) -> _Node:
    """Return the node that begins with ``event``; an alias is an empty node, for it has no text of its own."""
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
    """Collects the places of a text at which secrets stand, and replaces them."""

    def __init__(self, write_only: frozenset[str]) -> None:
        self.write_only = write_only
        self.places: dict[int, tuple[int, str | None]] = {}

    def visit(self, node: _Node, where: str, is_secret: bool) -> None:
        """Collect the places in a node; ``is_secret``: it stands under a secret key."""
        if node.text is not None:
            self._scalar(node, where == _VALUE and is_secret)
        for item in node.items:
            self.visit(item, where, is_secret)
        if where == _VALUE:
            self._values(node, is_secret)
        elif where == _SCHEMA:
            self._schema(node, is_secret)
        else:
            for key, value in node.pairs:
                self.visit(value, _INSIDE.get(key.text or "", _DEFINITION), False)

    def replace(self, source: str) -> str:
        """Return the text with the collected places replaced."""
        parts, done = [], 0
        for start, (end, shown) in sorted(self.places.items()):
            old = source[start:end]
            # YAML says that a block of text ends where the next node begins: keep the space between them.
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
            self.visit(value, _VALUE, is_secret or name in named or name in self.write_only or is_secret_key(name))

    def _schema(self, node: _Node, is_secret: bool) -> None:
        is_secret = is_secret or "true" in node.get(("writeOnly",)) or "password" in node.get(("format",))
        for key, value in node.pairs:
            name = key.text or ""
            if name in _NAMED:
                for inner, part in value.pairs:
                    self.visit(part, _SCHEMA, is_secret or is_secret_key(inner.text or ""))
            else:
                self.visit(value, _VALUE if name in EXAMPLES else _SCHEMA, is_secret)


def _write_only(schema: object) -> frozenset[str]:
    """Return the names of the properties whose values are hidden, at any depth of a JSON Schema."""
    found: set[str] = set()
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            properties = part.get("properties")
            for name, sub in properties.items() if isinstance(properties, dict) else ():
                if isinstance(sub, dict) and hides_value(sub):
                    found.add(str(name))
            left += part.values()
        elif isinstance(part, list):
            left += part
    return frozenset(found)
