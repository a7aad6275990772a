"""Compile a definition into what the engine walks: nodes, junctions, and the shapes of inputs.

Pure: no database, no Celery. Tasks are numbered by depth, then by their place in the file, so that what becomes
ready together is (nearly always) one span of positions, and one UPDATE. A junction stands between the ends of
one entry and the heads of the next. With one end it is a mere link; with several it has a counter in the
database, and above ``ARITY`` ends a tree of counters, so that no row is written by everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any, Final, Self

from .definitions.model import Container, Definition, Step, TaskStep

ARITY: Final = 64
"""How many members write one counter at most."""

Span = tuple[int, int]
"""A half-open range of positions."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a value is put together from results: nothing, one task's result, or a list of shapes."""

    position: int | None = None
    members: tuple[Shape, ...] | None = None

    def assemble(self, results: Mapping[int, Any]) -> Any:
        """Build the value from the results by position; a missing one is ``None``."""
        if self.members is not None:
            return [member.assemble(results) for member in self.members]
        return None if self.position is None else results.get(self.position)

    def spans(self) -> tuple[Span, ...]:
        """The positions whose results are needed."""
        return self._spans

    @cached_property
    def _spans(self) -> tuple[Span, ...]:
        return spans(self._positions())

    def _positions(self) -> Iterator[int]:
        if self.position is not None:
            yield self.position
        for member in self.members or ():
            yield from member._positions()


NOTHING: Final = Shape()

_NOT_YET: Final = "`definitions.features` keeps such steps from being stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A task of the graph."""

    position: int
    step: TaskStep
    depth: int
    shape: Shape
    """What it receives from upstream."""
    upstream: tuple[int, ...]
    """Positions it waits for; one tuple shared by all that wait for the same."""
    junction: int
    """Where its end counts; -1 for hooks."""
    containers: tuple[str, ...] = ()
    """The ids of the groups and chains around it, outermost first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """Opens when ``total`` members have ended, and then releases the tasks in ``releases``."""

    seq: int
    """Ascends along the graph: the order in which counters are locked."""
    total: int
    parent: int | None = None
    """The next level of the tree; such a junction releases nothing itself."""
    releases: tuple[Span, ...] = ()
    is_end: bool = False
    """Its opening ends the run."""

    @property
    def has_gate(self) -> bool:
        return self.total > 1


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A compiled definition."""

    definition: Definition
    content_hash: str
    """Names the definition; see ``definitions.content_hash``."""
    nodes: tuple[Node, ...]
    junctions: tuple[Junction, ...]
    hooks: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """By outcome, and ``always``: the nodes of a chain, never empty."""
    result: Shape = NOTHING
    """The shape of the run's result."""

    @cached_property
    def roots(self) -> tuple[Span, ...]:
        """What is ready when the run starts."""
        return spans(node.position for node in self.nodes if not node.upstream)

    @cached_property
    def gates(self) -> tuple[Junction, ...]:
        """The junctions that have a row."""
        return tuple(junction for junction in self.junctions if junction.has_gate)

    def node(self, position: int) -> Node:
        """The node at a position; hooks stand behind the last task."""
        if position < len(self.nodes):
            return self.nodes[position]
        return self._hook_nodes[position - len(self.nodes)]

    @cached_property
    def _hook_nodes(self) -> tuple[Node, ...]:
        return tuple(node for chain in self.hooks.values() for node in chain)

    def downstream(self, chosen: Iterable[int]) -> set[int]:
        """``chosen`` and everything that depends on it."""
        reached = set(chosen)
        opened: set[int] = set()
        for node in self.nodes:
            if node.position in reached:
                reached.update(self._open(node.junction, opened))
        return reached

    def _open(self, seq: int | None, opened: set[int]) -> Iterator[int]:
        while seq is not None and seq not in opened:
            opened.add(seq)
            yield from expand(self.junctions[seq].releases)
            seq = self.junctions[seq].parent


def compile_definition(definition: Definition, content_hash: str = "") -> Graph:
    """Compile; the cost grows with the number of steps, never with the number of pairs."""
    return _Compiler(definition).compile(content_hash)


def spans(positions: Iterable[int]) -> tuple[Span, ...]:
    """Positions as few half-open ranges in ascending order."""
    merged: list[Span] = []
    for position in sorted(set(positions)):
        if merged and merged[-1][1] == position:
            merged[-1] = (merged[-1][0], position + 1)
        else:
            merged.append((position, position + 1))
    return tuple(merged)


def expand(ranges: Iterable[Span]) -> Iterator[int]:
    """The positions in some spans."""
    for start, stop in ranges:
        yield from range(start, stop)


@dataclass(slots=True)
class _Fragment:
    """A compiled entry: where it begins, where it ends, what it results in."""

    heads: list[int]
    ends: list[int]
    shape: Shape

    @classmethod
    def empty(cls, shape: Shape) -> Self:
        return cls([], [], shape)


@dataclass(slots=True)
class _Boundary:
    """All of ``ends`` before any of ``heads``."""

    ends: list[int]
    heads: list[int]


