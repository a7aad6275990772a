"""A YAML document as nodes that know where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django_director.common.json_values import JsonValue

from .scalars import is_number_elsewhere


@dataclass(slots=True, kw_only=True)
class Node:
    """``line`` and ``column`` count from 1; ``size`` counts nodes and ``height`` levels, aliases expanded."""

    line: int
    column: int
    size: int = 1
    height: int = 0


@dataclass(slots=True, kw_only=True)
class ScalarNode(Node):
    value: bool | int | float | str | None
    text: str
    """The text as the file has it, without quotes."""
    offset: int = -1
    """Columns from where the scalar begins to its text, when that stands in the file as it is; else -1."""
    is_plain: bool = False
    """Whether it is written without quotes, so that YAML decides what it is."""


@dataclass(slots=True, kw_only=True)
class ListNode(Node):
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class MappingNode(Node):
    entries: dict[str, Entry] = field(default_factory=dict)

    def get(self, key: str) -> Node | None:
        """Return the value of ``key``; ``None`` when it is missing or null."""
        entry = self.entries.get(key)
        return None if entry is None or is_null(entry.value) else entry.value


@dataclass(slots=True, kw_only=True)
class Entry:
    """A key and its value."""

    key: ScalarNode
    value: Node


def is_null(node: Node | None) -> bool:
    return node is None or (isinstance(node, ScalarNode) and node.value is None)


def text_of(node: Node | None) -> str | None:
    """Return the text of a scalar that YAML reads as text; ``None`` for anything else."""
    return node.value if isinstance(node, ScalarNode) and isinstance(node.value, str) else None


def plain(node: Node) -> JsonValue:
    """Return the node as a JSON value. Aliases give copies, so nothing is shared."""
    if isinstance(node, MappingNode):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


def at(node: Node, path: Iterable[str | int]) -> Node:
    """Return the node at a path of keys and indexes, or the nearest one above it."""
    for part in path:
        if isinstance(node, MappingNode) and part in node.entries:
            node = node.entries[str(part)].value
        elif isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            break
    return node


def key_at(node: Node, path: Sequence[str | int]) -> Node:
    """Return the key at the end of a path; where the last part is no key, the node there."""
    owner = at(node, path[:-1])
    if isinstance(owner, MappingNode) and path[-1] in owner.entries:
        return owner.entries[str(path[-1])].key
    return at(node, path)


def describe(node: Node) -> str:
    """Return what a node is, for messages."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    assert isinstance(node, ScalarNode)
    if isinstance(node.value, str) and node.is_plain and is_number_elsewhere(node.text):
        return f"{node.text}, which YAML reads as text"
    return _KINDS[type(node.value)].format(node.text)


_KINDS: Mapping[type, str] = {
    type(None): "empty",
    bool: "“{}”, a truth value",
    int: "the number {}",
    float: "the number {}",
    str: "text",
}
