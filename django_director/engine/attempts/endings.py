"""The ends of an attempt, as parts of transactions: success, failure, a retry to come, a lost worker.

Each is one compare-and-set on the claim or, for a task whose row was read, on the sequence, the claim and the
lease. What follows from it is written in the same transaction. ``False`` from any of them means: the row has
changed.
"""

from __future__ import annotations

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
from django_director.db.transactions import after_commit
from django_director.engine import outbox, stopping, transitions
from django_director.engine.flow import advance, hooks, items, lanes
from django_director.graph import Graph, Node, has_lanes
from django_director.models import Attempt, Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import STOP_SPARING, RunStatus, Stop, TaskStatus

from . import finish_fast
from .claim import Claim, RunSnapshot
from .failures import Failure as Failure
from .unwritten import KEPT


def suspend(claim: Claim, **columns: object) -> bool:
    """Let a claimed task wait, without a worker, until somebody ends or queues it.

    ``columns`` say for what, such as ``not_before`` or ``deadline_at``.
    """
    held = bool(_mine(claim).update(**transitions.waiting(**columns)))
    failpoints.point("hold.updated")
    return held


def end_row(task: Task, status: TaskStatus, **columns: object) -> bool:
    """End a task whose row was read, with its run and version, if it is as it was."""
    return _end_row(_as_read(task), task, status, columns)


def end_waiting(task: Task, status: TaskStatus, **columns: object) -> bool:
    """End a waiting task, whose row was read, if it is as it was and its run goes on.

    In a stopped run the sweep ends it.
    """
    node = task.run.version.graph.node(task.position)
    going = Run.objects.filter(pk=OuterRef("run_id"), status=RunStatus.RUNNING)
    going = going.filter(stop__in=STOP_SPARING) if node.runs_on else going.filter(stop=Stop.NONE)
    return _end_row(_as_read(task).waiting().filter(Exists(going)), task, status, columns)


def _end_row(row: TaskQuerySet, task: Task, status: TaskStatus, columns: dict[str, Any]) -> bool:
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


def write_success(claim: Claim, result: object) -> bool:
    """Write the result of a claimed task, and what follows from its success."""
    ending = finish_fast.succeeding(row_seconds())
    if not ending.execute(task=claim.task_id, token=claim.token, result=result):
        return _was_committed(claim, TaskStatus.SUCCESS)
    failpoints.point("finish.updated")
    _advance(claim, TaskStatus.SUCCESS)
    failpoints.point("finish.settled")
    after_commit(partial(failpoints.point, "finish.committed"))
    return True


def write_failure(claim: Claim, failure: Failure) -> bool:
    """Write the failure of a claimed task, and what follows from it."""
    changes = transitions.ended(TaskStatus.FAILED) | failure.columns()
    if not _mine(claim).update(**changes, failures=F("failures") + 1):
        return _was_committed(claim, TaskStatus.FAILED)
    failpoints.point("fail.updated")
    _advance(claim, TaskStatus.FAILED)
    return True


def write_skip(claim: Claim, reason: str) -> bool:
    """Write that a claimed task is skipped, and what follows from that."""
    if not _mine(claim).update(**transitions.ended(TaskStatus.SKIPPED), reason=storable(reason)[:500]):
        return _was_committed(claim, TaskStatus.SKIPPED)
    _advance(claim, TaskStatus.SKIPPED)
    return True


def _advance(claim: Claim, status: TaskStatus) -> None:
    if claim.is_hook:
        hooks.follow(claim.run.pk, claim.graph, claim.node, claim.sequence, status)
    else:
        _follow_up(claim.run, claim.graph, claim.node, claim.map_index, status)
    advance.announce_task(claim.task_id)


def _follow_up(run: RunSnapshot, graph: Graph, node: Node, index: int, status: TaskStatus) -> None:
    if node.map_position is None:
        stopped = advance.advance_run(run, graph, node.position, status)
    else:
        stopped = items.advance_item(run, graph, node, index, status)
    if stopped:
        after_commit(partial(stopping.continue_stop, run.pk))


def write_retry(claim: Claim, failure: Failure, delay: float) -> bool:
    """Let a claimed task wait ``delay`` seconds and run again; its failed attempt gets a row of its own."""
    if not _try_again(_mine(claim), claim.task_id, claim.sequence, failure, delay):
        return False
    if delay <= 0:
        _publish_again(claim)
    return True


def write_requeue(claim: Claim) -> bool:
    """Queue a claimed task again; nothing is spent."""
    if not _mine(claim).update(**transitions.queued_again(claim.sequence)):
        return False
    _publish_again(claim)
    return True


def write_loss(task: Task, failure: Failure) -> bool:
    """Queue a running task again, whose worker is gone, or fail it after ``MAX_CRASHES`` such losses."""
    row = _as_read(task).running()
    columns = failure.columns()
    is_held = _is_held(task)
    changes = transitions.held_back(task.sequence + 1) if is_held else transitions.queued_again(task.sequence)
    if row.filter(crashes__lt=director.MAX_CRASHES - 1).update(**changes, **columns, crashes=F("crashes") + 1):
        failpoints.point("lose.updated")
        _keep_attempt(task.pk, failure, columns)
        if is_held:
            graph = task.run.version.graph
            lanes.refill(task.run, graph, items.map_of(graph, graph.node(task.position)))
            return True
        message = outbox.message_of(task, task.run.version.content_hash, sequence=task.sequence + 1)
        after_commit(partial(outbox.publish, [message]))
        return True
    error = f'{failure.error} ({director.MAX_CRASHES} times, DIRECTOR["MAX_CRASHES"])'
    return fail_row(task, replace(failure, error=error), crashes=F("crashes") + 1)


def _is_held(task: Task) -> bool:
    """Whether an item of a map was claimed in a batch, and `max_parallel` says when it may begin again."""
    graph = task.run.version.graph
    node = graph.node(task.position)
    is_first = task.sequence == outbox.first_sequence(task.run.generation)
    return bool(node.batch) and is_first and task.map_index >= 0 and has_lanes(items.map_of(graph, node))


def fail_row(task: Task, failure: Failure, **changes: object) -> bool:
    """Fail a task whose row was read, with its run, if it is as it was."""
    return end_row(task, TaskStatus.FAILED, **failure.columns(), **changes)


def retry_row(task: Task, failure: Failure, delay: float) -> bool:
    """Let a running task, whose row was read with its run, wait ``delay`` seconds and run again."""
    if not _try_again(_as_read(task).running(), task.pk, task.sequence, failure, delay):
        return False
    if delay <= 0:
        task.failures += 1
        message = outbox.message_of(task, task.run.version.content_hash, sequence=task.sequence + 1)
        after_commit(partial(outbox.publish, [message]))
    return True


def _try_again(row: QuerySet[Task], task_id: UUID, sequence: int, failure: Failure, delay: float) -> bool:
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


def _as_read(task: Task) -> TaskQuerySet:
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
