"""Start a run: its rows in a fixed number of statements, its first tasks published after commit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, repeat
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError

from django_director import faults, ids, signals
from django_director.clock import Now
from django_director.conf import director
from django_director.definitions import payloads
from django_director.exceptions import Conflict, DirectorError, InactiveWorkflow, InvalidPayload, UnknownWorkflow
from django_director.graph import Graph
from django_director.inserts import Insert, InsertMany, as_text
from django_director.jsonvalues import NotStorable, normalise
from django_director.models import Gate, Run, Task, Workflow, WorkflowVersion
from django_director.prepared import UUID_FIELD, Param, prepared
from django_director.status import RunStatus, TaskStatus, Trigger

from . import hooks, outbox
from .transactions import after_commit, transact

State = tuple[str, int, str | None, str | None, str | None]

TASK_COLUMNS: Final = (
    *("id", "position", "step", "name", "queue"),
    *("status", "sequence", "queued_at", "next_dispatch_at", "not_before"),
)
"""In which the tasks of a new run differ; the last five are a ``State``."""
PENDING: Final[State] = (TaskStatus.PENDING, 0, None, None, None)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a caller of ``start`` asked for, checked."""

    run_id: UUID
    """Chosen before the transaction: a try after a commit whose answer was lost must not start a second run."""
    version: WorkflowVersion
    payload: Any
    fields: dict[str, Any]
    not_before: datetime | None
    publish: bool


def start(
    name: str,
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
) -> Run:
    """Start the workflow ``name`` and return its run.

    Inside ``transaction.atomic()`` the run is committed or rolled back with it. With an ``idempotency_key``, or a
    ``schedule`` and its slot ``scheduled_for``, that was used before, the earlier run is returned with
    ``run.created`` false. ``not_before`` delays the first tasks. ``publish=False`` leaves them to the caller.
    Raises ``UnknownWorkflow``, ``InvalidPayload``, and ``Conflict`` when the key was used with another payload.
    """
    version = current_version(name)
    return start_version(
        version,
        payload,
        not_before=not_before,
        publish=publish,
        comment=comment[:1000],
        user=user if user is not None and user.pk else None,
        idempotency_key=idempotency_key or None,
        trigger=trigger,
        schedule=schedule,
        scheduled_for=scheduled_for,
        sent_at=sent_at,
    )


def start_version(
    version: WorkflowVersion,
    payload: Any,
    *,
    not_before: datetime | None = None,
    publish: bool = True,
    **fields: Any,
) -> Run:
    """Start one version; ``fields`` are columns of the run."""
    order = Order(
        run_id=ids.new_run_id(),
        version=version,
        payload=_checked_payload(version, payload),
        fields=fields,
        not_before=not_before,
        publish=publish,
    )
    _check_size(version)
    earlier = _earlier_run(order)
    if earlier is not None:
        return earlier
    try:
        run = transact(partial(_insert, order))
    except IntegrityError:
        # Our own commit, whose answer was lost; or somebody else used the key between our look and our insert.
        earlier = Run.objects.select_related("workflow", "version").filter(pk=order.run_id).first()
        earlier = earlier or _earlier_run(order)
        if earlier is None:
            raise
        return earlier
    return run


def current_version(name: str) -> WorkflowVersion:
    """The version that a start of ``name`` takes now. Raises ``UnknownWorkflow`` or ``InactiveWorkflow``."""
    # Of a definition only what is compiled from it is needed, and that is kept per process.
    workflows = Workflow.objects.select_related("current_version").defer(
        "current_version__definition", "current_version__source"
    )
    workflow = workflows.filter(name=name).first()
    if workflow is None or workflow.current_version is None:
        known = Workflow.objects.active().values_list("name", flat=True)
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"did you mean “{nearest[0]}”?" if nearest else "“manage.py syncworkflows” stores what the files say"
        )
        raise UnknownWorkflow(name, hint)
    if not workflow.is_active:
        raise InactiveWorkflow(name, "it has left the workflow files")
    version: WorkflowVersion = workflow.current_version
    version.workflow = workflow
    return version


