"""The steps of a run as a tree, in the order of the file: groups and chains fold, maps tell of their items.

The tree of a run with very many steps is cut into pages of lines; its large groups are one line each until the
user opens them. What failed, runs or waits is seen also in a group that is not open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal
from urllib.parse import urlencode

from django_director.definitions import Container, Step
from django_director.drawing.faces import BY_CONCERN, status_of_map
from django_director.graph import Graph
from django_director.presentation.summaries import progress
from django_director.status import TASK_FINISHED, TaskStatus

from . import formatting

LINES: Final = 200
"""How many lines a page has, and how many steps a run may have without a folded group."""
SMALL: Final = 20
"""A group of at most so many steps is never folded."""
TOLD: Final = 10
"""How many steps of a folded group, and items of a map, are shown because of their status."""
TOLD_OF: Final = frozenset({TaskStatus.FAILED, TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.CANCELED})
CALM: Final = frozenset({TaskStatus.SUCCESS, TaskStatus.SKIPPED})
DEEPEST: Final = 8
"""Deeper steps are indented like those at this level."""


@dataclass(slots=True)
class Branch:
    """A group, a chain, or a map that has items."""

    id: str
    kind: str
    level: int
    counts: Counter[str]
    position: int | None = None
    """That of the task that stands for it: a map has one, and a group with a condition."""
    own: str = ""
    """The status of a map itself; empty for the others."""
    is_folded: bool = False
    """Whether its steps are not on the page but those that failed, run or wait."""

    @property
    def status(self) -> str:
        """The most alarming status of its tasks; of a map that has ended its own."""
        return status_of_map(self.own, self.counts) or TaskStatus.PENDING.value

    @property
    def is_open(self) -> bool:
        """Whether it opens by itself: something in it has not succeeded, and not all of it is still to come."""
        present = {status for status, number in self.counts.items() if number}
        return bool(present - CALM) and present != {TaskStatus.PENDING.value}

    @property
    def summary(self) -> str:
        """How many of its tasks are done: ``37/50, 2 failed``."""
        done, total = progress(self.counts)
        alarming = [status for status in BY_CONCERN if status not in CALM and status in TASK_FINISHED]
        parts = [formatting.count_of(each.label, self.counts[each]) for each in alarming if self.counts[each]]
        return ", ".join([f"{formatting.number(done)}/{formatting.number(total)}", *parts])

    @property
    def badge(self) -> str:
        return formatting.badge(self.status)

    @property
    def size(self) -> int:
        """How many tasks it has."""
        return self.counts.total()

    @property
    def kind_label(self) -> str:
        return formatting.kind_label(self.kind)

    @property
    def title(self) -> str:
        return formatting.name(self.id)

    @property
    def unfold(self) -> str:
        """The address under which the steps of a folded branch are shown."""
        return f"?{urlencode({'open': self.id})}#tasks"


@dataclass(slots=True)
class Line:
    """The beginning or the end of a branch, or a task."""

    kind: Literal["open", "task", "item", "close"]
    level: int
    branch: Branch | None = None
    position: int = -1
    index: int = -1
    """For an item of a map: its number."""

    @property
    def indent(self) -> int:
        return min(self.level, DEEPEST)

    @property
    def indent_inside(self) -> int:
        """The level of what stands in a branch."""
        return min(self.level + 1, DEEPEST)


@dataclass(kw_only=True)
class Tree:
    """Lays out the lines of a run's tree."""

    graph: Graph
    counts: Mapping[int, Mapping[str, int]]
    """By position: how many tasks have which status; a task in a map has one for each item."""
    items: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By the position of a map: position and index of tasks that are shown because they failed."""
    opened: Collection[str] = ()

    def lines(self) -> list[Line]:
        """Return all lines."""
        return list(self._of_steps(self.graph.definition.tasks, 0))

    def page(self, number: int) -> tuple[list[Line], int, int]:
        """Return the lines of a page, its number, and how many pages there are. The pages count from 1."""
        whole = self.lines()
        starts = [0]
        seen = 0
        for place, line in enumerate(whole):
            seen += line.kind != "close"
            if seen > LINES:
                starts.append(place)
                seen = 1
        number = min(max(number, 1), len(starts))
        start, *rest = [*starts[number - 1 : number + 1], len(whole)]
        return _framed(whole, start, rest[0]), number, len(starts)

    def _of_steps(self, steps: Sequence[Step], level: int) -> Iterator[Line]:
        for step in steps:
            if isinstance(step, Container):
                yield from self._of_container(step, level)
            else:
                yield from self._of_task(self.positions[step.id], level)

    def _of_container(self, step: Container, level: int) -> Iterator[Line]:
        inside = self.inside.get(step.id, [])
        counts = self._sum(inside)
        branch = Branch(step.id, step.kind, level, counts, position=self.positions.get(step.id))
        branch.is_folded = self._is_large and len(inside) > SMALL and step.id not in self.opened
        yield Line("open", level, branch)
        if branch.is_folded and not self._has_opened(step):
            yield from self._told(inside, level + 1)
        else:
            branch.is_folded = False
            yield from self._of_steps(step.members, level + 1)
        yield Line("close", level, branch)

    def _has_opened(self, step: Step) -> bool:
        return any(member.id in self.opened or self._has_opened(member) for member in step.members)

    def _told(self, positions: Iterable[int], level: int) -> Iterator[Line]:
        """Yield the first tasks of a folded container that failed, run or wait, those that failed first."""
        found = [position for position in positions if TOLD_OF & self.counts.get(position, {}).keys()]
        found.sort(key=lambda position: TaskStatus.FAILED not in self.counts[position])
        for position in sorted(found[:TOLD]):
            yield from self._of_task(position, level)

    def _of_task(self, position: int, level: int) -> Iterator[Line]:
        items = self._items(position) if position in self.graph.maps else None
        if not items:
            yield Line("task", level, position=position)
            return
        node = self.graph.node(position)
        own = next(iter(self.counts.get(position, {})), "")
        branch = Branch(node.step.id, node.kind, level, items, position=position, own=own)
        yield Line("open", level, branch, position)
        for place, index in self.items.get(position, ())[:TOLD]:
            yield Line("item", level + 1, position=place, index=index)
        yield Line("close", level, branch)

    def _sum(self, positions: Iterable[int]) -> Counter[str]:
        """Return how many tasks have which status; of a map those for its items, as soon as there are some."""
        total: Counter[str] = Counter()
        for position in positions:
            items = self._items(position) if position in self.graph.maps else None
            for status, number in (items or self.counts.get(position, {})).items():
                total[status] += number
        return total

    def _items(self, position: int) -> Counter[str]:
        """Return how many of a map's tasks have which status."""
        return self._sum(range(*(self.graph.maps[position].body or (0, 0))))

    @property
    def _is_large(self) -> bool:
        return len(self.graph.nodes) > LINES

    @cached_property
    def positions(self) -> dict[str, int]:
        """The positions of steps by their ids."""
        return self.graph.keep(
            "positions of steps", lambda: {node.step.id: node.position for node in self.graph.nodes}
        )

    @cached_property
    def inside(self) -> dict[str, list[int]]:
        """The positions of the steps in each group and chain, without those of the heads of conditions."""
        return self.graph.keep("steps in containers", lambda: _inside(self.graph))


def _inside(graph: Graph) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for node in graph.nodes:
        if not node.is_head:
            for container in node.containers:
                found.setdefault(container, []).append(node.position)
    return found


def _framed(lines: Sequence[Line], start: int, end: int) -> list[Line]:
    """Return the lines from ``start`` to ``end`` inside the branches that were open there."""
    around: list[Line] = []
    for line in lines[:start]:
        if line.kind == "open":
            around.append(line)
        elif line.kind == "close":
            around.pop()
    still_open = list(around)
    for line in lines[start:end]:
        if line.kind == "open":
            still_open.append(line)
        elif line.kind == "close":
            still_open.pop()
    closing = [Line("close", line.level, line.branch) for line in reversed(still_open)]
    return [*around, *lines[start:end], *closing]


def opened(names: Iterable[str]) -> frozenset[str]:
    """Return the ids of the groups that an address opens."""
    return frozenset(list(names)[:SMALL])
