"""What follows from the end of a task, decided in the transaction that ends it.

Lock order: own task, gates by ascending ``seq``, successors by ascending position, run.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, F, QuerySet

from django_director import signals
from django_director.db.compiled import INTEGER, TEXT, UUID_FIELD, Param, Update, prepared
from django_director.db.functions import Now
from django_director.db.sessions import receiver_session
from django_director.db.transactions import after_commit, statement
from django_director.engine import outbox
from django_director.engine.outbox import RunRef
from django_director.graph import Consequences, Graph, Junction, Tally, Walk
from django_director.models import Gate, Run, Task
from django_director.models.querysets import batches, positions_in
from django_director.status import RunStatus, Stop, TaskStatus

from . import hooks

_FAILED: Final = str(TaskStatus.FAILED)
_SKIPPED: Final = str(TaskStatus.SKIPPED)
"""A gate's columns are called as the statuses that they count."""
COUNTED: Final = (_FAILED, _SKIPPED)
FREED: Final[dict[str, Any]] = {"slot": None, "queued_at": None, "next_admission_at": None}
"""Columns of a run with a key at its end: its slot is free, and it wants none."""
MAX_ERROR: Final = 2_000
"""Characters of a task's error that its run repeats."""


def settle(run: RunRef, graph: Graph, position: int, status: TaskStatus, *, stops: bool = True) -> bool:
    """Let a task's end have its consequences: count it, decide on what follows, end the run.

    ``stops`` is whether its failure is one for `fail_fast`. Says whether the run is stopped by that: then what is
    left is not decided here, see ``stop.carry_on``.
    """
    is_fast = graph.definition.fail_fast
    if is_fast and is_stopped(run.pk):
        return True
    counters = _Counters(run.pk)
    walk = Walk(graph, counters.count)
    walk.end(position, status)
    found = walk.run()
    counters.close()
    carry_out(run, graph, found)
    if (
        not (is_fast and stops)
        or status != TaskStatus.FAILED
        or graph.nodes[position].is_forgiven
        or found.outcome is not None
    ):
        return False
    fail_fast(run.pk)
    return True


def carry_out(run: RunRef, graph: Graph, found: Consequences) -> None:
    """Write down what was found to follow."""
    settle_tasks(run.pk, found)
    outbox.queue(run, graph, found.ready)
    if found.outcome is not None:
        end(run, graph, found.outcome)


def settle_tasks(run_id: UUID, found: Consequences) -> None:
    """Give what never runs its status."""
    for status, spans in found.settled.items():
        for batch in batches(spans):
            pending = Task.objects.filter(run_id=run_id).pending().at(batch)
            pending.update(status=status, finished_at=Now())


def is_stopped(run_id: UUID) -> bool:
    """Whether a run starts nothing more, but what its stop may spare."""
    return Run.objects.filter(pk=run_id).exclude(stop=Stop.NONE).exists()


def fail_fast(run_id: UUID) -> None:
    """Stop a run after a failure."""
    # No row: another failure was first.
    Run.objects.filter(pk=run_id, status=RunStatus.RUNNING, stop=Stop.NONE).update(stop=Stop.FAIL_FAST)


def end(run: RunRef, graph: Graph, outcome: RunStatus) -> bool:
    """Close a run that was not stopped; whoever changes the run's row first wins."""
    error = first_error(run.pk, graph) if outcome == RunStatus.FAILED else ""
    closed = ending(holds_slot(graph)).execute(run=run.pk, outcome=outcome, error=error)
    if closed:
        hooks.insert(run.pk, graph, outcome, generation=run.generation)
        announce_end(run, graph)
    return bool(closed)


def holds_slot(graph: Graph) -> bool:
    """Whether a running run of this definition holds a slot, which its end frees."""
    return graph.definition.concurrency is not None


@prepared
def ending(frees_slot: bool) -> Update:
    """Close a running run: parameters ``run``, ``outcome``, ``error``."""
    running = Run.objects.filter(pk=Param("run", UUID_FIELD), status=RunStatus.RUNNING, stop=Stop.NONE)
    changes = {"status": Param("outcome", TEXT), "finished_at": Now(), "error": Param("error", TEXT)}
    return Update(running, **changes, **(FREED if frees_slot else {}))


