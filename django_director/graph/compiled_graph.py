"""The parts of a compiled definition: nodes, junctions and the graph that holds them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeVar

from django_director.definitions import (
    Container,
    Definition,
    MapStep,
    Retry,
    Step,
    TaskStep,
)

from .rules import Tally, verdict
from .shapes import NOTHING, Shape, Span, expand, spans

T = TypeVar("T")

ARITY: Final = 64
"""How many members of a junction write one counter at most."""
OWN_TASK: Final = "django_director.step"
"""The name of the Celery task for steps that call no task of the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A row of a run: a step, or the head of a container with a condition, which says whether the members run."""

    position: int
    step: Step
    depth: int
    shape: Shape
    """How the value is put together that the node receives from the nodes before it."""
    upstream: tuple[int, ...]
    """The positions of the tasks for which it waits, as people see them.

    Nodes that wait for the same tasks share one tuple.
    """
    junctions: tuple[int, ...] = ()
    """The numbers of the junctions at which its end counts; a hook has none."""
    guards: tuple[int, ...] = ()
    """For a head: the junctions of those members that wait for something outside of the container too."""
    inside: tuple[Span, ...] = ()
    """For a head: the positions of all nodes that do not run if the head's condition is false."""
    containers: tuple[str, ...] = ()
    """The ids of the groups and chains around it, the outermost first; for a head also that of its container."""
    body: Span | None = None
    """For a map: the positions of the tasks in it, which are a chain for each item."""
    map_position: int | None = None
    """For a task in a map: the position of the map."""
    place: int = 0
    """For a task in a map: its place in the chain of an item, counted from 0."""
    batch: int = 0
    """How many of its kind one message takes at most; 0: one, by the message of a single task."""
    row: Span | None = None
    """For a member of a group with a `batch`: the positions of all its members."""
    is_hook: bool = False
    runs_on: bool = False
    """Whether it runs although `fail_fast` has stopped the run."""

    @property
    def name(self) -> str:
        """The name of the Celery task."""
        return self.step.task if isinstance(self.step, TaskStep) else OWN_TASK

    @property
    def kind(self) -> str:
        """The name of its kind of step; that of the head of a container with a condition is ``group``."""
        return "group" if self.is_head else self.step.kind

    @property
    def queue(self) -> str:
        """The queue that the definition names; empty if it names none."""
        return self.step.queue or ""

    @property
    def timeout(self) -> float | None:
        """How many seconds an attempt may take; ``None``: the task's own limit counts."""
        return self.step.timeout if isinstance(self.step, TaskStep) else None

    @property
    def priority(self) -> int | None:
        """The priority of its messages; ``None``: that of the task or its queue counts."""
        return self.step.priority if isinstance(self.step, TaskStep) else None

    @property
    def retry(self) -> Retry | None:
        """The retry policy of the step; ``None``: it has none."""
        return self.step.retry if isinstance(self.step, TaskStep) else None

    @property
    def is_head(self) -> bool:
        """Whether it is the head of a container with a condition."""
        return isinstance(self.step, Container)

    @property
    def takes_item(self) -> bool:
        """Whether it receives an item of a map: the first task in a map does."""
        return self.map_position is not None and self.place == 0

    @property
    def receives(self) -> bool:
        """Whether it receives a value from the nodes before it, or an item, which may be a positional argument."""
        return self.takes_item or self.shape != NOTHING

    @property
    def max_parallel(self) -> int | None:
        """For a map: how many items may run at the same time; ``None``: all."""
        return self.step.max_parallel if isinstance(self.step, MapStep) else None

    @property
    def passes_on(self) -> bool:
        """Whether its result is the value that it receives."""
        return self.step.passes_on

    @property
    def is_forgiven(self) -> bool:
        """Whether its failure counts as a success."""
        return isinstance(self.step, TaskStep) and self.step.continue_on_error

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments under ``with:``, as they stand in the file."""
        return self.step.kwargs if isinstance(self.step, TaskStep) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Tasks with the same trigger rule that are decided on when their junction opens."""

    rule: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """A place where the ends of tasks are counted; when ``total`` members have ended it opens.

    When it opens, the tasks in ``heads`` are decided on. A junction stands for one entry (a step or a container),
    whose tasks are counted and come to one status; or it combines several entries that a step needs, each of which
    counts as one. A junction with many members is a tree: the sums go up to the junction without a ``parent``.
    """

    seq: int
    """Its number. Numbers ascend along the graph; in that order counters are locked."""
    total: int
    parent: int | None = None
    """The number of the next level of the tree. A junction with a parent decides nothing itself."""
    entries: int | None = None
    """How many entries it combines; ``None`` for the junction of one entry."""
    size: int = 0
    """How many tasks the junction of an entry counts, on all its levels."""
    feeds: tuple[int, ...] = ()
    """The numbers of the junctions that combine its entry with others."""
    heads: tuple[Release, ...] = ()
    is_end: bool = False
    """Whether the run ends when it opens."""
    by_ends: bool = False
    """Whether it counts the last tasks of a container, for steps with the rule `any_success`."""

    @property
    def has_gate(self) -> bool:
        """Whether it has a counter in the database: with one member it needs none."""
        return self.total > 1

    @property
    def releases(self) -> tuple[Span, ...]:
        """The positions of all tasks that it decides on."""
        if len(self.heads) == 1:
            return self.heads[0].spans
        return spans(position for release in self.heads for position in expand(release.spans))

    def collapsed(self, tally: Tally) -> Tally:
        """Return how the entry of this junction counts at others: failed if a task failed, skipped if all were.

        If its last tasks are counted (``by_ends``), it is a success if one of them is.
        """
        if self.entries is not None:
            return tally
        if self.by_ends:
            is_success = tally.failed + tally.skipped < self.size
            return Tally(1) if is_success else Tally(1, int(tally.failed > 0), int(not tally.failed))
        return Tally(1, int(tally.failed > 0), int(tally.skipped == self.size))

    def verdict(self, rule: str, collapsed: Tally) -> str:
        """Return the status that tasks with this rule get, see ``rules.verdict``."""
        return verdict(rule, 1 if self.entries is None else self.entries, collapsed)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A compiled definition."""

    definition: Definition
    content_hash: str
    """The name of this definition; see ``definitions.content_hash``."""
    nodes: tuple[Node, ...]
    """The nodes that have one row in a run, by position."""
    junctions: tuple[Junction, ...]
    bodies: tuple[Node, ...] = ()
    """The tasks in maps, which have a row for each item; their positions come after those of ``nodes``."""
    starts: tuple[Release, ...] = ()
    """The tasks that wait for nothing, by trigger rule."""
    file_order: tuple[int, ...] = ()
    """The positions in the order of the file; a head stands before its members."""
    hooks: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """The nodes of the hooks for each outcome, and for ``always``: a chain that is never empty."""
    result: Shape = NOTHING
    """The shape of the run's result, unless the definition has an expression for it."""
    largest: Shape = NOTHING
    """The shape made of most results, among the values that wait steps and approvals pass on."""

    @cached_property
    def _kept(self) -> dict[Hashable, Any]:
        return {}

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` returns. It is called once for each ``key`` in the life of the graph.

        Other modules of this package keep what they have worked out from the graph, so that a process does so
        once.
        """
        kept = self._kept
        if key not in kept:
            kept[key] = make()
        found: T = kept[key]
        return found

    @cached_property
    def gates(self) -> tuple[Junction, ...]:
        """The junctions that have a counter in the database."""
        return tuple(junction for junction in self.junctions if junction.has_gate)

    @cached_property
    def end(self) -> Junction | None:
        """The junction that ends the run."""
        return next((junction for junction in reversed(self.junctions) if junction.is_end), None)

    @cached_property
    def forgiven(self) -> tuple[Span, ...]:
        """The positions of the tasks whose failure counts as a success."""
        return spans(node.position for node in (*self.nodes, *self.bodies) if node.is_forgiven)

    @cached_property
    def spared(self) -> tuple[Span, ...]:
        """The positions of the tasks that run although `fail_fast` has stopped the run."""
        return spans(node.position for node in (*self.nodes, *self.bodies) if node.runs_on)

    @cached_property
    def maps(self) -> dict[int, Node]:
        """The nodes of maps, by their positions."""
        return {node.position: node for node in self.nodes if node.body is not None}

    def last_in(self, positions: Iterable[int]) -> dict[int, int]:
        """Return the positions of the maps among ``positions``, by the position of the last task in each.

        The result of a map is the list of the results of that task.
        """
        return {node.body[1] - 1: p for p in positions if (node := self.maps.get(p)) and node.body}

    def node(self, position: int) -> Node:
        """Return the node at a position: after the other nodes come the tasks in maps, then the hooks."""
        if position < len(self.nodes):
            return self.nodes[position]
        return self._behind[position - len(self.nodes)]

    @cached_property
    def _behind(self) -> tuple[Node, ...]:
        return (*self.bodies, *(node for chain in self.hooks.values() for node in chain))

    def downstream(self, chosen: Iterable[int]) -> set[int]:
        """Return the positions ``chosen`` and those of all tasks that depend on them."""
        chosen = set(chosen)
        return chosen | self.followers(chosen)

    def followers(self, chosen: Iterable[int]) -> set[int]:
        """Return the positions of all tasks that depend on one of ``chosen``."""
        chosen, reached = set(chosen), set[int]()
        opened: set[int] = set()
        for node in self.nodes:
            if node.position in reached or node.position in chosen:
                for seq in (*node.junctions, *node.guards):
                    reached.update(self._open(seq, opened))
        return reached

    def _open(self, seq: int, opened: set[int]) -> Iterator[int]:
        waiting = [seq]
        while waiting:
            junction = self.junctions[waiting.pop()]
            if junction.seq not in opened:
                opened.add(junction.seq)
                yield from expand(junction.releases)
                waiting += junction.feeds if junction.parent is None else (junction.parent,)
