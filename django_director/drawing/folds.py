"""Decides which tasks share one box, because a picture with more than ``MAX_BOXES`` boxes can't be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from django_director.graph import Graph, Node

MAX_BOXES: Final = 500
SMALL: Final = 12
"""A container with at most so many tasks is not folded if that can be avoided."""
STRETCH: Final = 25
"""How many tasks in a row share a box at least. In a large picture it is a fortieth of all tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The tasks of one box: a single task, or those of a container or of a row without branches."""

    label: str
    positions: tuple[int, ...]
    items: tuple[int, ...] = ()
    """The positions of the tasks that the maps among them have for each item."""

    @property
    def is_folded(self) -> bool:
        """Whether it stands for several tasks."""
        return len(self.positions) > 1


def fold(graph: Graph) -> list[Unit]:
    """Return the units of a graph's picture, ordered by their first task."""
    keys = _folded_keys(graph.nodes)
    if len(set(keys)) > MAX_BOXES:
        keys = _straightened(graph, keys)
    units: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        units.setdefault(key, []).append(position)
    return [_unit(graph, key, tuple(positions)) for key, positions in units.items()]


def _unit(graph: Graph, key: Hashable, positions: tuple[int, ...]) -> Unit:
    bodies = (graph.nodes[position].body for position in positions)
    items = tuple(position for body in bodies if body is not None for position in range(*body))
    return Unit(label=_label(graph, key, positions), positions=positions, items=items)


def _folded_keys(nodes: Sequence[Node]) -> list[Hashable]:
    """Return for each task the container whose box it shares, or its own position; few are folded."""
    keys: list[Hashable] = list(range(len(nodes)))
    deepest = max((len(node.containers) for node in nodes), default=0)
    sizes = Counter(container for node in nodes for container in node.containers)
    for small in (SMALL, 1):
        for level in range(deepest, -1, -1):
            if len(set(keys)) <= MAX_BOXES:
                return keys
            keys = [_key(node, level, sizes, small) for node in nodes]
    return keys


def _key(node: Node, level: int, sizes: Counter[str], small: int) -> Hashable:
    """Return the outermost large container of a node at ``level`` or inside it, or the node's own position."""
    return next((name for name in node.containers[level:] if sizes[name] > small), node.position)


def _straightened(graph: Graph, keys: list[Hashable]) -> list[Hashable]:
    """Return the keys with one box for each row of tasks without branches."""
    followers = Counter(node.upstream[0] for node in graph.nodes if len(node.upstream) == 1)
    stretches: dict[int, list[int]] = {}
    start_of: dict[int, int] = {}
    for node in graph.nodes:
        if not isinstance(keys[node.position], int):
            continue
        before = node.upstream[0] if len(node.upstream) == 1 else -1
        start = start_of[before] if followers[before] == 1 and before in start_of else node.position
        start_of[node.position] = start
        stretches.setdefault(start, []).append(node.position)
    piece = max(STRETCH, len(graph.nodes) // 40)
    for start, positions in stretches.items():
        for place, position in enumerate(positions):
            keys[position] = ("stretch", start, place // piece)
    return keys


def _label(graph: Graph, key: Hashable, positions: Sequence[int]) -> str:
    if isinstance(key, str):
        return key
    first, last = graph.nodes[positions[0]].step.id, graph.nodes[positions[-1]].step.id
    return first if len(positions) == 1 else f"{first} … {last}"
