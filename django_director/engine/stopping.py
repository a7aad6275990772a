"""Stop runs: one UPDATE of the run's row, then its tasks that have not started are canceled in chunks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from django_director.access.families import told_below
from django_director.common import failpoints, ids
from django_director.db.transactions import after_commit, connection, in_transaction, statement, transact
from django_director.dispatch import remote_control
from django_director.exceptions import Conflict
from django_director.graph import Graph, Span, block_of, replay
from django_director.models import Run, Task, graph_of
from django_director.models.positions import positions_in
from django_director.models.querysets import RunQuerySet, TaskQuerySet
from django_director.models.users import User
from django_director.status import RunStatus, Stop, TaskStatus

from . import history, outbox, reactions, transitions
from .arguments import checked_run, checked_user, checked_via
from .flow import advance, hooks, item_rows

T = TypeVar("T")

CHUNK: Final = 5_000
CHILDREN_AT_ONCE: Final = 50
"""Of how many child runs a stop is carried out at once."""
TOLD: Final = "; its worker was told to kill it"
RUNS_ON: Final = "; its code runs on"
REASON: Final = 400
"""Characters that are left of a reason to which one of them is added."""
REASONS: Final[dict[Any, str]] = {
    Stop.CANCEL: "canceled",
    Stop.TIMEOUT: "the run's time was up",
    Stop.STEP_TIMEOUT: "the time of the step that started the run was up",
    Stop.SKIP: "the run was skipped",
}
"""Why a stopped run's tasks were not started, where nobody says more."""


def cancel(run: Run, *, user: User = None, force: bool = False, via: str = "") -> Run:
    """Cancel a run: nothing of it starts any more; what runs is let end, or is given up with ``force``.

    What is given up is killed where its worker's pool can kill; else its code runs on, and is not believed.
    Running tasks learn of it by ``context().canceled``. Django's history of the run says that ``user`` did it, and
    ``via`` what. Returns the run as it is now. Raises ``Conflict`` for a run that has an outcome, or that is being
    canceled already (``force`` may follow a cancel without it).
    """
    user = checked_user(user, "cancel")
    message = history.line("cancel", checked_via(via))
    run = checked_run(run, "cancel")
    if not statement(partial(_stop, run.pk, secrets.randbits(63))):
        run.refresh_from_db()
        if run.is_finished or not force:
            raise Conflict(f"run {run.pk} can't be canceled: its status is {run.shown_status}")
    reason = f"canceled by {user}" if user is not None else "canceled"
    try:
        if force and not connection().in_atomic_block:
            # Nobody repeats the force: who asked for it is to hear of a lock.
            _apply_stop(run.pk, reason, force=True)
        else:
            after_commit(partial(_apply_stop, run.pk, reason, force))
        run.refresh_from_db()
    finally:
        # The run is being canceled, even if a lock has kept the force from all that it was to kill.
        history.record(user, run, message)
    return run


def supersede(run_id: UUID, reason: str) -> bool:
    """Cancel a run because another one takes its place; return whether nothing had stopped it before."""
    if not statement(partial(_stop, run_id, secrets.randbits(63), error=reason)):
        return False
    _apply_stop(run_id, reason, force=False)
    return True


def refuse(run_id: UUID, reason: str) -> bool:
    """End a pending run that gets no slot, without hooks; return whether that happened."""
    pending = Run.objects.awaiting_slot().filter(pk=run_id)
    if not statement(lambda: pending.update(stop=Stop.SKIP, error=reason)):
        return False
    return continue_stop(run_id)


def _stop(run_id: UUID, token: int, **columns: object) -> bool:
    running = Run.objects.active().unstopped().filter(pk=run_id)
    stopped = running.update(stop=Stop.CANCEL, token=token, **columns)
    # No row may also mean that the answer to our own UPDATE was lost with the connection.
    return bool(stopped) or Run.objects.filter(pk=run_id, token=token).exists()


def _apply_stop(run_id: UUID, reason: str, force: bool) -> None:
    canceled = Run.objects.stopping().filter(pk=run_id)
    if not force:
        canceled = canceled.filter(stop=Stop.CANCEL)
    failpoints.point("cancel.committed")
    sweep(canceled, run_id, reason)
    failpoints.point("cancel.swept")
    stop_children(canceled, run_id, reason, force=force)
    if force and (messages := _while_stopped(canceled, partial(_kill, run_id, reason))):
        remote_control.kill(messages)
    close_if_idle(run_id)


