"""Start a run: its rows in a fixed number of statements, its first tasks published after commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, OperationalError

from django_director import signals
from django_director.common import failpoints, ids
from django_director.common.json_values import NotStorable, normalise
from django_director.common.suggestions import question
from django_director.conf import director
from django_director.db.compiled import TEXT, Param, Select, prepared
from django_director.db.lock_limits import met_lock
from django_director.db.sessions import receiver_session
from django_director.db.transactions import after_commit, connection, statement, transact
from django_director.definitions import payloads
from django_director.engine import history, outbox
from django_director.engine.arguments import (
    checked_comment,
    checked_key,
    checked_moment,
    checked_name,
    checked_text,
    checked_trigger,
    checked_user,
)
from django_director.engine.concurrency import admission, keys
from django_director.engine.flow import advance, hooks
from django_director.exceptions import (
    Conflict,
    DirectorError,
    InactiveWorkflow,
    InvalidPayload,
    LockedRow,
    UnknownWorkflow,
)
from django_director.graph import MAX_LEVELS, Span, roots_of, start_of
from django_director.models import Run, Workflow, WorkflowVersion, users
from django_director.status import RunStatus, TaskStatus, Trigger

from . import initial_rows

WORKFLOW_COLUMNS: Final = tuple(field.attname for field in Workflow._meta.concrete_fields)
VERSION_COLUMNS: Final = ("id", "workflow_id", "number", "content_hash", "path", "created_at")
"""Of a definition only what is compiled from it is needed, and that is kept per process."""

find_elsewhere: Callable[[str], bool] | None = None
"""Asked for a workflow that the database does not have, or not any more; says whether it has it now."""

_CHANGING: Final = (
    *("status", "stop", "error", "slot", "queued_at", "next_admission_at"),
    *("started_at", "finished_at", "deadline_at"),
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a caller of ``start`` asked for, checked."""

    run_id: UUID
    """Chosen before the transaction: a try after a commit whose answer was lost must not start a second run."""
    version: WorkflowVersion
    payload: Any
    fields: dict[str, Any]
    not_before: datetime | None = None
    timeout: float | None = None
    """Seconds, besides those of the definition."""
    publish: bool = True
    note: str = ""


def start(
    name: str | Workflow,
    payload: Any = None,
    *,
    comment: str = "",
    user: Any = None,
    idempotency_key: str | None = None,
    trigger: Trigger = Trigger.MANUAL,
    not_before: datetime | None = None,
    schedule: str | None = None,
    scheduled_for: datetime | None = None,
    sent_at: datetime | None = None,
    publish: bool = True,
    note: str = "",
) -> Run:
    """Start the workflow ``name``, which may also be its row, and return its run.

    Inside ``transaction.atomic()`` the run is committed or rolled back with it. With an ``idempotency_key``, or a
    ``schedule`` and its slot ``scheduled_for``, that was used before, the earlier run is returned with
    ``run.created`` false. ``not_before`` delays the first tasks. ``publish=False`` leaves them to the caller.
    ``note`` says what ``user`` did, for Django's history of the run: "Started (API)". Raises ``UnknownWorkflow``,
    ``InvalidPayload``, ``Conflict`` when the key was used with another payload, ``DirectorError`` for a key that
    is not 1 to 200 printable characters, and ``Misuse``, a ``TypeError``, for an argument of another type.
    """
    return start_version(
        current_version(checked_name(name)),
        payload,
        not_before=checked_moment("not_before", not_before),
        publish=publish,
        note=checked_text("note", note) or "",
        comment=checked_comment(comment),
        user=checked_user(user),
        idempotency_key=checked_key(idempotency_key),
        trigger=checked_trigger(trigger),
        schedule=checked_text("schedule", schedule),
        scheduled_for=checked_moment("scheduled_for", scheduled_for),
        sent_at=checked_moment("sent_at", sent_at),
    )


def start_version(
    version: WorkflowVersion,
    payload: Any,
    *,
    not_before: datetime | None = None,
    publish: bool = True,
    note: str = "",
    **fields: Any,
) -> Run:
    """Start one version; ``fields`` are columns of the run."""
    made = replace(order(version, payload, **fields), not_before=not_before, publish=publish, note=note)
    earlier = _earlier_run(made)
    if earlier is not None:
        return earlier
    made = with_key(made)
    try:
        run = _insert(made)
    except IntegrityError:
        # Our own commit, whose answer was lost; or somebody else used the key between our look and our insert.
        earlier = Run.objects.select_related("workflow", "version").filter(pk=made.run_id).first()
        earlier = earlier or _earlier_run(made)
        if earlier is None:
            raise
        return earlier
    except OperationalError as error:
        if not met_lock(error):
            raise
        raise LockedRow(f"the workflow “{version.workflow.name}”") from error
    if run.status == RunStatus.PENDING and not connection().in_atomic_block:
        # It may have got its slot since.
        run.refresh_from_db(fields=_CHANGING)
    return run


