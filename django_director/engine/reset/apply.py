"""Reset tasks of a finished run, so that they run again: for retry, rerun and skip.

The gates are computed anew from the rows, by the function that the audit uses too.
"""

from __future__ import annotations

import secrets
from functools import partial
from operator import itemgetter
from typing import Final

from django.db.models import Case, F, Value, When

from django_director.common import failpoints, ids
from django_director.db.bulk_inserts import insert_from
from django_director.db.texts import storable
from django_director.db.transactions import after_commit, transact
from django_director.engine import history, lineage, outbox, transitions
from django_director.engine.arguments import (
    checked_comment,
    checked_run,
    checked_task,
    checked_user,
    checked_via,
)
from django_director.engine.attempts.claim import RunSnapshot
from django_director.engine.concurrency import admission
from django_director.engine.flow import advance, item_rows
from django_director.engine.launch.orders import time_limit
from django_director.exceptions import Conflict
from django_director.graph import spans
from django_director.models import REASON_LENGTH, Attempt, Run, Task
from django_director.models.positions import batches
from django_director.models.querysets import TaskQuerySet
from django_director.models.users import User
from django_director.status import TaskStatus

from . import plans, previews
from .item_plans import ItemPlan
from .plans import Plan
from .previews import Preview
from .recompute import continue_run, write_gates

_KEPT: Final = {
    TaskStatus.FAILED: Attempt.Outcome.FAILED,
    TaskStatus.SUCCESS: Attempt.Outcome.REPLACED,
}


def retry(run: Run, *, user: User = None, via: str = "") -> Run:
    """Run the failed and canceled tasks of a finished run again, and everything downstream of them.

    What succeeded and does not depend on them is kept. Django's history of the run says that ``user`` did it, and
    ``via`` what. Returns the run as it is now. Raises ``Conflict`` for a run that is active or has succeeded.
    """
    user = checked_user(user, "retry")
    message = history.line("retry", checked_via(via))
    _reset(_of_retry(run))
    history.record(user, run, message)
    return run


def rerun(task: Task, *, user: User = None, via: str = "") -> Task:
    """Run a task of a finished run again, and everything downstream of it; everything else is kept.

    Django's histories of the task and its run say that ``user`` did it, and ``via`` what. Returns the task as it
    is now. Raises ``Conflict`` for a hook, for a task of an active run, and for one that would not run, as what is
    before it stays as it is.
    """
    user = checked_user(user, "rerun")
    message = history.line("rerun", checked_via(via))
    _reset(_of_rerun(task))
    history.record_on_task(user, task, message)
    return _as_it_is_now(task)


def skip(task: Task, *, user: User = None, comment: str = "", via: str = "") -> Task:
    """Take a failed or canceled task of a finished run as skipped; everything downstream of it runs again.

    The task's ``reason`` says who did it, and the ``comment``; Django's histories of the task and its run say who
    did it, and ``via`` what. Returns the task as it is now. Raises ``Conflict`` for any other task.
    """
    user = checked_user(user, "skip")
    message = history.line("skip", checked_via(via))
    comment = checked_comment(comment)
    reason = (
        TaskStatus.SKIPPED.value
        + (f" by {user}" if user is not None else "")
        + (f": {comment}" if comment else "")
    )
    _reset(_of_skip(task), storable(reason)[:REASON_LENGTH])
    history.record_on_task(user, task, message)
    return _as_it_is_now(task)


def preview_retry(run: Run) -> Preview:
    """Say what ``retry`` would do, without doing it. Raises ``Conflict`` if ``retry`` would."""
    return previews.preview(_of_retry(run))


def preview_rerun(task: Task) -> Preview:
    """Say what ``rerun`` would do, without doing it. Raises ``Conflict`` if ``rerun`` would."""
    return previews.preview(_of_rerun(task))


def preview_skip(task: Task) -> Preview:
    """Say what ``skip`` would do, without doing it. Raises ``Conflict`` if ``skip`` would."""
    return previews.preview(_of_skip(task))


def _of_retry(run: Run) -> Plan:
    lineage.refuse_child(checked_run(run, "retry"), "retried")
    return plans.of_retry(run)


def _of_rerun(task: Task) -> Plan:
    lineage.refuse_child(checked_task(task, "rerun"), "rerun")
    return plans.of_rerun(task)


def _of_skip(task: Task) -> Plan:
    lineage.refuse_child(checked_task(task, "skip"), str(TaskStatus.SKIPPED))
    return plans.of_skip(task)


def _reset(plan: Plan, reason: str = "") -> None:
    transact(partial(apply_plan, plan, secrets.randbits(63), reason))
    plan.run.refresh_from_db()


def _as_it_is_now(task: Task) -> Task:
    run = task.run
    task.refresh_from_db()
    # Read already; a refresh forgets it.
    task.run = run
    return task


