"""What a compiled definition consists of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django_director.definitions import (
    Container,
    Definition,
    MapStep,
    Retry,
    Step,
    TaskStep,
)
from django_director.status import TaskStatus

from .rules import Tally, verdict
from .shapes import NOTHING, Shape, Span, expand, spans

if TYPE_CHECKING:
    from .values import View
    from .walks import Replay

ARITY: Final = 64
"""How many members write one counter at most."""
OWN_TASK: Final = "django_director.step"
"""The Celery task of a row that has none of the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A row of a run: a step, or the head of a container with a condition, which says whether the members run."""

    position: int
    step: Step
    depth: int
    shape: Shape
    """What it receives from upstream."""
    upstream: tuple[int, ...]
    """Positions it waits for, as people see it; one tuple shared by all that wait for the same."""
    junctions: tuple[int, ...] = ()
    """Where its end counts; nowhere for hooks."""
    guards: tuple[int, ...] = ()
    """Of a head: the junctions of members that wait for something else too."""
    inside: tuple[Span, ...] = ()
    """Of a head: all that does not run when it says no."""
    containers: tuple[str, ...] = ()
    """The ids of the groups and chains around it, outermost first; of a head also its own."""
    body: Span | None = None
    """Of a map: the positions of the tasks in it, a chain for each item."""
    map_position: int | None = None
    """Of a task in a map: where the map is."""
    place: int = 0
    """The same: its place in that chain."""
    is_hook: bool = False
    runs_on: bool = False
    """Whether `fail_fast` spares it."""

    @property
    def name(self) -> str:
        """The Celery task."""
        return self.step.task if isinstance(self.step, TaskStep) else OWN_TASK

    @property
    def kind(self) -> str:
        """The name of its kind of step; that of the head of a container with a condition is ``group``."""
        return "group" if self.is_head else self.step.kind

    @property
    def queue(self) -> str:
        return self.step.queue or ""

    @property
    def timeout(self) -> float | None:
        """Seconds that an attempt may take."""
        return self.step.timeout if isinstance(self.step, TaskStep) else None

    @property
    def priority(self) -> int | None:
        """That of its messages."""
        return self.step.priority if isinstance(self.step, TaskStep) else None

    @property
    def retry(self) -> Retry | None:
        return self.step.retry if isinstance(self.step, TaskStep) else None

    @property
    def is_head(self) -> bool:
        return isinstance(self.step, Container)

    @property
    def takes_item(self) -> bool:
        """Whether it receives its item: the first task in a map does."""
        return self.map_position is not None and self.place == 0

    @property
    def receives(self) -> bool:
        """Whether something comes to it that may be an argument by position."""
        return self.takes_item or self.shape != NOTHING

    @property
    def max_parallel(self) -> int | None:
        """How many items of a map are in work at once; ``None``: all."""
        return self.step.max_parallel if isinstance(self.step, MapStep) else None

    @property
    def passes_on(self) -> bool:
        """Whether its result is what it receives."""
        return self.step.passes_on

    @property
    def is_forgiven(self) -> bool:
        """Whether its failure counts as a success."""
        return isinstance(self.step, TaskStep) and self.step.continue_on_error

    @property
    def kwargs(self) -> dict[str, Any]:
        """What ``with:`` gives, as the file has it."""
        return self.step.kwargs if isinstance(self.step, TaskStep) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Tasks that one rule decides on when their junction opens."""

    rule: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """Opens when ``total`` members have ended, and then decides on the tasks in ``heads``.

    It stands for one entry, whose tasks are counted and come to one status; or for several entries that a step
    needs, each of which counts as one. Large ones are trees: sums go up to the junction without a ``parent``.
    """

    seq: int
    """Ascends along the graph: the order in which counters are locked."""
    total: int
    parent: int | None = None
    """The next level of the tree; such a junction decides nothing itself."""
    entries: int | None = None
    """How many entries it combines; ``None`` for the junction of one entry."""
    size: int = 0
    """How many tasks an entry's junction counts with all its levels."""
    feeds: tuple[int, ...] = ()
    """The combinations in which its entry counts."""
    heads: tuple[Release, ...] = ()
    is_end: bool = False
    """Its opening ends the run."""
    by_ends: bool = False
    """It counts the ends of a container, for `any_success`."""

    @property
    def has_gate(self) -> bool:
        return self.total > 1

    @property
    def releases(self) -> tuple[Span, ...]:
        """All the tasks it decides on."""
        if len(self.heads) == 1:
            return self.heads[0].spans
        return spans(position for release in self.heads for position in expand(release.spans))

    def collapsed(self, tally: Tally) -> Tally:
        """The status of an entry, as it counts elsewhere: failed if a task is, skipped if all are.

        By its ends it is a success if one of them is.
        """
        if self.entries is not None:
            return tally
        if self.by_ends:
            is_success = tally.failed + tally.skipped < self.size
            return Tally(1) if is_success else Tally(1, int(tally.failed > 0), int(not tally.failed))
        return Tally(1, int(tally.failed > 0), int(tally.skipped == self.size))

    def verdict(self, rule: str, collapsed: Tally) -> str:
        """What becomes of the tasks under a rule, see ``rules.verdict``."""
        return verdict(rule, 1 if self.entries is None else self.entries, collapsed)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A compiled definition."""

    definition: Definition
    content_hash: str
    """Names the definition; see ``definitions.content_hash``."""
    nodes: tuple[Node, ...]
    """What has one row; the tasks in maps, which have one for each item, stand behind."""
    junctions: tuple[Junction, ...]
    bodies: tuple[Node, ...] = ()
    """The tasks in maps."""
    starts: tuple[Release, ...] = ()
    """What waits for nothing, by rule."""
    file_order: tuple[int, ...] = ()
    """The positions in the order of the file; a head stands before its members."""
    hooks: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """By outcome, and ``always``: the nodes of a chain, never empty."""
    result: Shape = NOTHING
    """The shape of the run's result, unless the definition has an expression for it."""
    largest: Shape = NOTHING
    """Of all values that waits and approvals have a part in, the one made of most results."""

    @cached_property
    def beginning(self) -> Replay:
        """What is to be done when a run starts."""
        from .walks import replay  # it walks what is defined here

        return replay(self, dict.fromkeys(range(len(self.nodes)), TaskStatus.PENDING))

    @cached_property
    def roots(self) -> tuple[Span, ...]:
        """What is ready when a run starts, in ascending order."""
        return tuple(sorted(self.beginning.found.ready))

    @cached_property
    def views(self) -> dict[str, View]:
        """Every step and container by its id, as expressions see it."""
        from .values import views  # as above

        return views(self)

    @cached_property
    def values(self) -> dict[int, Any]:
        """The expressions that were compiled so far; see ``values``."""
        return {}

    @cached_property
    def gates(self) -> tuple[Junction, ...]:
        """The junctions that have a row."""
        return tuple(junction for junction in self.junctions if junction.has_gate)

    @cached_property
    def end(self) -> Junction | None:
        """The junction that ends the run."""
        return next((junction for junction in reversed(self.junctions) if junction.is_end), None)

    @cached_property
    def forgiven(self) -> tuple[Span, ...]:
        """The tasks whose failure counts as a success."""
        return spans(node.position for node in (*self.nodes, *self.bodies) if node.is_forgiven)

    @cached_property
    def spared(self) -> tuple[Span, ...]:
        """The tasks that `fail_fast` spares."""
        return spans(node.position for node in (*self.nodes, *self.bodies) if node.runs_on)

    @cached_property
    def maps(self) -> dict[int, Node]:
        """The maps by position."""
        return {node.position: node for node in self.nodes if node.body is not None}

    def last_in(self, positions: Iterable[int]) -> dict[int, int]:
        """The maps among ``positions``, by the position of the last task in each: its results make the map's."""
        return {node.body[1] - 1: p for p in positions if (node := self.maps.get(p)) and node.body}

    def node(self, position: int) -> Node:
        """The node at a position; behind the last task stand those in maps, then hooks."""
        if position < len(self.nodes):
            return self.nodes[position]
        return self._behind[position - len(self.nodes)]

    @cached_property
    def _behind(self) -> tuple[Node, ...]:
        return (*self.bodies, *(node for chain in self.hooks.values() for node in chain))

    def downstream(self, chosen: Iterable[int]) -> set[int]:
        """``chosen`` and everything that depends on it."""
        chosen = set(chosen)
        return chosen | self.followers(chosen)

    def followers(self, chosen: Iterable[int]) -> set[int]:
        """Everything that depends on one of ``chosen``."""
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
