"""Orders: what a caller asks to be started, checked before any row is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django_director.common import ids
from django_director.common.json_values import NotStorable, normalise
from django_director.conf import director
from django_director.definitions import payloads
from django_director.engine import transitions
from django_director.engine.concurrency import keys
from django_director.exceptions import Conflict, DirectorError, InvalidPayload
from django_director.graph import MAX_LEVELS, start_of
from django_director.models import Run, WorkflowVersion, users


@dataclass(frozen=True, kw_only=True)
class Order:
    """A run that is to be started, with arguments that were checked."""

    run_id: UUID
    """Chosen before the transaction: a try after a commit whose answer was lost must not start a second run."""
    version: WorkflowVersion
    payload: Any
    fields: dict[str, Any]
    not_before: datetime | None = None
    timeout: float | None = None
    """Seconds that the run may take; the limit of its definition counts too."""
    publish: bool = True


def make_order(
    version: WorkflowVersion, payload: object, *, timeout: float | None = None, **fields: object
) -> Order:
    """Check the payload and the size of a new run; ``fields`` are its columns. Raises what ``start`` raises."""
    _check_size(version)
    return Order(
        run_id=ids.new_run_id(),
        version=version,
        payload=checked_payload(version, payload),
        fields=fields,
        timeout=timeout,
    )


def time_limit(version: WorkflowVersion, other: float | None) -> float | None:
    """Return how many seconds a run may take: the shorter one of its definition's limit and an ``other`` limit."""
    limits = [limit for limit in (version.graph.definition.timeout, other) if limit is not None]
    return min(limits, default=None)


def with_key(order: Order) -> Order:
    """Add the key of `concurrency` to an order, if its definition has one. Raises ``InvalidPayload``."""
    graph = order.version.graph
    if graph.definition.concurrency is None:
        return order
    key = keys.key_of(graph, order.payload, new_run(order).facts)
    return replace(order, fields=order.fields | {"concurrency_key": key})


def earlier_run(order: Order) -> Run | None:
    """Find the run that was started with the idempotency key or the schedule's slot of this order."""
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


def _pk(row: Run | None) -> UUID | None:
    return None if row is None else row.pk


def new_run(order: Order) -> Run:
    """Return the row of an ordered run, which is not inserted yet."""
    run = Run(id=order.run_id, workflow=order.version.workflow, version=order.version, payload=order.payload)
    outcome = start_of(order.version.graph).found.outcome
    has_key = order.fields.get("concurrency_key") is not None
    for name, value in (order.fields | transitions.run_created(outcome, has_key=has_key)).items():
        setattr(run, name, value)
    return run


def checked_payload(version: WorkflowVersion, payload: object) -> object:
    """Check a payload; return it as a run of ``version`` gets it, with defaults. Raises ``InvalidPayload``."""
    try:
        value = normalise({} if payload is None else payload, director.MAX_PAYLOAD)
    except NotStorable as error:
        texts = ([{"path": "", "message": text}] for text in (str(error), error.plain))
        raise InvalidPayload(*texts) from error
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
