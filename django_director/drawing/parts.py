"""Divides a workflow into the parts of its picture: steps, and frames around several of them.

Groups, chains and the hooks of an outcome are frames. A list of very many steps is divided into stretches, which
are frames too, so that no frame has more parts than a picture can show.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django_director.definitions import OUTCOMES, Step, hook_label
from django_director.graph import Graph, Node

MAX_BOXES: Final = 60
"""With more boxes than this a picture can't be read. No frame has more parts."""
STRETCH: Final = 25
"""How many parts a stretch has at least."""
STRETCHES: Final = 25
"""Into how many stretches a list is divided at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A step, or a frame around parts."""

    number: int
    """By which addresses name it: the same for all runs of a version."""
    kind: str
    """That of the step, or ``condition``; ``group``, ``chain``, ``stretch`` or ``hooks`` of a frame."""
    label: str
    positions: tuple[int, ...]
    """The positions of the steps in it, in ascending order."""
    items: tuple[int, ...] = ()
    """The positions of the tasks that the maps among them have for each item."""
    parts: tuple[Part, ...] = ()

    @property
    def is_frame(self) -> bool:
        """Whether it stands for several steps."""
        return bool(self.parts)

    def has(self, position: int) -> bool:
        """Whether a step, or a task of a map, is in it."""
        return position in self.positions or position in self.items


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """All parts of a workflow: ``root`` has its steps, and ``hooks`` a frame for each outcome that has hooks."""

    root: Part
    hooks: tuple[Part, ...] = ()

    @property
    def roots(self) -> tuple[Part, ...]:
        """The parts that no other part has in it."""
        return (self.root, *self.hooks)

    def path_to(self, position: int) -> tuple[int, ...]:
        """Return the numbers of the frames around a step or a task of a map, the outermost first."""
        found: list[int] = []
        parts: Sequence[Part] = self.roots
        while around := next((each for each in parts if each.is_frame and each.has(position)), None):
            found.append(around.number)
            parts = around.parts
        return tuple(found)


def outline(graph: Graph) -> Outline:
    """Return the parts of a graph."""
    return _Divider(graph).outline()


class _Divider:
    """Makes the parts of one graph and gives them their numbers."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = {node.step.id: node for node in graph.nodes}
        self.numbers = itertools.count()

    def outline(self) -> Outline:
        tasks = _by_position(self._parts(self.graph.definition.tasks))
        root = self._frame("root", "", self._divided(tasks))
        hooks = (
            self._frame("hooks", outcome, self._divided([self._hook(node) for node in chain]))
            for outcome, chain in sorted(self.graph.hooks.items(), key=lambda each: OUTCOMES.index(each[0]))
        )
        return Outline(root=root, hooks=tuple(hooks))

    def _parts(self, steps: Sequence[Step]) -> Iterator[Part]:
        for step in steps:
            node = self.nodes.get(step.id)
            if not step.members:
                if node is not None:
                    yield self._single(node)
                continue
            members = [*([self._single(node)] if node is not None else []), *self._parts(step.members)]
            if members:
                yield self._frame(step.kind, step.id, self._divided(_by_position(members)))

    def _single(self, node: Node) -> Part:
        items = tuple(range(*node.body)) if node.body is not None else ()
        kind = "condition" if node.is_head else node.kind
        position = (node.position,)
        return Part(number=next(self.numbers), kind=kind, label=node.step.id, positions=position, items=items)

    def _hook(self, node: Node) -> Part:
        label = hook_label(node.step.id)
        return Part(number=next(self.numbers), kind=node.kind, label=label, positions=(node.position,))

    def _divided(self, parts: Sequence[Part]) -> Sequence[Part]:
        if len(parts) <= MAX_BOXES:
            return parts
        size = max(STRETCH, -(-len(parts) // STRETCHES))
        return [self._stretch(parts[start : start + size]) for start in range(0, len(parts), size)]

    def _stretch(self, parts: Sequence[Part]) -> Part:
        if len(parts) == 1:
            return parts[0]
        label = f"{parts[0].label} … {parts[-1].label}"
        return self._frame("stretch", label, self._divided(parts))

    def _frame(self, kind: str, label: str, parts: Sequence[Part]) -> Part:
        return Part(
            number=next(self.numbers),
            kind=kind,
            label=label,
            positions=tuple(sorted(position for part in parts for position in part.positions)),
            items=tuple(position for part in parts for position in part.items),
            parts=tuple(parts),
        )


def _by_position(parts: Iterator[Part] | Sequence[Part]) -> list[Part]:
    """Return parts in an order in which most lines lead forwards: positions ascend along the graph."""
    return sorted(parts, key=lambda part: part.positions[0])