def order(version: WorkflowVersion, payload: Any, *, timeout: float | None = None, **fields: Any) -> Order:
    """Check what a run of ``version`` would be made of; ``fields`` are its columns. Raises as ``start`` does."""
    _check_size(version)
    return Order(
        run_id=ids.new_run_id(),
        version=version,
        payload=checked_payload(version, payload),
        fields=fields,
        timeout=timeout,
    )


def time_limit(version: WorkflowVersion, other: float | None) -> float | None:
    """Seconds that a run may take, by its definition and by an ``other`` limit."""
    limits = [limit for limit in (version.graph.definition.timeout, other) if limit is not None]
    return min(limits, default=None)


def workflow_named(name: str) -> Workflow | None:
    """The workflow of this name, active or not, with its current version. One query."""
    # No name holds NUL, and PostgreSQL refuses to be asked.
    found = [] if "\0" in name else _finding_workflow().rows(name=name)
    for row in found:
        workflow = Workflow.from_db(director.DATABASE, WORKFLOW_COLUMNS, row[: len(WORKFLOW_COLUMNS)])
        if workflow.current_version_id is not None:
            version = WorkflowVersion.from_db(director.DATABASE, VERSION_COLUMNS, row[len(WORKFLOW_COLUMNS) :])
            workflow.current_version, version.workflow = version, workflow
        return workflow
    return None


@prepared
def _finding_workflow() -> Select:
    version = (f"current_version__{name}" for name in VERSION_COLUMNS)
    named = Workflow.objects.filter(name=Param("name", TEXT))
    return Select(named.values_list(*WORKFLOW_COLUMNS, *version))


def current_version(workflow: Workflow | str) -> WorkflowVersion:
    """The version that a start of ``workflow`` takes now. Raises ``UnknownWorkflow`` or ``InactiveWorkflow``."""
    found = _stored(workflow) if isinstance(workflow, str) else workflow
    if found is None or found.current_version is None:
        name = str(workflow)
        near = question(name, Workflow.objects.active().values_list("name", flat=True))
        raise UnknownWorkflow(name, near or "“manage.py syncworkflows” stores what the files say")
    if not found.is_active:
        raise InactiveWorkflow(found.name)
    version: WorkflowVersion = found.current_version
    return version


def _stored(name: str) -> Workflow | None:
    found = workflow_named(name)
    if (found is None or not found.is_active) and find_elsewhere is not None and find_elsewhere(name):
        return workflow_named(name)
    return found


def counts_at_start(run: Run) -> dict[str, int] | None:
    """The number of tasks in each status as the start of ``run`` committed them; no query.

    ``None`` where they may have changed since: when the run had to wait for a slot.
    """
    if run.concurrency_key is not None:
        return None
    graph = run.version.graph
    found = start_of(graph).found
    counts = {TaskStatus.QUEUED: _size(found.ready)}
    counts |= {status: _size(spans) for status, spans in found.settled.items()}
    counts[TaskStatus.PENDING] = len(graph.nodes) - sum(counts.values())
    return {status.value: count for status, count in counts.items() if count}