def announce_end(run: RunRef, graph: Graph) -> None:
    """After commit let the next of its key start, send ``run_finished``, and tell the step that waits for it.

    The row is read only when needed.
    """
    if holds_slot(graph):
        from django_director.engine.concurrency.admission import (
            hand_on,  # which lets runs start, and they may end at once
        )

        after_commit(partial(hand_on, run.pk))
    if signals.run_finished.receivers:
        after_commit(partial(_send_finished, run.pk))
    tell_parent(run)


def tell_parent(run: RunRef) -> None:
    """After commit let the step end that waits for a run, if it is a child run."""
    if run.parent_task_id is not None:
        from django_director.engine.steps.child_workflows import report  # it ends a step, and that is settled here

        after_commit(partial(report, run.pk))


def announce_task(task_id: UUID) -> None:
    """Send ``task_finished`` after commit; the row is read only when somebody listens."""
    if signals.task_finished.receivers:
        after_commit(partial(_send_task_finished, task_id))


def _send_task_finished(task_id: UUID) -> None:
    task = statement(Task.objects.select_related("run").filter(pk=task_id).get)
    with receiver_session():
        signals.task_finished.send_robust(sender=Task, task=task)


def _send_finished(run_id: UUID) -> None:
    run = statement(Run.objects.select_related("workflow", "version").filter(pk=run_id).get)
    with receiver_session():
        signals.run_finished.send_robust(sender=Run, run=run)


def first_error(run_id: UUID, graph: Graph) -> str:
    """What a failed run says: its first failure that was not forgiven."""
    failed = Task.objects.filter(run_id=run_id).steps().failed()
    if graph.forgiven:
        failed = failed.exclude(positions_in(graph.forgiven))
    first = failed.order_by("finished_at").only("step", "map_index", "error").first()
    if first is not None:
        return f"{first.label}: {first.error}"[:MAX_ERROR]
    # A rerun keeps what a cancel has left, which counts as failed.
    canceled = Task.objects.filter(run_id=run_id).steps().canceled()
    first = canceled.order_by("finished_at", "position").only("step", "map_index", "reason").first()
    return f"{first.label}: {first.reason}"[:MAX_ERROR] if first else ""


class _Counters:
    """The gates of a run in the database."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.closed: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def count(self, junction: Junction, arrival: Tally) -> Tally | None:
        """Count an arrival; return the junction's whole tally if that opened it."""
        if not junction.has_gate:
            return arrival
        if arrival.ended == junction.total:
            # All members at once: nobody else can touch this gate, so many of them are written together.
            self.closed[arrival.failed, arrival.skipped].append(junction.seq)
            return arrival
        return _count(self.run_id, junction.seq, arrival)

    def close(self) -> None:
        """Write down the gates whose members all came at once."""
        for (failed, skipped), seqs in self.closed.items():
            _gates(self.run_id).filter(seq__in=seqs).update(remaining=0, failed=failed, skipped=skipped)


def _count(run_id: UUID, seq: int, arrival: Tally) -> Tally | None:
    values = {"run": run_id, "seq": seq, **counts(arrival)}
    if stays_closed().execute(**values) or not opens().execute(**values):
        return None
    gate = _gates(run_id).get(seq=seq)
    return Tally(failed=gate.failed, skipped=gate.skipped)


def counts(arrival: Tally) -> dict[str, int]:
    """An arrival as parameters of ``stays_closed``."""
    return {"ended": arrival.ended, _FAILED: arrival.failed, _SKIPPED: arrival.skipped}


@prepared
def stays_closed() -> Update:
    """Count at a gate that stays closed: parameters ``run``, ``seq``, ``ended``, ``failed``, ``skipped``."""
    ended = Param("ended", INTEGER)
    return Update(_gate().filter(remaining__gt=ended), remaining=F("remaining") - ended, **_added())


def counting_success(condition: Exists) -> Update:
    """Count one success at a gate that stays closed, where ``condition`` holds: parameters ``run``, ``seq``."""
    return Update(_gate().filter(condition, remaining__gt=1), remaining=F("remaining") - 1)


@prepared
def opens() -> Update:
    """Count at a gate that opens by that; parameters as of ``stays_closed``."""
    gate = _gate().filter(remaining=Param("ended", INTEGER))
    return Update(gate, remaining=0, **_added())


def _added() -> dict[str, Any]:
    return {name: F(name) + Param(name, INTEGER) for name in (_FAILED, _SKIPPED)}


def _gate() -> QuerySet[Gate]:
    return Gate.objects.filter(run=Param("run", UUID_FIELD), seq=Param("seq", INTEGER))


def _gates(run_id: UUID) -> QuerySet[Gate]:
    return Gate.objects.filter(run_id=run_id)
