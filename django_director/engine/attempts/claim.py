"""Claim a task for a worker: an UPDATE that at most one worker wins, and a SELECT of what the task needs."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import OperationalError

from django_director import signals
from django_director.common import failpoints
from django_director.conf import director
from django_director.db.compiled import (
    can_pair,
)
from django_director.db.lock_limits import met_lock, row_seconds
from django_director.db.sessions import receiver_session
from django_director.db.transactions import PATIENCE, WORKER_PATIENCE, connection, statement
from django_director.definitions.call_plan import USES_ALL, USES_NONE, Uses
from django_director.engine import outbox, parking
from django_director.graph import Graph, Node, Outcome, Values, expand
from django_director.models import Run, Task, WorkflowVersion, graph_of
from django_director.status import TaskStatus

from . import claim_statements, inputs, payloads, tickets, unwritten_rows
from .inputs import Needs, Row
from .payloads import Payload
from .tickets import Ticket

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """The columns of a run that can't change while one of its tasks runs."""

    pk: UUID
    generation: int
    parent_task_id: UUID | None

    @classmethod
    def of(cls, run: Run, generation: int) -> RunSnapshot:
        """Return the snapshot of a run in one of its generations."""
        return cls(pk=run.pk, generation=generation, parent_task_id=run.parent_task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task that one worker runs. Every later write of the worker asks whether the row has this ``token``."""

    task_id: UUID
    token: int
    sequence: int
    attempt: int
    failures: int
    crashes: int
    reruns: int
    is_hook: bool
    run: RunSnapshot
    graph: Graph
    node: Node
    payload: Payload
    upstream: Any
    """The value that comes from the steps before, or ``None``: there is none, or the task does not use it."""
    map_index: int = -1
    """The item it is for; -1 outside of maps."""
    time_limit: float | None = None
    """Seconds after which the attempt is over."""
    too_large: int = 0
    """The size of what was not read of the results of maps, for it is over ``MAX_INPUT``."""
    values: Values | None = None
    """What is to be evaluated before the task runs."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """The names that ``values`` know."""
    message_task: UUID | None = None
    """The task whose id the message has, if it was claimed in a batch; ``None``: it is its own."""


def claim(
    ticket: Ticket,
    worker: str,
    time_limit: float | None = None,
    worker_key: int | None = None,
    uses: Callable[[Node], Uses] = lambda node: USES_ALL,
) -> Claim | None:
    """Claim the task of a message for a worker, given by its name and, if it gives signs of life, by its key.

    ``time_limit`` is how many seconds the worker gives a task whose step has no time limit of its own. ``uses``
    says which values the Celery task of a node can use.

    Returns ``None`` if the message is to be dropped: it is a duplicate or out of date, or its run was stopped or
    deleted. Raises ``UnfitMessage`` for a message that does not belong to the task that it names.
    """
    graph = graph_of_ticket(ticket)
    if graph is None:
        return None
    node = tickets.node_of(ticket, graph)
    token = secrets.randbits(63)
    failpoints.point("claim.before")
    limit = time_limit if node.timeout is None else node.timeout
    given = uses(node) if node.kind == "task" else USES_NONE
    needs = Needs.of(graph, node, given, payloads.kept(ticket.run_id, outbox.generation_of(ticket.sequence)))
    take = partial(_take, ticket, graph, node, needs, token, limit)
    rows = _take_or_leave(ticket, partial(take, worker=worker, worker_key=worker_key))
    if not rows:
        return None
    failpoints.point("claim.committed")
    if signals.task_started.receivers:
        send_started(ticket.task_id)
    claimed = assembled(ticket, graph, node, token, needs, rows, WORKER_PATIENCE)
    return claimed if limit is None else replace(claimed, time_limit=limit)


def graph_of_ticket(ticket: Ticket) -> Graph | None:
    """Return the graph of a message's version; ``None`` if its run was deleted. Raises ``UnfitMessage``."""
    try:
        return statement(partial(graph_of, ticket.version), patience=WORKER_PATIENCE)
    except WorkflowVersion.DoesNotExist:
        statement(partial(tickets.own_row, ticket), patience=WORKER_PATIENCE)
        return None


def _take_or_leave(ticket: Ticket, take: Callable[[], list[Row]]) -> list[Row]:
    """Take the task of a message; no rows where it is not to be run, or is locked by another session."""
    try:
        rows = statement(take, patience=WORKER_PATIENCE)
    except OperationalError as error:
        if not met_lock(error):
            raise
        # A worker that waited would soon wait with all its processes.
        unwritten_rows.insert_offer(ticket)
        logger.warning(
            "Task %s is locked by another database session; it is sent again when the lock has ended.",
            ticket.task_id,
            extra={"action": "keep", "run_id": str(ticket.run_id), "task": str(ticket.task_id)},
        )
        return []
    if not rows:
        # Mostly a duplicate. Of a paused run it must not be sent again and again.
        parking.defer_ids([ticket.task_id], patience=WORKER_PATIENCE)
    return rows


def send_started(task_id: UUID) -> None:
    """Send the signal ``task_started`` for a task that was claimed."""
    row = Task.objects.select_related("run").filter(pk=task_id)
    task = statement(row.get, patience=WORKER_PATIENCE)
    with receiver_session():
        signals.task_started.send_robust(sender=Task, task=task)


def of_row(task: Task) -> Claim:
    """Return the claim of a running task whose row was read with its run and version.

    It is enough to end the task, but has no values from the steps before.
    """
    graph = task.run.version.graph
    assert task.claim is not None
    return Claim(
        task_id=task.pk,
        token=task.claim,
        sequence=task.sequence,
        attempt=task.attempt,
        failures=task.failures,
        crashes=task.crashes,
        reruns=task.reruns,
        is_hook=task.is_hook,
        run=RunSnapshot.of(task.run, task.run.generation),
        graph=graph,
        node=graph.node(task.position),
        payload=Payload(task.run_id, generation=task.run.generation),
        upstream=None,
        map_index=task.map_index,
    )


def preview_claim(task: Task) -> Claim:
    """Show the claim that a worker would get for a task now, without claiming it.

    Its token is not valid, so nothing can be written with it. ``task`` was read with its run and version.
    """
    graph = task.run.version.graph
    node = graph.node(task.position)
    ticket = Ticket(
        task_id=task.pk,
        sequence=task.sequence,
        name=node.name,
        run_id=task.run_id,
        position=task.position,
        version=graph.content_hash,
        map_index=task.map_index,
    )
    needs = Needs.of(graph, node, USES_ALL, None)
    rows = statement(partial(inputs.read_rows, ticket, graph, node, needs))
    return assembled(ticket, graph, node, 0, needs, rows, PATIENCE)


def assembled(
    ticket: Ticket, graph: Graph, node: Node, token: int, needs: Needs, rows: list[Row], patience: float
) -> Claim:
    """Make the claim of a task from the rows that it needs."""
    values, size = needs.values, 0
    if made := graph.last_in(expand(needs.results)):
        read = partial(inputs.with_maps, ticket.run_id, made, rows)
        rows, size = statement(read, patience=patience)
    claimed = _claim_of(ticket, graph, node, token, needs, rows, size)
    if values is None:
        return claimed
    return replace(claimed, values=values, names=_names(ticket, claimed, values, rows, patience))


def _names(ticket: Ticket, claimed: Claim, values: Values, rows: list[Row], patience: float) -> dict[str, Any]:
    run: dict[str, Any] = {}
    if any(reference.root == "run" for reference in values.references):
        found = Run.objects.select_related("workflow").defer("payload").filter(pk=ticket.run_id)
        run = statement(found.get, patience=patience).facts
    outcomes = {row.position: Outcome(row.status, row.result, row.decision) for row in rows}
    names = values.names(outcomes, payload=claimed.payload.value if values.uses_payload else None, run=run)
    if claimed.map_index < 0:
        return names
    items = (row.item for row in rows if claimed.graph.node(row.position).takes_item)
    return names | {"item": next(items, None), "index": claimed.map_index}


def _take(
    ticket: Ticket, graph: Graph, node: Node, needs: Needs, token: int, limit: float | None, **by: object
) -> list[Row]:
    """Claim the task and read what it needs; return no rows if this message may not run it."""
    values = ticket.params | {"token": token} | by
    before = inputs.ids_before(ticket, node, needs.shape)
    kind = (director.LEASE, limit, node.is_hook, node.runs_on, row_seconds())
    if can_pair() and needs.is_alone and len(before) < 2:
        # A claim that a crash of the database undoes is made again. But a caller's transaction is not ours.
        may_be_undone = not connection().in_atomic_block
        wanted = (len(before), needs.has_item, needs.payload)
        taking = claim_statements.taking_and_reading(*kind, *wanted, may_be_undone)
        if rows := inputs.few_rows(taking, needs, **values, before=before[0] if before else None):
            return rows
    elif claim_statements.taking(*kind).execute(**values):
        return inputs.read_rows(ticket, graph, node, needs)
    # No row may also mean that the answer to our own UPDATE was lost with the connection.
    is_ours = tickets.own_row(ticket) == (TaskStatus.RUNNING, token)
    return inputs.read_rows(ticket, graph, node, needs) if is_ours else []


def _claim_of(
    ticket: Ticket, graph: Graph, node: Node, token: int, needs: Needs, found: list[Row], size: int
) -> Claim:
    rows = {row.pk: row for row in found}
    own = rows[ticket.task_id]
    return Claim(
        task_id=ticket.task_id,
        token=token,
        sequence=ticket.sequence,
        attempt=own.failures + own.crashes + 1,
        failures=own.failures,
        crashes=own.crashes,
        reruns=own.reruns,
        is_hook=node.is_hook,
        run=RunSnapshot(pk=ticket.run_id, generation=own.generation, parent_task_id=own.parent_task),
        graph=graph,
        node=node,
        payload=payloads.keep(ticket.run_id, needs.known, own.payload, outbox.generation_of(ticket.sequence)),
        upstream=own.item if needs.has_item else needs.shape.assemble({row.position: row.result for row in found}),
        map_index=ticket.map_index,
        too_large=size,
    )
