"""Child workflows: a step starts a child run, or resumes the one it had, and waits for its end without a worker.

The step's row names the child that it waits for (``Task.child_run``), the child's row says that somebody waits
(``Run.is_awaited``); both are written in the transaction that lets the step wait, so there is no moment at which
a child runs and its step does not know. No transaction changes two runs that exist. The child's end reaches the
step after its commit (``report``), and a stop goes down in the same way (``stopping.stop_children``); the
supervisor repeats both.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any, Final
from uuid import UUID

from django_director.access.authorization import may_start_as_step
from django_director.access.families import cause_told_above, told_above
from django_director.common import failpoints
from django_director.common.json_values import JsonValue, NotStorable, normalise
from django_director.db.functions import later
from django_director.db.transactions import WORKER_PATIENCE, after_commit, in_transaction, statement, transact
from django_director.definitions import WorkflowStep
from django_director.engine import lineage, pausing, reactions, stopping, transitions
from django_director.engine.attempts import endings
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.avoided_runs import avoided_run_ids, work_on_each
from django_director.engine.concurrency import admission
from django_director.engine.launch import named_workflows, orders, start
from django_director.engine.launch.orders import Order
from django_director.engine.outbox import RunRef
from django_director.engine.reset import apply, plans
from django_director.engine.reset.plans import Plan
from django_director.exceptions import ChildNotStarted, DirectorError, InvalidPayload, InvalidResult, NotAllowed
from django_director.models import Attempt, Run, Task, Workflow
from django_director.models.querysets import RunQuerySet
from django_director.models.results import size_limit
from django_director.status import STOP_SPARING, RunStatus, Stop, TaskStatus, Trigger


class Refused(DirectorError):
    """A child run can't be resumed: no slot is free, and its `concurrency` says that it does not wait."""


LOOK_AGAIN: Final = 2.0
"""Seconds until a step looks again whether the child that it had has ended."""


def start_or_resume(claim: Claim, payload: object) -> Run | None:
    """Start a child run for a claimed step, or resume the one it had, and let the step wait for it.

    A failed or canceled child run is resumed if ``payload`` is still the same. Returns the child run if it has
    succeeded already. Raises ``ChildNotStarted`` and ``Refused``.
    """
    last = statement(partial(_last_child, claim), patience=WORKER_PATIENCE)
    if last is not None and not last.is_finished:
        if last.stop in STOP_SPARING:
            transact(partial(endings.suspend, claim), patience=WORKER_PATIENCE)
        else:
            # The child run is being canceled, for the step's time was up: it can go on when that is done.
            again = later(LOOK_AGAIN)
            transact(partial(endings.suspend, claim, not_before=again), patience=WORKER_PATIENCE)
        return None
    if last is None or not _has_payload(last, payload):
        order = _order(claim, payload)
        _begin(claim, order)
        return None
    if last.status == RunStatus.SUCCESS:
        return last
    if refusal := statement(partial(admission.no_room, last), patience=WORKER_PATIENCE):
        raise Refused(told_above(str(TaskStatus.SKIPPED), f": {refusal}"))
    plan = statement(partial(plans.of_retry, last), patience=WORKER_PATIENCE)
    _resume(claim, plan, secrets.randbits(63))
    return None


def result_of(child: Run, limit: int) -> JsonValue:
    """Return the result of a child run, as it becomes the result of its step, of at most ``limit`` bytes.

    Raises ``InvalidResult``.
    """
    result, error = child.read_result()
    if error:
        raise InvalidResult(told_above(f"{_named(child)} has no result", f": {error}"))
    try:
        return normalise(result, limit)
    except NotStorable as cause:
        raise InvalidResult(
            f"the result of {_named(child)} can't be passed on: {cause}; let its definition say `result:`"
        ) from cause


@reactions.run_ended.register
def report_after(run: RunRef) -> None:
    """Let the step that waits for a child run end as soon as the end of that run is committed."""
    if run.parent_task_id is not None:
        after_commit(partial(report, run.pk))


