"""Start a run: its rows in a fixed number of statements, its first tasks published after commit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError

from django_director import faults, ids, signals
from django_director.clock import Now, later
from django_director.conf import director
from django_director.definitions import payloads
from django_director.exceptions import Conflict, DirectorError, InactiveWorkflow, InvalidPayload, UnknownWorkflow
from django_director.graph import Graph, Span
from django_director.jsonvalues import NotStorable, normalise
from django_director.models import Gate, Run, Task, Workflow, WorkflowVersion
from django_director.status import RunStatus, TaskStatus, Trigger

from . import hooks, outbox
from .transactions import after_commit, transact

BATCH: Final = 5_000


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
    run = Run(
        id=order.run_id,
        workflow=order.version.workflow,
        version=order.version,
        payload=order.payload,
        created_at=Now(),
        started_at=Now(),
        **order.fields,
    )
    if graph.definition.timeout is not None:
        run.deadline_at = _deadline(graph.definition.timeout, order.not_before)
    if not graph.nodes:
        run.status, run.finished_at = RunStatus.SUCCESS, Now()
    run.save(force_insert=True, using=director.DATABASE)
    run.refresh_from_db(fields=["created_at", "started_at", "finished_at", "deadline_at"])
    faults.point("start.inserted")
    Task.objects.bulk_create(_tasks(run, graph, order), batch_size=BATCH)
    Gate.objects.bulk_create(
        [Gate(run=run, seq=gate.seq, remaining=gate.total) for gate in graph.gates], batch_size=BATCH
    )
    if order.publish and order.not_before is None:
        outbox.publish_after_commit(run, graph, graph.roots)
    if not graph.nodes:
        hooks.insert(run.pk, graph, RunStatus.SUCCESS, generation=0)
    after_commit(partial(_announce, run))
    return run


def _deadline(timeout: float, not_before: datetime | None) -> Any:
    """When the run has to have ended; the time until a delayed start does not count."""
    return later(timeout) if not_before is None else not_before + timedelta(seconds=timeout)


def _announce(run: Run) -> None:
    faults.point("start.committed")
    signals.run_started.send_robust(sender=Run, run=run)
    if run.is_finished:
        signals.run_finished.send_robust(sender=Run, run=run)


def _tasks(run: Run, graph: Graph, order: Order) -> list[Task]:
    tasks = [
        Task(
            id=ids.task_id(run.pk, node.position),
            run=run,
            position=node.position,
            step=node.step.id,
            name=node.step.task,
            queue=node.step.queue or "",
        )
        for node in graph.nodes
    ]
    for task, is_inline in _roots(tasks, graph.roots):
        if order.not_before is not None:
            task.status, task.not_before = TaskStatus.WAITING, order.not_before
            continue
        task.status = TaskStatus.QUEUED
        task.sequence = outbox.first_sequence(0)
        task.queued_at = run.created_at
        grace = director.DISPATCH_GRACE if is_inline else 0
        task.next_dispatch_at = run.created_at + timedelta(seconds=grace)
    return tasks


def _roots(tasks: list[Task], roots: tuple[Span, ...]) -> Iterator[tuple[Task, bool]]:
    inline = outbox.INLINE
    for start_at, stop_at in roots:
        for position in range(start_at, stop_at):
            yield tasks[position], inline > 0
            inline -= 1