def apply_plan(plan: Plan, token: int, reason: str = "", timeout: float | None = None) -> None:
    """Reset a run as planned; part of a transaction.

    ``token`` is new for each call of the caller's, ``reason`` that of a skip; ``timeout`` counts besides the
    definition's.
    """
    run = plan.run
    if run.concurrency_key is not None:
        after_commit(partial(admission.try_start, run))
    if not _reopen(run, token, timeout):
        _continue_from_commit(plan, token)
        return
    snapshot = RunSnapshot.of(run, run.generation + 1)
    tasks = Task.objects.filter(run_id=run.pk)
    for batch in batches(spans(plan.again)):
        _reset_rows(run, tasks.at(batch))
    if plan.skipped is not None:
        _skip_rows(run, tasks.at(spans([plan.skipped])), reason)
    _remove_items(plan)
    for item_plan in plan.maps.values():
        _reset_items(snapshot, run, item_plan, reason)
    failpoints.point("reset.updated")
    after_commit(partial(failpoints.point, "reset.committed"))
    if run.concurrency_key is None:
        continue_run(snapshot, run.version.graph, plan.replay)
        return
    # What is ready is queued when the run has a slot.
    write_gates(snapshot, run.version.graph, plan.replay)
    advance.settle_tasks(run.pk, plan.replay.found)


def _remove_items(plan: Plan) -> None:
    """Delete the tasks for items of the maps that run again, as they may get other items."""
    for node in plan.removed:
        item_rows.delete(plan.run.pk, node)
        item_rows.remove_counters(plan.run.pk, node)


def _reopen(run: Run, token: int, timeout: float | None) -> int:
    """Make a finished run active, unless somebody else has done so since it was read."""
    has_key, is_child = run.concurrency_key is not None, run.parent_task_id is not None
    if not has_key:
        # The time that the definition of a run with a key gives counts from the slot.
        timeout = time_limit(run.version, timeout)
    return int(
        Run.objects.resettable()
        .filter(pk=run.pk, generation=run.generation)
        .update(**transitions.run_reopened(has_key=has_key, timeout=timeout, token=token, is_awaited=is_child))
    )


def _continue_from_commit(plan: Plan, token: int) -> None:
    """Continue after our own commit whose answer was lost: publish what it had queued. Else raise ``Conflict``."""
    run = plan.run
    if not Run.objects.filter(pk=run.pk, token=token).exists():
        raise Conflict(f"run {run.pk} can't be {plan.verb}: somebody else has just changed it")
    Task.objects.filter(run_id=run.pk).steps().queued().update(next_dispatch_at=outbox.UNSENT)


def _reset_items(snapshot: RunSnapshot, run: Run, plan: ItemPlan, reason: str) -> None:
    """Reset the chosen tasks for items of a map, and let the map wait for them."""
    # By position: neighbours are selected by their range.
    places = sorted(plan.again, key=itemgetter(1, 0))
    for start in range(0, len(places), outbox.CHUNK):
        _reset_rows(run, Task.objects.at_places(run.pk, places[start : start + outbox.CHUNK]))
    if plan.skipped is not None:
        _skip_rows(run, Task.objects.at_places(run.pk, [plan.skipped]), reason)
    row = Task.objects.filter(pk=ids.task_id(run.pk, plan.node.position))
    row.update(**transitions.map_reopened())
    item_rows.remove_counters(run.pk, plan.node)
    item_rows.write_counters(run.pk, plan.node, plan.found, plan.count)
    item_rows.settle_items(run.pk, plan.node, plan.found, plan.count)
    if run.concurrency_key is None:
        # In a run with a key the items begin when it has a slot.
        item_rows.begin_items(snapshot, run.version.graph, plan.node, plan.found)


def _reset_rows(run: Run, tasks: TaskQuerySet) -> None:
    _keep_attempts(run, tasks)
    tasks.update(**transitions.reset())


def _skip_rows(run: Run, tasks: TaskQuerySet, reason: str) -> None:
    _keep_attempts(run, tasks)
    tasks.update(**transitions.skipped_by_user(reason))


def _keep_attempts(run: Run, tasks: TaskQuerySet) -> None:
    """Copy the last attempts of tasks into rows of their own, before the reset clears the tasks' columns."""
    outcomes = [When(status=status, then=Value(outcome.value)) for status, outcome in _KEPT.items()]
    insert_from(
        Attempt,
        tasks.filter(status__in=_KEPT, attempt__gt=0),
        task_id=F("pk"),
        number=F("attempt"),
        generation=Value(run.generation),
        outcome=Case(*outcomes),
        **{name: F(name) for name in ("worker", "error", "traceback", "started_at", "finished_at")},
    )