def report(child_id: UUID) -> bool:
    """End the step that waits for a finished child run as that has ended; return whether the step ended.

    The supervisor repeats this.
    """
    failpoints.point("report.before")
    found = statement(partial(_with_step, Run.objects.reporting().filter(pk=child_id)))
    if found is None:
        return False
    # Read together: for the child to change the step must be claimed, and then it is not as it was read.
    child, step = found
    told = _waits_for(step, child) and _tell(child, step)
    failpoints.point("report.told")
    if told or not (_waits_for(step, child) or step.status == TaskStatus.RUNNING):
        # Whoever runs the step may have seen the child before its end, and let the step wait now.
        same = Run.objects.reporting().filter(pk=child.pk, generation=child.generation)
        statement(lambda: same.update(is_awaited=False))
    return told


def report_all(limit: int) -> int:
    """End the steps whose child runs have ended, ``limit`` at most; return how many steps ended."""
    ended = (
        Run.objects.reporting()
        .exclude(pk__in=avoided_run_ids())
        .order_by("finished_at")
        .values_list("pk", flat=True)
    )
    return work_on_each(list(ended[:limit]), report, lambda child_id: child_id)


@reactions.step_time_up.register
def fail_late_step(child_id: UUID) -> None:
    """Fail the step whose time is up; its child run is being canceled for that."""
    children = Run.objects.filter(pk=child_id, stop=Stop.STEP_TIMEOUT)
    found = statement(partial(_with_step, children))
    if found is not None and _waits_for(found[1], found[0]):
        child, step = found
        transact(partial(endings.fail_row, step, _failure(child, step)))


def _last_child(claim: Claim) -> Run | None:
    chosen = Task.objects.filter(pk=claim.task_id).values("child_run")
    child: Run | None = Run.objects.select_related("workflow", "version").filter(pk__in=chosen).first()
    return child


def _has_payload(child: Run, payload: object) -> bool:
    try:
        return bool(orders.checked_payload(child.version, payload) == child.payload)
    except InvalidPayload:
        return False


def _order(claim: Claim, payload: object) -> Order:
    step = _step(claim.node.step)
    parents = Run.objects.select_related("workflow").defer("payload")
    parent = statement(partial(parents.get, pk=claim.run.pk), patience=WORKER_PATIENCE)
    try:
        version = named_workflows.current_version(step.workflow)
        _check_recursion(parent, version.workflow)
        _check_groups(parent, version.workflow)
        order = orders.make_order(
            version,
            payload,
            timeout=step.timeout,
            trigger=Trigger.WORKFLOW,
            user_id=parent.user_id,
            user_name=parent.user_name,
            parent_task_id=claim.task_id,
            is_awaited=True,
        )
        return orders.with_key(order)
    except DirectorError as error:
        # Of a child that others may not see, also its schema, its key and the names above it are its own affair.
        sentence, instead = f"“{step.workflow}” can't be started", f" ({type(error).__name__})"
        text = told_above(sentence, f": {error}", instead=instead)
        raise ChildNotStarted(text) from cause_told_above(error)


def _check_recursion(parent: Run, workflow: Workflow) -> None:
    """Refuse a workflow that would start itself, which checks of the files do not see across versions."""
    above = [parent, *lineage.ancestors(parent)]
    if any(run.workflow_id == workflow.pk for run in above):
        names = [run.workflow.name for run in reversed(above)]
        names = names[names.index(workflow.name) :]
        raise DirectorError(f"the workflow would start itself: {' → '.join([*names, workflow.name])}")


def _check_groups(parent: Run, workflow: Workflow) -> None:
    """Refuse a child that the user who started the root run may not start."""
    if workflow.allowed_groups and parent.user_id and not may_start_as_step(parent.user, workflow):
        groups = ", ".join(workflow.allowed_groups)
        raise NotAllowed(f"user “{parent.user_name}”, who started the run, is in none of the groups {groups}")


@in_transaction(patience=WORKER_PATIENCE)
def _begin(claim: Claim, order: Order) -> None:
    if not endings.suspend(claim, child_run=order.run_id):
        # The step is not ours any more; or it waits already, by our own commit whose answer was lost.
        return
    after_commit(partial(failpoints.point, "child.committed"))
    # Before the first tasks are published.
    after_commit(partial(_follow, order.run_id, claim.run.pk))
    run = start.insert(order)
    if run.status == RunStatus.PENDING and order.timeout is not None:
        # The step's time limit counts also while the child run waits for its slot.
        Run.objects.filter(pk=run.pk).update(deadline_at=later(order.timeout))
    failpoints.point("child.inserted")


