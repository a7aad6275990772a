"""What follows from the end of tasks: which junctions open, what becomes ready, what never runs."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django_director.status import TASK_ACTIVE, TASK_FINISHED, RunStatus, TaskStatus

from .model import Graph, Junction, Release
from .rules import Tally, tally_of
from .shapes import Span, expand, spans

Count = Callable[[Junction, Tally], Tally | None]
"""Counts an arrival; returns the junction's whole tally if that opened it."""


@dataclass(slots=True)
class Consequences:
    """What the end of some tasks leads to."""

    ready: list[Span] = field(default_factory=list)
    settled: dict[TaskStatus, list[Span]] = field(default_factory=dict)
    """What never runs, by the status it gets."""
    outcome: RunStatus | None = None


class Walk:
    """Walks the junctions that may open, in ascending order, and collects what follows.

    With ``statuses``, of all tasks by position, only those that are pending there are decided on; they are written
    down there too. Without, whatever a junction opens for is taken to be pending.
    """

    def __init__(self, graph: Graph, count: Count, statuses: dict[int, str] | None = None) -> None:
        self.graph = graph
        self.found = Consequences()
        self._count = count
        self._statuses = statuses
        self._arrivals: dict[int, Tally] = {}
        self._heap: list[int] = []
        self._decided: set[int] = set()
        """What was decided on together with the container around it."""

    def end(self, position: int, status: str) -> None:
        """Let the end of a task count, and of a head that says no, all that is inside."""
        node = self.graph.nodes[position]
        tally = tally_of(status, is_forgiven=node.is_forgiven)
        for seq in node.junctions:
            self._arrive(seq, tally)
        for seq in node.guards:
            self._arrive(seq, tally.as_guard())
        if node.inside and status != TaskStatus.SUCCESS:
            inside = self._undecided(node.inside)
            self._decided.update(expand(inside))
            self._settle(
                inside, TaskStatus.SKIPPED if status == TaskStatus.SKIPPED else TaskStatus.UPSTREAM_FAILED
            )

    def start(self) -> None:
        """Decide on what waits for nothing."""
        nothing = Tally()
        for release in self.graph.starts:
            self._release(release, Junction(seq=-1, total=0, entries=0), nothing)

    def run(self) -> Consequences:
        """Go on until nothing follows."""
        while self._heap:
            junction = self.graph.junctions[heapq.heappop(self._heap)]
            tally = self._count(junction, self._arrivals.pop(junction.seq))
            if tally is not None:
                self._open(junction, tally)
        return self.found

    def _arrive(self, seq: int, tally: Tally) -> None:
        if seq not in self._arrivals:
            heapq.heappush(self._heap, seq)
            self._arrivals[seq] = Tally()
        self._arrivals[seq].add(tally)

    def _open(self, junction: Junction, tally: Tally) -> None:
        if junction.parent is not None:
            self._arrive(junction.parent, Tally(1, tally.failed, tally.skipped))
            return
        if junction.is_end:
            self.found.outcome = RunStatus.FAILED if tally.failed else RunStatus.SUCCESS
            return
        if tally.is_guarded:
            return
        collapsed = junction.collapsed(tally)
        for seq in junction.feeds:
            self._arrive(seq, collapsed)
        for release in junction.heads:
            self._release(release, junction, collapsed)

    def _release(self, release: Release, junction: Junction, collapsed: Tally) -> None:
        verdict = TaskStatus(junction.verdict(release.rule, collapsed))
        undecided = self._undecided(release.spans)
        if verdict == TaskStatus.QUEUED:
            self.found.ready.extend(undecided)
        else:
            self._settle(undecided, verdict)

    def _undecided(self, ranges: Sequence[Span]) -> Sequence[Span]:
        statuses = self._statuses
        if statuses is not None:
            return spans(p for p in expand(ranges) if statuses[p] == TaskStatus.PENDING)
        if self._decided:
            return spans(p for p in expand(ranges) if p not in self._decided)
        return ranges

    def _settle(self, ranges: Iterable[Span], status: TaskStatus) -> None:
        ranges = list(ranges)
        self.found.settled.setdefault(status, []).extend(ranges)
        for position in expand(ranges):
            if self._statuses is not None:
                self._statuses[position] = status
        for position in expand(ranges):
            self.end(position, status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Where a run stands, computed from nothing but the statuses of its tasks."""

    tallies: list[Tally]
    """What each junction has counted, by its number."""
    found: Consequences
    """What must be done now: nothing, where the engine has kept up."""


def replay(graph: Graph, statuses: Mapping[int, str]) -> Replay:
    """Compute the counters, and what can be decided on, from the statuses of all tasks by position.

    A task that was canceled counts when all before it has ended: what `fail_fast` spares still comes after that.
    """
    tallies = [Tally() for _ in graph.junctions]
    found = _begun(graph, _in_order(graph, statuses), tallies).run()
    if graph.end is None:
        found.outcome = RunStatus.SUCCESS
    return Replay(tallies=tallies, found=found)


def foresee(graph: Graph, statuses: Mapping[int, str]) -> set[int]:
    """What would run from there, if whatever runs succeeds and every condition holds."""
    walk = _begun(graph, _in_order(graph, statuses), [Tally() for _ in graph.junctions])
    ran: set[int] = set()
    while walk.run().ready:
        ready = list(expand(walk.found.ready))
        walk.found.ready = []
        ran.update(ready)
        for position in ready:
            walk.end(position, TaskStatus.SUCCESS)
    return ran


def _begun(graph: Graph, statuses: dict[int, str], tallies: list[Tally]) -> Walk:
    """A walk that counts in memory, with all that has ended and what waits for nothing before it."""

    def count(junction: Junction, arrival: Tally) -> Tally | None:
        counted = tallies[junction.seq]
        counted.add(arrival)
        return counted if counted.ended == junction.total else None

    walk = Walk(graph, count, statuses.copy())
    for position, status in statuses.items():
        if status in TASK_FINISHED:
            walk.end(position, status)
    walk.start()
    return walk


def _in_order(graph: Graph, statuses: Mapping[int, str]) -> dict[int, str]:
    """The statuses, with those that were canceled too early as if they had not ended."""
    known = dict(statuses)
    if TaskStatus.CANCELED in known.values():
        for position in graph.downstream(p for p, status in statuses.items() if status in TASK_ACTIVE):
            if known[position] == TaskStatus.CANCELED:
                known[position] = TaskStatus.RUNNING
    return known