def _checked_payload(version: WorkflowVersion, payload: Any) -> Any:
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


def _earlier_run(order: Order) -> Run | None:
    """The run that already has this order's idempotency key or schedule slot."""
    runs = Run.objects.select_related("workflow", "version")
    run: Run | None = None
    key, slot = order.fields.get("idempotency_key"), order.fields.get("scheduled_for")
    if key is not None:
        run = runs.filter(workflow=order.version.workflow_id, idempotency_key=key).first()
        if run is not None and run.payload != order.payload:
            raise Conflict(f"the idempotency key “{key}” was used with another payload, by run {run.pk}")
    if run is None and slot is not None:
        run = runs.filter(schedule=order.fields["schedule"], scheduled_for=slot).first()
    if run is not None:
        run.created = False
    return run


def _insert(order: Order) -> Run:
    graph = order.version.graph
    run = Run(id=order.run_id, workflow=order.version.workflow, version=order.version, payload=order.payload)
    for name, value in order.fields.items():
        setattr(run, name, value)
    if not graph.nodes:
        run.status = RunStatus.SUCCESS
    _insert_run(run)
    faults.point("start.inserted")
    _inserting_tasks().execute(_task_rows(run, graph, order), run=run.pk)
    _inserting_gates().execute(((gate.seq, gate.total) for gate in graph.gates), run=run.pk)
    if order.publish and order.not_before is None:
        outbox.publish_after_commit(run, graph, graph.roots)
    if not graph.nodes:
        hooks.insert(run.pk, graph, RunStatus.SUCCESS, generation=0)
    after_commit(partial(_announce, run))
    return run


def _announce(run: Run) -> None:
    faults.point("start.committed")
    signals.run_started.send_robust(sender=Run, run=run)
    if run.is_finished:
        signals.run_finished.send_robust(sender=Run, run=run)


def _insert_run(run: Run) -> None:
    values = {field.attname: getattr(run, field.attname) for field in Run._meta.concrete_fields}
    run.created_at = run.started_at = _inserting_run(run.is_finished).execute(**values)
    run.finished_at = run.created_at if run.is_finished else None
    run._state.adding, run._state.db = False, director.DATABASE


@prepared
def _inserting_run(is_finished: bool) -> Insert:
    given = {field.attname: Param(field.attname, field) for field in Run._meta.concrete_fields}
    now = ("created_at", "started_at", "finished_at") if is_finished else ("created_at", "started_at")
    return Insert(Run, **given | dict.fromkeys(now, Now()))


@prepared
def _inserting_tasks() -> InsertMany:
    return InsertMany(Task, TASK_COLUMNS, run_id=Param("run", UUID_FIELD))


@prepared
def _inserting_gates() -> InsertMany:
    return InsertMany(Gate, ("seq", "remaining"), run_id=Param("run", UUID_FIELD))


def _task_rows(run: Run, graph: Graph, order: Order) -> Iterator[tuple[str | int | None, ...]]:
    """The values of ``TASK_COLUMNS``, made as they are needed: a run may have 100,000 tasks."""
    roots = _root_states(run, order.not_before)
    for node in graph.nodes:
        state = PENDING if node.upstream else next(roots)
        step = node.step
        yield (ids.task_hex(run.pk, node.position), node.position, step.id, step.task, step.queue or "", *state)


def _root_states(run: Run, not_before: datetime | None) -> Iterator[State]:
    """The state of each task that is ready at the start, in order of position."""
    moment: Any = Task._meta.get_field("not_before")
    if not_before is not None:
        return repeat((TaskStatus.WAITING, 0, None, None, as_text(moment, not_before)))
    now, sequence = run.created_at, outbox.first_sequence(0)
    grace = now + timedelta(seconds=director.DISPATCH_GRACE)
    published, due = (
        (TaskStatus.QUEUED, sequence, as_text(moment, now), as_text(moment, next_dispatch_at), None)
        for next_dispatch_at in (grace, now)
    )
    return chain(repeat(published, outbox.INLINE), repeat(due))