class _Reopened(Exception):
    """The run is not being stopped any more, as somebody has reopened it."""


def _while_stopped(stopped: RunQuerySet, work: Callable[[], T]) -> T | None:
    """Do ``work`` in a transaction if the run is among ``stopped``; else undo it and return ``None``.

    The process that stops a run may be slow, so the run may have ended and been reopened meanwhile. The run is
    locked after its tasks, as everywhere.
    """

    def whole() -> T:
        done = work()
        if not list(stopped.select_for_update().values_list("pk")):
            raise _Reopened
        return done

    try:
        return transact(whole)
    except _Reopened:
        return None


def continue_stop(run_id: UUID) -> bool:
    """Cancel the unstarted tasks of a stopped run, queue those that are spared, and end it if none is active.

    Returns whether it was ended. The supervisor repeats this.
    """
    stopping = Run.objects.stopping().filter(pk=run_id)
    stop = stopping.values_list("stop", flat=True).first()
    if stop is None:
        return False
    stopped = stopping.filter(stop=stop)
    if stop == Stop.FAIL_FAST:
        _continue_spared(
            stopped, Run.objects.select_related("version").defer("payload", "version__source").get(pk=run_id)
        )
    else:
        reason = REASONS.get(stop, "canceled")
        sweep(stopped, run_id, reason)
        stop_children(stopped, run_id, reason)
    if stop == Stop.STEP_TIMEOUT:
        reactions.step_time_up(run_id)
    return close_if_idle(run_id)


def _continue_spared(stopped: RunQuerySet, run: Run) -> None:
    """Continue the tasks that `fail_fast` spares, as the rows say: ends since the stop were not counted."""
    graph = run.version.graph
    # A map waits until all its items have ended.
    sweep(stopped, run.pk, "fail_fast: another step has failed", graph.spared, tuple(graph.maps))
    if graph.maps:
        _while_stopped(stopped, partial(item_rows.continue_maps, run, graph))
    if not graph.spared:
        return
    rows = Task.objects.filter(run_id=run.pk).nodes().values_list("position", "status")
    found = replay(graph, dict(rows)).found
    if found.settled:
        _while_stopped(stopped, partial(advance.settle_tasks, run.pk, found))
    if found.ready:
        _while_stopped(stopped, partial(outbox.queue, run, graph, found.ready))


def stop_children(stopped: RunQuerySet, run_id: UUID, reason: str, *, force: bool = False) -> None:
    """Cancel the child runs that a run waits for, as long as it is among ``stopped``.

    Its steps end when they have. What of many is not carried out here the supervisor does; with ``force`` all is
    done here.
    """
    active = Run.objects.active().filter(parent_task__run_id=run_id, is_awaited=True)
    children = active if force else active.unstopped()
    found = list(children.values_list("pk", flat=True))
    for start in range(0, len(found), CHUNK):
        chunk = found[start : start + CHUNK]
        if _while_stopped(stopped, partial(_stop_chunk, run_id, chunk, reason)) is None:
            return
    failpoints.point("cancel.passed")
    for child_id in found if force else found[:CHILDREN_AT_ONCE]:
        _apply_stop(child_id, told_below(reason), force)


def _stop_chunk(run_id: UUID, chunk: list[UUID], reason: str) -> int:
    Task.objects.filter(run_id=run_id).awaiting_child().filter(child_run__in=chunk).update(reason=reason[:500])
    return Run.objects.active().unstopped().filter(pk__in=chunk).update(stop=Stop.CANCEL)