@in_transaction(patience=WORKER_PATIENCE)
def _resume(claim: Claim, plan: Plan, token: int) -> None:
    if not endings.suspend(claim):
        return
    after_commit(partial(failpoints.point, "child.committed"))
    after_commit(partial(_follow, plan.run.pk, claim.run.pk))
    apply.apply_plan(plan, token, timeout=_step(claim.node.step).timeout)
    failpoints.point("child.inserted")


def _follow(child_id: UUID, parent_id: UUID) -> None:
    """Pause or stop a new child run if its parent was paused or stopped while the child began."""
    pausing.follow_parent(child_id)
    if Run.objects.filter(pk=parent_id).exclude(stop__in=STOP_SPARING).exists():
        stopping.continue_stop(parent_id)


def _step(step: object) -> WorkflowStep:
    assert isinstance(step, WorkflowStep)
    return step


def _with_step(children: RunQuerySet) -> tuple[Run, Task] | None:
    heavy = ("payload", "version__source", "version__definition")
    run = ("parent_task__run__payload", "parent_task__run__version__source")
    child: Run | None = (
        children.select_related("workflow", "version", "parent_task__run__version")
        .defer(*heavy, *run, "parent_task__run__version__definition", "parent_task__traceback")
        .first()
    )
    return None if child is None or child.parent_task is None else (child, child.parent_task)


def _waits_for(step: Task, child: Run) -> bool:
    return step.status == TaskStatus.WAITING and step.child_run == child.pk and step.not_before is None


def _tell(child: Run, step: Task) -> bool:
    parent = step.run
    if child.status == RunStatus.SUCCESS:
        try:
            result = result_of(child, size_limit(parent.version.graph, step.position))
        except InvalidResult as error:
            failure = Failure(error=f"InvalidResult: {error}")
            return transact(partial(endings.fail_row, step, failure))
        return _succeed(step, result)
    if child.stop == Stop.SKIP:
        said, colon, why = child.error.partition(": ")
        reason = told_above(said, colon + why)
        return transact(partial(endings.end_row, step, TaskStatus.SKIPPED, reason=reason[:500]))
    if child.status == RunStatus.CANCELED and parent.stop not in STOP_SPARING:
        canceled = statement(partial(_cancel, step, parent.stop))
        stopping.continue_stop(parent.pk)
        return canceled
    return transact(partial(endings.fail_row, step, _failure(child, step)))


@in_transaction()
def _succeed(step: Task, result: object) -> bool:
    columns: dict[str, Any] = {"result": result, "error": "", "traceback": "", "reason": ""}
    return endings.end_row(step, TaskStatus.SUCCESS, **columns)


def _cancel(step: Task, why: str) -> bool:
    """Cancel a step of a stopped run whose child run has ended; the sweep has left it alone until then."""
    row = Task.objects.awaiting_child().filter(pk=step.pk, sequence=step.sequence)
    reason = step.reason or stopping.REASONS.get(why, "canceled")
    return bool(row.update(**transitions.canceled_with_child(reason)))


def _failure(child: Run, step: Task) -> Failure:
    if child.stop == Stop.STEP_TIMEOUT:
        seconds = _step(step.run.version.graph.node(step.position).step).timeout
        error = f"TimeLimitExceeded: {_named(child)} took longer than {seconds:g} s"
        return Failure(error=error, outcome=Attempt.Outcome.TIMED_OUT)
    if child.status == RunStatus.CANCELED:
        why = f" ({child.error})" if child.error else ""
        return Failure(error=told_above(f"ChildCanceled: {_named(child)} was canceled", why))
    return Failure(error=told_above(f"ChildFailed: {_named(child)} failed", f": {child.error}"))


def _named(child: Run) -> str:
    return f"run {child.pk} of “{child.workflow.name}”"
