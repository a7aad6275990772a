"""Advance a run when one of its tasks has ended: queue the next tasks, skip others, or end the run.

All of it is decided and written in the transaction that ends the task. Rows are locked in this order: the task
itself, gates by ascending ``seq``, the tasks after it by ascending position, the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final
from uuid import UUID

from django_director import signals
from django_director.db.compiled import TEXT, UUID_FIELD, Param, Update, prepared
from django_director.db.sessions import receiver_session
from django_director.db.transactions import after_commit, statement
from django_director.engine import outbox, reactions, transitions
from django_director.engine.outbox import RunRef
from django_director.graph import Consequences, Graph, Walk
from django_director.models import Run, Task
from django_director.models.positions import batches, positions_in
from django_director.status import RunStatus, Stop, TaskStatus

from . import hooks
from .gates import Counters

MAX_ERROR: Final = 2_000
"""Characters of a task's error that its run repeats."""


def advance_run(run: RunRef, graph: Graph, position: int, status: TaskStatus, *, stops: bool = True) -> bool:
    """Count the end of a task at its joins, and write what follows: tasks queued or settled, an outcome.

    ``stops`` says whether a failure of this task makes `fail_fast` stop the run. Returns whether `fail_fast` has
    stopped the run. Its other tasks are not decided here then, but by ``stopping.continue_stop``.
    """
    is_fast = graph.definition.fail_fast
    if is_fast and is_stopped(run.pk):
        return True
    counters = Counters(run.pk)
    walk = Walk(graph, counters.count)
    walk.end(position, status)
    found = walk.run()
    counters.close()
    apply_consequences(run, graph, found)
    if (
        not (is_fast and stops)
        or status != TaskStatus.FAILED
        or graph.nodes[position].is_forgiven
        or found.outcome is not None
    ):
        return False
    fail_fast(run.pk)
    return True


def advance_all(run: RunRef, graph: Graph, positions: Iterable[int]) -> bool:
    """Count the ends of tasks that have succeeded, and write what follows, as ``advance_run`` does for one.

    Returns whether `fail_fast` has stopped the run.
    """
    if graph.definition.fail_fast and is_stopped(run.pk):
        return True
    counters = Counters(run.pk)
    walk = Walk(graph, counters.count)
    for position in positions:
        walk.end(position, TaskStatus.SUCCESS)
    found = walk.run()
    counters.close()
    apply_consequences(run, graph, found)
    return False


def apply_consequences(run: RunRef, graph: Graph, found: Consequences) -> None:
    """Write what follows from the ends of tasks: settle tasks that never run, queue others, end the run."""
    settle_tasks(run.pk, found)
    outbox.queue(run, graph, found.ready)
    if found.outcome is not None:
        end_run(run, graph, found.outcome)


def settle_tasks(run_id: UUID, found: Consequences) -> None:
    """Write the statuses of tasks that never run."""
    for status, spans in found.settled.items():
        for batch in batches(spans):
            pending = Task.objects.filter(run_id=run_id).pending().at(batch)
            pending.update(**transitions.settled(status))


def is_stopped(run_id: UUID) -> bool:
    """Whether a run was stopped. It starts nothing more then, except what the stop spares."""
    return Run.objects.filter(pk=run_id).exclude(stop=Stop.NONE).exists()


def fail_fast(run_id: UUID) -> None:
    """Stop a run, as one of its tasks has failed and its definition says `fail_fast`."""
    # No row: another failure was first.
    Run.objects.filter(pk=run_id, status=RunStatus.RUNNING, stop=Stop.NONE).update(stop=Stop.FAIL_FAST)


def end_run(run: RunRef, graph: Graph, outcome: RunStatus) -> bool:
    """Give a run its outcome, unless it was stopped or has ended; return whether that was written."""
    error = first_error(run.pk, graph) if outcome == RunStatus.FAILED else ""
    closed = ending(holds_slot(graph)).execute(run=run.pk, outcome=outcome, error=error)
    if closed:
        hooks.insert(run.pk, graph, outcome, generation=run.generation)
        announce_end(run, graph)
    return bool(closed)


def holds_slot(graph: Graph) -> bool:
    """Whether runs of this definition hold a slot while they run, which their end frees."""
    return graph.definition.concurrency is not None


@prepared
def ending(frees_slot: bool) -> Update:
    """Return the statement that ends a running run: parameters ``run``, ``outcome``, ``error``."""
    running = Run.objects.filter(pk=Param("run", UUID_FIELD), status=RunStatus.RUNNING, stop=Stop.NONE)
    return Update(
        running, **transitions.run_ended(Param("outcome", TEXT), Param("error", TEXT), has_key=frees_slot)
    )


def announce_end(run: RunRef, graph: Graph) -> None:
    """Let the rest of the engine react to the end of a run, and send ``run_finished`` after the commit.

    The run's row is read only when somebody listens to the signal.
    """
    if holds_slot(graph):
        reactions.slot_freed(run)
    if signals.run_finished.receivers:
        after_commit(partial(_send_finished, run.pk))
    reactions.run_ended(run)


def announce_task(task_id: UUID) -> None:
    """Send ``task_finished`` after the commit. The task is read only if somebody listens."""
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
    """Return the error of a failed run: that of its first task that failed and was not forgiven."""
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
