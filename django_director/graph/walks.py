"""Works out what follows from the end of tasks: which junctions open, which tasks are ready, which never run."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django_director.status import TASK_ACTIVE, TASK_FINISHED, RunStatus, TaskStatus

from .compiled_graph import Graph, Junction, Release
from .rules import Tally, tally_of
from .shapes import Span, expand, spans

Count = Callable[[Junction, Tally], Tally | None]
"""A function that counts an arrival at a junction; it returns the junction's whole tally if that opens it."""


@dataclass(slots=True)
class Consequences:
    """What follows from the end of some tasks: tasks that are ready, and the outcome if the run has ended."""

    ready: list[Span] = field(default_factory=list)
    settled: dict[TaskStatus, list[Span]] = field(default_factory=dict)
    """The positions of tasks that will never run, by the status that they get."""
    outcome: RunStatus | None = None


class Walk:
    """Visits the junctions that may open, in ascending order, and collects what follows.

    ``statuses`` are those of all tasks, by position. If they are given, only tasks that are pending are decided
    on, and their new statuses are written to ``statuses``. Else every task behind a junction counts as pending.
    """

    def __init__(self, graph: Graph, count: Count, statuses: dict[int, str] | None = None) -> None:
        self.graph = graph
        self.found = Consequences()
        self._count = count
        self._statuses = statuses
        self._arrivals: dict[int, Tally] = {}
        self._heap: list[int] = []
        self._decided: set[int] = set()
        """The positions of tasks that were decided on together with the container around them."""

    def end(self, position: int, status: str) -> None:
        """Count the end of a task; if it is a head whose condition is false, also that of all tasks inside."""
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
        """Decide on the tasks that wait for nothing."""
        nothing = Tally()
        for release in self.graph.starts:
            self._release(release, Junction(seq=-1, total=0, entries=0), nothing)

    def run(self) -> Consequences:
        """Open junctions until no further one opens; return what follows."""
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
    """The state of a run, worked out from nothing but the statuses of its tasks."""

    tallies: list[Tally]
    """What each junction has counted, by its number."""
    found: Consequences
    """What must be done now. It is empty if the engine has already done all that follows."""


def start_of(graph: Graph) -> Replay:
    """Return the state of a run that has just started, in which all tasks are pending."""
    return graph.keep("start", lambda: replay(graph, dict.fromkeys(range(len(graph.nodes)), TaskStatus.PENDING)))


def roots_of(graph: Graph) -> tuple[Span, ...]:
    """Return the positions of the tasks that are ready when a run starts, in ascending order."""
    return graph.keep("roots", lambda: tuple(sorted(start_of(graph).found.ready)))


def replay(graph: Graph, statuses: Mapping[int, str]) -> Replay:
    """Return the counters, and what can be decided on, from the statuses of all tasks by position.

    A canceled task counts only when all tasks before it have ended: tasks that `fail_fast` spares may run before.
    """
    tallies = [Tally() for _ in graph.junctions]
    found = _begun(graph, _in_order(graph, statuses), tallies).run()
    if graph.end is None:
        found.outcome = RunStatus.SUCCESS
    return Replay(tallies=tallies, found=found)


def foresee(graph: Graph, statuses: Mapping[int, str]) -> set[int]:
    """Return the positions of the tasks that would run, if all tasks succeed and all conditions are true."""
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
    """Return a walk that counts in memory and has counted all ends; the first tasks have been decided on."""

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
    """Return the statuses; a task that was canceled while a task before it is active counts as running."""
    known = dict(statuses)
    if TaskStatus.CANCELED in known.values():
        for position in graph.downstream(p for p, status in statuses.items() if status in TASK_ACTIVE):
            if known[position] == TaskStatus.CANCELED:
                known[position] = TaskStatus.RUNNING
    return known