class _Compiler:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        depths: list[int] = []
        _measure(definition.tasks, 0, depths)
        by_depth = sorted(range(len(depths)), key=depths.__getitem__)
        positions = {order: position for position, order in enumerate(by_depth)}
        self.places = iter([(positions[order], depth) for order, depth in enumerate(depths)])
        self.size = len(depths)
        self.drafts: dict[int, dict[str, Any]] = {}
        self.boundaries: list[_Boundary] = []

    def compile(self, content_hash: str) -> Graph:
        whole = self._chain(self.definition.tasks, NOTHING, ())
        junctions = self._junctions(whole.ends)
        return Graph(
            definition=self.definition,
            content_hash=content_hash,
            nodes=tuple(Node(**self.drafts[position]) for position in range(self.size)),
            junctions=junctions,
            hooks=self._hooks(),
            result=whole.shape,
        )

    def _visit(self, step: Step, shape: Shape, containers: tuple[str, ...]) -> _Fragment:
        if isinstance(step, TaskStep):
            return self._task(step, shape, containers)
        assert isinstance(step, Container), _NOT_YET
        inside = (*containers, step.id)
        if step.kind == "chain":
            return self._chain(step.members, shape, inside)
        return self._group(step.members, shape, inside)

    def _task(self, step: TaskStep, shape: Shape, containers: tuple[str, ...]) -> _Fragment:
        position, depth = next(self.places)
        self.drafts[position] = {
            "position": position,
            "step": step,
            "depth": depth,
            "shape": shape,
            "upstream": (),
            "junction": -1,
            "containers": containers,
        }
        return _Fragment([position], [position], Shape(position=position))

    def _chain(self, steps: Sequence[Step], shape: Shape, containers: tuple[str, ...]) -> _Fragment:
        whole = _Fragment.empty(NOTHING)
        for step in steps:
            part = self._visit(step, shape, containers)
            whole.shape = shape = part.shape
            if not part.heads:
                continue
            if whole.ends:
                self.boundaries.append(_Boundary(whole.ends, part.heads))
            else:
                whole.heads = part.heads
            whole.ends = part.ends
        return whole

    def _group(self, steps: Sequence[Step], shape: Shape, containers: tuple[str, ...]) -> _Fragment:
        parts = [self._visit(step, shape, containers) for step in steps]
        return _Fragment(
            [position for part in parts for position in part.heads],
            [position for part in parts for position in part.ends],
            Shape(members=tuple(part.shape for part in parts)),
        )

    def _junctions(self, last: list[int]) -> tuple[Junction, ...]:
        made: list[dict[str, Any]] = []
        # By the deepest end: a junction comes after every junction that leads to it.
        for boundary in sorted(self.boundaries, key=lambda boundary: max(boundary.ends)):
            self._join(made, boundary.ends, releases=spans(boundary.heads))
            upstream = tuple(boundary.ends)
            for position in boundary.heads:
                self.drafts[position]["upstream"] = upstream
        if last:
            self._join(made, last, is_end=True)
        return tuple(Junction(**draft) for draft in made)

    def _join(self, made: list[dict[str, Any]], ends: list[int], **then: Any) -> None:
        members = [self.drafts[position] for position in sorted(ends)]
        key = "junction"
        while len(members) > ARITY:
            level = []
            for start in range(0, len(members), ARITY):
                level.append(_junction(made, members[start : start + ARITY], key))
            members, key = level, "parent"
        _junction(made, members, key).update(then)

    def _hooks(self) -> dict[str, tuple[Node, ...]]:
        positions = count(self.size)
        return {
            outcome: tuple(_hook_chain(steps, positions))
            for outcome, steps in sorted(self.definition.hooks.items())
        }


def _hook_chain(steps: Iterable[TaskStep], positions: Iterator[int]) -> Iterator[Node]:
    """Each hook of an outcome gets the result of the one before it in its list."""
    shape = NOTHING
    upstream: tuple[int, ...] = ()
    for depth, step in enumerate(steps):
        position = next(positions)
        yield Node(position=position, step=step, depth=depth, shape=shape, upstream=upstream, junction=-1)
        shape, upstream = Shape(position=position), (position,)


def _junction(made: list[dict[str, Any]], members: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    junction: dict[str, Any] = {"seq": len(made), "total": len(members)}
    made.append(junction)
    for member in members:
        member[key] = junction["seq"]
    return junction


def _measure(steps: Iterable[Step], depth: int, depths: list[int]) -> int:
    """Append the depth of each task of a chain in file order; return the depth of what comes after."""
    for step in steps:
        if isinstance(step, TaskStep):
            depths.append(depth)
            depth += 1
        else:
            assert isinstance(step, Container), _NOT_YET
            depth = _measure_container(step, depth, depths)
    return depth


def _measure_container(step: Container, depth: int, depths: list[int]) -> int:
    if step.kind == "chain":
        return _measure(step.members, depth, depths)
    return max([depth, *(_measure([member], depth, depths) for member in step.members)])