def _size(spans: Iterable[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def checked_payload(version: WorkflowVersion, payload: Any) -> Any:
    """The payload as a run of ``version`` would have it, with defaults. Raises ``InvalidPayload``."""
    try:
        value = normalise({} if payload is None else payload, director.MAX_PAYLOAD)
    except NotStorable as error:
        raise InvalidPayload([{"path": "", "message": str(error)}]) from error
    return payloads.validate(version.graph.definition.schema, value)


def _check_size(version: WorkflowVersion) -> None:
    size = len(version.graph.nodes)
    if size > director.MAX_TASKS_PER_RUN:
        raise DirectorError(
            f"“{version.workflow.name}” has {size:,} tasks, "
            f'the limit is {director.MAX_TASKS_PER_RUN:,} (DIRECTOR["MAX_TASKS_PER_RUN"])'
        )
    largest = version.graph.largest
    if largest.parts > director.MAX_TASKS_PER_RUN or largest.levels > MAX_LEVELS:
        raise DirectorError(
            f"“{version.workflow.name}” passes on a list of {largest.parts:,} results in {largest.levels:,} "
            "levels: each wait and approval of a group repeats what the group received; "
            f'the limits are {director.MAX_TASKS_PER_RUN:,} (DIRECTOR["MAX_TASKS_PER_RUN"]) and {MAX_LEVELS}'
        )


def _earlier_run(order: Order) -> Run | None:
    """The run that already has this order's idempotency key or schedule slot."""
    runs = Run.objects.select_related("workflow", "version")
    run: Run | None = None
    key, slot = order.fields.get("idempotency_key"), order.fields.get("scheduled_for")
    if key is not None:
        run = runs.filter(workflow=order.version.workflow_id, idempotency_key=key).first()
        if run is not None and run.user_id != users.key_of(order.fields.get("user")):
            raise Conflict(f"the idempotency key “{key}” was used by another user")
        if run is not None and run.relaunched_from_id != _pk(order.fields.get("relaunched_from")):
            raise Conflict(f"the idempotency key “{key}” was used for another request, by run {run.pk}")
        if run is not None and run.payload != order.payload:
            raise Conflict(f"the idempotency key “{key}” was used with another payload, by run {run.pk}")
    if run is None and slot is not None:
        run = runs.filter(schedule=order.fields["schedule"], scheduled_for=slot).first()
    if run is not None:
        run.created = False
    return run


def _pk(row: Any) -> Any:
    return None if row is None else row.pk


def with_key(order: Order) -> Order:
    """The same with the key whose slots it needs, if any. Raises ``InvalidPayload``."""
    graph = order.version.graph
    if graph.definition.concurrency is None:
        return order
    key = keys.key_of(graph, order.payload, _new_run(order).facts)
    return replace(order, fields=order.fields | {"concurrency_key": key})


def _insert(order: Order) -> Run:
    graph = order.version.graph
    begins_now = order.not_before is None and graph.definition.concurrency is None
    is_usual = begins_now and start_of(graph).found.outcome is None
    if not (is_usual and initial_rows.fit_at_once(graph) and history.can_note(order.fields.get("user"))):
        return transact(partial(insert, order))
    # Inside a caller's transaction what the database refuses needs a savepoint.
    once = transact if connection().in_atomic_block else statement
    return once(partial(_insert_at_once, order))


def _insert_at_once(order: Order) -> Run:
    run, graph = _new_run(order), order.version.graph
    initial_rows.insert_at_once(run, graph, history.note(order.fields.get("user"), run, order.note))
    if connection().in_atomic_block:
        failpoints.point("start.inserted")
    return _begun(order, run)


def insert(order: Order) -> Run:
    """Insert an ordered run with all its rows, table by table; part of a transaction."""
    run, graph = _new_run(order), order.version.graph
    initial_rows.insert_run(run, time_limit(order.version, order.timeout), order.not_before)
    failpoints.point("start.inserted")
    initial_rows.insert_tasks(run, graph, order.not_before)
    initial_rows.insert_gates(run.pk, graph, start_of(graph).tallies)
    if run.is_finished:
        hooks.insert(run.pk, graph, RunStatus(run.status), generation=0)
        advance.tell_parent(run)
    user = order.fields.get("user")
    if order.note and not history.is_elsewhere(user):
        history.record(user, run, order.note)
    return _begun(order, run)


def _new_run(order: Order) -> Run:
    run = Run(id=order.run_id, workflow=order.version.workflow, version=order.version, payload=order.payload)
    for name, value in order.fields.items():
        setattr(run, name, value)
    outcome = start_of(order.version.graph).found.outcome
    waits = RunStatus.RUNNING if run.concurrency_key is None else RunStatus.PENDING
    run.status = outcome or waits
    return run


def _begun(order: Order, run: Run) -> Run:
    begins_now = order.publish and order.not_before is None
    if begins_now and run.status != RunStatus.PENDING:
        outbox.publish_after_commit(run, run.version.graph, roots_of(run.version.graph))
    after_commit(partial(_announce, run))
    if begins_now and run.status == RunStatus.PENDING:
        after_commit(partial(admission.try_start, run))
    user = order.fields.get("user")
    if order.note and history.is_elsewhere(user):
        # A line written at once would stay when the run is rolled back, and come twice when it is tried again.
        after_commit(partial(history.record, user, run, order.note))
    return run


def _announce(run: Run) -> None:
    failpoints.point("start.committed")
    with receiver_session():
        signals.run_started.send_robust(sender=Run, run=run)
        if run.is_finished:
            signals.run_finished.send_robust(sender=Run, run=run)