def sweep(
    stopped: RunQuerySet,
    run_id: UUID,
    reason: str = "canceled",
    spared: Sequence[Span] = (),
    maps: Sequence[int] = (),
) -> None:
    """Cancel the tasks of a run that have not started, as long as the run is among ``stopped``.

    Tasks in the spans ``spared`` are left alone, and so are waiting tasks at the positions ``maps``.
    """
    unstarted = _unstarted(Task.objects.filter(run_id=run_id).steps())
    if maps:
        unstarted = unstarted.exclude(position__in=maps, status=TaskStatus.WAITING)
    if spared:
        unstarted = unstarted.exclude(positions_in(spared))
    while chunk := list(unstarted.order_by("position").values_list("pk", flat=True)[:CHUNK]):
        if _while_stopped(stopped, partial(_cancel_chunk, chunk, reason)) is None:
            return


def _cancel_chunk(chunk: list[UUID], reason: str) -> int:
    # Asked again with the status: a worker may have claimed one of them since.
    return _unstarted(Task.objects.filter(pk__in=chunk)).update(**transitions.swept(reason[:500]))


def _unstarted(tasks: TaskQuerySet) -> TaskQuerySet:
    """Return the ``tasks`` that a stop may cancel: not a step that waits for a child run, which ends with it."""
    awaiting = Q(status=TaskStatus.WAITING, child_run__isnull=False, not_before=None)
    return tasks.unstarted().exclude(awaiting)


def close_if_idle(run_id: UUID) -> bool:
    """Give a stopped run its outcome if none of its tasks is active; return whether that happened."""
    runs = _idle().filter(pk=run_id).select_related("version").defer("payload", "version__source")
    run: Run | None = statement(runs.first)
    return run is not None and _close(run)


def _idle() -> RunQuerySet:
    active = Task.objects.filter(run_id=OuterRef("pk")).steps().active()
    stopping: RunQuerySet = Run.objects.stopping()
    return stopping.filter(~Exists(active))


@in_transaction()
def _close(run: Run) -> bool:
    graph = run.version.graph
    outcome, error = _outcome(run, graph)
    same = _idle().filter(pk=run.pk, stop=run.stop, generation=run.generation)
    if not same.update(**transitions.run_ended(outcome, error, has_key=run.concurrency_key is not None)):
        return False
    if run.stop != Stop.SKIP:
        hooks.insert(run.pk, graph, outcome, generation=run.generation)
    advance.announce_end(run, graph)
    return True


def _outcome(run: Run, graph: Graph) -> tuple[RunStatus, str]:
    if run.stop == Stop.TIMEOUT:
        return RunStatus.FAILED, f"TimeLimitExceeded: the run took longer than {graph.definition.timeout:g} s"
    if run.stop == Stop.STEP_TIMEOUT:
        return RunStatus.CANCELED, "TimeLimitExceeded: the time of the step that started it was up"
    if run.stop == Stop.FAIL_FAST:
        return RunStatus.FAILED, advance.first_error(run.pk, graph)
    return RunStatus.CANCELED, run.error


def _kill(run_id: UUID, reason: str) -> list[str]:
    """Cancel the running tasks of a run; return the Celery ids of their messages."""
    running = Task.objects.filter(run_id=run_id).steps().running()
    graph = graph_of(Run.objects.values_list("version__content_hash", flat=True).get(pk=run_id))
    rows = running.values_list("pk", "sequence", "position", "map_index")
    messages = list(dict.fromkeys(name for row in rows for name in _names(run_id, graph, *row)))
    running.update(**transitions.given_up(f"{reason[:REASON]}{TOLD}"))
    return messages


def _names(run_id: UUID, graph: Graph, task_id: UUID, sequence: int, position: int, index: int) -> list[str]:
    """Return the Celery ids that the message of a running task may have: its own, and that of its batch."""
    own = [ids.message_id(task_id, sequence)]
    block = block_of(graph, position, index)
    return own if block is None else [*own, ids.message_id(block.first(run_id), sequence)]


def note_running_on(messages: Sequence[str]) -> None:
    """Note that the code of canceled tasks runs on, as nothing killed it; ``messages`` are their Celery ids."""
    for message in messages:
        task_id, sequence = ids.parse_message_id(message)
        given_up = Task.objects.filter(pk=task_id, sequence=sequence, status=TaskStatus.CANCELED)
        reason = statement(given_up.values_list("reason", flat=True).first) or ""
        if reason.endswith(TOLD):
            same = given_up.filter(reason=reason)
            statement(partial(same.update, reason=reason.removesuffix(TOLD) + RUNS_ON))
