"""What follows from the end of a task, decided in the transaction that ends it.

Lock order: own task, gates by ascending ``seq``, successors by ascending position, run.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, QuerySet

from django_director import signals
from django_director.clock import Now
from django_director.graph import Graph, Junction, Span, expand
from django_director.models import Gate, Run, Task
from django_director.prepared import INTEGER, TEXT, UUID_FIELD, Param, Update, prepared
from django_director.status import RunStatus, Stop, TaskStatus

from . import hooks, outbox
from .outbox import RunRef
from .transactions import after_commit, statement

MAX_ERROR: Final = 2_000
"""Characters of a task's error that its run repeats."""


@dataclass(slots=True)
class Tally:
    """How many members of a junction have ended, and how many of them failed."""

    ended: int = 0
    failed: int = 0

    def add(self, ended: int, failed: int) -> None:
        self.ended += ended
        self.failed += failed


@dataclass(slots=True)
class Consequences:
    """What the end of some tasks leads to."""

    ready: list[Span] = field(default_factory=list)
    broken: list[Span] = field(default_factory=list)
    outcome: RunStatus | None = None


def settle(run: RunRef, graph: Graph, position: int, *, failed: bool) -> None:
    """Let a task's end have its consequences: count it, queue or break what follows, end the run."""
    consequences = _follow(run.pk, graph, graph.nodes[position].junction, Tally(1, int(failed)))
    if consequences.broken:
        break_tasks(run.pk, consequences.broken)
    outbox.queue(run, graph, consequences.ready)
    if consequences.outcome is not None:
        end(run, graph, consequences.outcome)


def break_tasks(run_id: UUID, spans: list[Span]) -> None:
    """Mark what can't run any more because something before it failed."""
    Task.objects.filter(run_id=run_id).pending().at(spans).update(
        status=TaskStatus.UPSTREAM_FAILED, finished_at=Now()
    )


def end(run: RunRef, graph: Graph, outcome: RunStatus) -> bool:
    """Close a run that was not stopped; whoever changes the run's row first wins."""
    error = _error(run.pk) if outcome == RunStatus.FAILED else ""
    closed = ending().execute(run=run.pk, outcome=outcome, error=error)
    if closed:
        hooks.insert(run.pk, graph, outcome, generation=run.generation)
        announce_end(run.pk)
    return bool(closed)


@prepared
def ending() -> Update:
    """Close a running run: parameters ``run``, ``outcome``, ``error``."""
    running = Run.objects.filter(pk=Param("run", UUID_FIELD), status=RunStatus.RUNNING, stop=Stop.NONE)
    return Update(running, status=Param("outcome", TEXT), finished_at=Now(), error=Param("error", TEXT))


def announce_end(run_id: UUID) -> None:
    """Send ``run_finished`` after commit; the row is read only when somebody listens."""
    if signals.run_finished.receivers:
        after_commit(partial(_send_finished, run_id))


def _send_finished(run_id: UUID) -> None:
    run = statement(Run.objects.select_related("workflow", "version").filter(pk=run_id).get)
    signals.run_finished.send_robust(sender=Run, run=run)


def _error(run_id: UUID) -> str:
    first = Task.objects.filter(run_id=run_id).steps().failed().order_by("finished_at").values("step", "error")
    task = first.first()
    return f"{task['step']}: {task['error']}"[:MAX_ERROR] if task else ""


def _follow(run_id: UUID, graph: Graph, seq: int, arrival: Tally) -> Consequences:
    """Walk the junctions that may open, in ascending order, and collect what follows."""
    consequences = Consequences()
    arrivals: defaultdict[int, Tally] = defaultdict(Tally)
    closed: defaultdict[int, list[int]] = defaultdict(list)
    heap: list[int] = []

    def arrive(target: int, ended: int, failed: int) -> None:
        if target not in arrivals:
            heapq.heappush(heap, target)
        arrivals[target].add(ended, failed)

    arrive(seq, arrival.ended, arrival.failed)
    while heap:
        junction = graph.junctions[heapq.heappop(heap)]
        tally = _pass(run_id, junction, arrivals[junction.seq], closed)
        if tally is None:
            continue
        if junction.parent is not None:
            arrive(junction.parent, 1, tally.failed)
        elif junction.is_end:
            consequences.outcome = RunStatus.FAILED if tally.failed else RunStatus.SUCCESS
        elif not tally.failed:
            consequences.ready.extend(junction.releases)
        else:
            consequences.broken.extend(junction.releases)
            for position in expand(junction.releases):
                arrive(graph.nodes[position].junction, 1, 1)
    for failed, seqs in closed.items():
        _gates(run_id).filter(seq__in=seqs).update(remaining=0, failed=failed)
    return consequences


def _pass(run_id: UUID, junction: Junction, arrival: Tally, closed: defaultdict[int, list[int]]) -> Tally | None:
    """Count an arrival; return the junction's whole tally if that opened it."""
    if not junction.has_gate:
        return arrival
    if arrival.ended == junction.total:
        # All members at once: nobody else can touch this gate, so many of them are written together.
        closed[arrival.failed].append(junction.seq)
        return arrival
    return _count(run_id, junction.seq, arrival)


def _count(run_id: UUID, seq: int, arrival: Tally) -> Tally | None:
    values = {"run": run_id, "seq": seq, "ended": arrival.ended, "failed": arrival.failed}
    if _counting().execute(**values) or not _opening().execute(**values):
        return None
    return Tally(failed=_gates(run_id).filter(seq=seq).values_list("failed", flat=True).get())


@prepared
def _counting() -> Update:
    return counting()


def counting(*conditions: Exists) -> Update:
    """Count at a gate that stays closed: parameters ``run``, ``seq``, ``ended``, ``failed``."""
    ended = Param("ended", INTEGER)
    return Update(
        _gate().filter(*conditions, remaining__gt=ended),
        remaining=F("remaining") - ended,
        failed=F("failed") + Param("failed", INTEGER),
    )


@prepared
def _opening() -> Update:
    gate = _gate().filter(remaining=Param("ended", INTEGER))
    return Update(gate, remaining=0, failed=F("failed") + Param("failed", INTEGER))


def _gate() -> QuerySet[Gate]:
    return Gate.objects.filter(run=Param("run", UUID_FIELD), seq=Param("seq", INTEGER))


def _gates(run_id: UUID) -> QuerySet[Gate]:
    return Gate.objects.filter(run_id=run_id)
