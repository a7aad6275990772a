"""The ends of an attempt: success, failure, a retry to come, a lost worker.

Each is one compare-and-set on the claim (or, where the claim is not known, on the sequence), followed in the
same transaction by what it leads to. ``False`` from any of them means: this attempt is no longer the task's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet

from django_director.common import failpoints
from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.lock_limits import limited, row_seconds
from django_director.db.texts import storable
from django_director.db.transactions import WORKER_PATIENCE, after_commit, statement, transact
from django_director.engine import outbox, stopping, transitions
from django_director.engine.flow import advance, hooks, items
from django_director.graph import Graph, Node
from django_director.models import Attempt, Run, Task
from django_director.status import STOP_SPARING, RunStatus, Stop, TaskStatus

from . import finish_fast
from .claim import Claim, RunSnapshot
from .failures import Failure as Failure
from .failures import stored
from .unwritten import KEPT, End, of_failure, or_keep


def finish(claim: Claim, result: Any) -> bool:
    """Commit the (normalised) result of a claimed task and what follows from its success."""
    failpoints.point("finish.before")
    return or_keep(partial(_finish, claim, result), claim, End.SUCCESS, lambda: {"result": result})


def fail(claim: Claim, failure: Failure) -> bool:
    """Commit the failure of a claimed task and what follows from it."""

    def write(text: Failure) -> bool:
        return or_keep(_patiently(failed, claim, text), claim, End.FAILURE, partial(of_failure, text))

    return stored(failure, write)


def skip(claim: Claim, reason: str) -> bool:
    """Commit that a claimed task is skipped, and what follows from that."""
    return or_keep(_patiently(skipped, claim, reason), claim, End.SKIP, lambda: {"reason": storable(reason)})


def retry_later(claim: Claim, failure: Failure, delay: float) -> bool:
    """Let a claimed task wait ``delay`` seconds and run again."""

    def write(text: Failure) -> bool:
        def content() -> dict[str, Any]:
            return {"failure": of_failure(text), "delay": delay}

        return or_keep(_patiently(retried, claim, text, delay), claim, End.RETRY, content)

    return stored(failure, write)


def hand_back(claim: Claim) -> bool:
    """Queue a claimed task again because its worker goes away in good order; nothing is spent."""
    return or_keep(partial(transact, partial(handed_back, claim)), claim, End.HAND_BACK, dict)


def put_off(claim: Claim, seconds: float) -> bool:
    """Let a claimed task whose code was not called be queued again in so many seconds; nothing is spent."""
    return transact(partial(hold, claim, not_before=later(seconds)), patience=WORKER_PATIENCE)


def _patiently(end: Callable[..., bool], *args: Any) -> Callable[[], bool]:
    return partial(transact, partial(end, *args), patience=WORKER_PATIENCE)


def lose(task: Task, failure: Failure) -> bool:
    """Queue a running task again, or fail it for good, because its worker is gone.

    ``task`` is the row as it was read, with its run: ``sequence``, ``claim`` and the end of its lease are the
    fence, so a sign of life since then counts.
    """
    return transact(partial(lost, task, failure))


def hold(claim: Claim, **columns: Any) -> bool:
    """Let a claimed task wait, without a worker, until somebody ends or queues it; part of a transaction.

    ``columns`` say what for, as ``not_before`` or ``deadline_at``.
    """
    held = bool(_mine(claim).update(**transitions.waiting(**columns)))
    failpoints.point("hold.updated")
    return held


def end_row(task: Task, status: TaskStatus, **columns: Any) -> bool:
    """End a task whose row was read, with its run and version, and is as it was; part of a transaction."""
    return _end_row(_as_read(task), task, status, columns)


def end_waiting(task: Task, status: TaskStatus, **columns: Any) -> bool:
    """The same for one that waits, unless its run was stopped: then its sweep ends it."""
    node = task.run.version.graph.node(task.position)
    going = Run.objects.filter(pk=OuterRef("run_id"), status=RunStatus.RUNNING)
    going = going.filter(stop__in=STOP_SPARING) if node.runs_on else going.filter(stop=Stop.NONE)
    return _end_row(_as_read(task).waiting().filter(Exists(going)), task, status, columns)


def _end_row(row: Any, task: Task, status: TaskStatus, columns: dict[str, Any]) -> bool:
    if not row.filter(status=task.status).update(**transitions.ended(status) | columns):
        return False
    if status == TaskStatus.FAILED:
        failpoints.point("fail.updated")
    else:
        failpoints.point("end.updated")
    graph = task.run.version.graph
    node = graph.node(task.position)
    if task.is_hook:
        hooks.follow(task.run_id, graph, node, task.sequence, status)
    else:
        run = RunSnapshot.of(task.run, task.run.generation)
        _follow_up(run, graph, node, task.map_index, status)
    advance.announce_task(task.pk)
    return True


def _finish(claim: Claim, result: Any) -> bool:
    if statement(partial(finish_fast.at_once, claim, result), patience=WORKER_PATIENCE):
        advance.announce_task(claim.task_id)
        failpoints.point("finish.committed")
        return True
    return transact(partial(succeeded, claim, result), patience=WORKER_PATIENCE)


def succeeded(claim: Claim, result: Any) -> bool:
    """What ``finish`` commits; part of a transaction, as are all that follow."""
    ending = finish_fast.succeeding(row_seconds())
    if not ending.execute(task=claim.task_id, token=claim.token, result=result):
        return _was_committed(claim, TaskStatus.SUCCESS)
    failpoints.point("finish.updated")
    _settle(claim, TaskStatus.SUCCESS)
    failpoints.point("finish.settled")
    after_commit(partial(failpoints.point, "finish.committed"))
    return True


def failed(claim: Claim, failure: Failure) -> bool:
    """What ``fail`` commits."""
    changes = transitions.ended(TaskStatus.FAILED) | failure.columns()
    if not _mine(claim).update(**changes, failures=F("failures") + 1):
        return _was_committed(claim, TaskStatus.FAILED)
    failpoints.point("fail.updated")
    _settle(claim, TaskStatus.FAILED)
    return True


def skipped(claim: Claim, reason: str) -> bool:
    """What ``skip`` commits."""
    if not _mine(claim).update(**transitions.ended(TaskStatus.SKIPPED), reason=storable(reason)[:500]):
        return _was_committed(claim, TaskStatus.SKIPPED)
    _settle(claim, TaskStatus.SKIPPED)
    return True


def _settle(claim: Claim, status: TaskStatus) -> None:
    if claim.is_hook:
        hooks.follow(claim.run.pk, claim.graph, claim.node, claim.sequence, status)
    else:
        _follow_up(claim.run, claim.graph, claim.node, claim.map_index, status)
    advance.announce_task(claim.task_id)


def _follow_up(run: RunSnapshot, graph: Graph, node: Node, index: int, status: TaskStatus) -> None:
    if node.map_position is None:
        stopped = advance.settle(run, graph, node.position, status)
    else:
        stopped = items.settle_item(run, graph, node, index, status)
    if stopped:
        after_commit(partial(stopping.carry_on, run.pk))


def retried(claim: Claim, failure: Failure, delay: float) -> bool:
    """What ``retry_later`` commits."""
    if not _try_again(_mine(claim), claim.task_id, claim.sequence, failure, delay):
        return False
    if delay <= 0:
        _publish_again(claim)
    return True


def handed_back(claim: Claim) -> bool:
    """What ``hand_back`` commits."""
    if not _mine(claim).update(**transitions.queued_again(claim.sequence)):
        return False
    _publish_again(claim)
    return True


def lost(task: Task, failure: Failure) -> bool:
    """What ``lose`` commits."""
    row = _as_read(task).running()
    columns = failure.columns()
    if row.filter(crashes__lt=director.MAX_CRASHES - 1).update(
        **transitions.queued_again(task.sequence), **columns, crashes=F("crashes") + 1
    ):
        failpoints.point("lose.updated")
        _keep_attempt(task.pk, failure, columns)
        message = outbox.message_of(task, task.run.version.content_hash, sequence=task.sequence + 1)
        after_commit(partial(outbox.publish, [message]))
        return True
    error = f'{failure.error} ({director.MAX_CRASHES} times, DIRECTOR["MAX_CRASHES"])'
    return fail_row(task, replace(failure, error=error), crashes=F("crashes") + 1)


def fail_row(task: Task, failure: Failure, **changes: Any) -> bool:
    """Fail a task whose row was read, with its run, and is as it was; part of a transaction."""
    return end_row(task, TaskStatus.FAILED, **failure.columns(), **changes)


def retry_row(task: Task, failure: Failure, delay: float) -> bool:
    """As ``retry_later``, for a running task whose row was read, with its run; part of a transaction."""
    if not _try_again(_as_read(task).running(), task.pk, task.sequence, failure, delay):
        return False
    if delay <= 0:
        task.failures += 1
        message = outbox.message_of(task, task.run.version.content_hash, sequence=task.sequence + 1)
        after_commit(partial(outbox.publish, [message]))
    return True


def _try_again(row: Any, task_id: UUID, sequence: int, failure: Failure, delay: float) -> bool:
    changes = transitions.queued_again(sequence) if delay <= 0 else transitions.waiting(not_before=later(delay))
    columns = failure.columns()
    if not row.update(**changes, **columns, failures=F("failures") + 1):
        return False
    failpoints.point("retry.updated")
    _keep_attempt(task_id, failure, columns)
    return True


def _publish_again(claim: Claim) -> None:
    message = outbox.message(
        claim.graph,
        claim.node.position,
        task_id=claim.task_id,
        sequence=claim.sequence + 1,
        run_id=claim.run.pk,
        retries=claim.failures + 1,
        map_index=claim.map_index,
    )
    after_commit(partial(outbox.publish, [message]))


def _as_read(task: Task) -> Any:
    rows = Task.objects.filter(pk=task.pk, sequence=task.sequence, claim=task.claim, lease_until=task.lease_until)
    return limited(rows if task.claim is None else rows.exclude(KEPT))


def _mine(claim: Claim) -> QuerySet[Task]:
    return limited(Task.objects.filter(pk=claim.task_id, claim=claim.token).running())


def _was_committed(claim: Claim, status: TaskStatus) -> bool:
    """Say whether the row is in the state we wanted by our own commit, whose answer was lost."""
    return Task.objects.filter(pk=claim.task_id, claim=claim.token, status=status).exists()


def _keep_attempt(task_id: UUID, failure: Failure, columns: dict[str, str]) -> None:
    """Copy what the row says of the attempt that just ended into a row of its own."""
    row = Task.objects.filter(pk=task_id).values_list("attempt", "run__generation", "worker", "started_at").get()
    number, generation, worker, started_at = row
    Attempt.objects.create(
        task_id=task_id,
        number=number,
        generation=generation,
        outcome=failure.outcome,
        worker=worker,
        error=columns["error"],
        traceback=columns["traceback"],
        started_at=started_at,
        finished_at=Now(),
    )
