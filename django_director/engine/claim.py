"""Claim a task for a worker: one UPDATE that says yes or no, and one SELECT for what the task needs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Case, Exists, F, JSONField, OuterRef, Q, When

from django_director import faults, ids, signals
from django_director.clock import Now, later
from django_director.conf import director
from django_director.graph import Graph, Node
from django_director.models import Run, Task, WorkflowVersion, graph_of
from django_director.prepared import (
    INTEGER,
    SOON_DURABLE,
    TEXT,
    UUID_FIELD,
    Param,
    Select,
    Update,
    can_pair,
    prepared,
)
from django_director.querysets import TaskQuerySet, positions_in
from django_director.status import RunStatus, Stop, TaskStatus

from . import hold, outbox
from .transactions import WORKER_PATIENCE, connection, statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a message says."""

    task_id: UUID
    sequence: int
    run_id: UUID
    position: int
    version: str

    @classmethod
    def read(cls, message_id: str, header: dict[str, Any]) -> Ticket:
        """Read a message's id and header. Raises ``ValueError`` or ``KeyError`` for what is no message of ours."""
        task_id, sequence = ids.parse_message_id(message_id)
        return cls(
            task_id=task_id,
            sequence=sequence,
            run_id=UUID(header["run"]),
            position=int(header["position"]),
            version=str(header["version"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """What of a run can't change while one of its tasks runs."""

    pk: UUID
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task in the hands of one worker. ``token`` is its fence: every later write asks for it."""

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
    payload: Any
    upstream: Any
    """The value that comes from the steps before, or ``None``."""


def claim(ticket: Ticket, worker: str) -> Claim | None:
    """Claim the task of a message for ``worker``.

    ``None``: the message is a duplicate, out of date, or its run was stopped or deleted; it is to be dropped.
    """
    try:
        graph = statement(partial(graph_of, ticket.version), patience=WORKER_PATIENCE)
    except WorkflowVersion.DoesNotExist:
        return None
    node = graph.node(ticket.position)
    token = secrets.randbits(63)
    faults.point("claim.before")
    rows = statement(partial(_take, ticket, node, worker, token), patience=WORKER_PATIENCE)
    if not rows:
        # Mostly a duplicate. Of a paused run it must not be sent again and again.
        hold.park_ids([ticket.task_id])
        return None
    faults.point("claim.committed")
    if signals.task_started.receivers:
        row = Task.objects.select_related("run").filter(pk=ticket.task_id)
        task = statement(row.get, patience=WORKER_PATIENCE)
        signals.task_started.send_robust(sender=Task, task=task)
    return _claim_of(ticket, graph, node, token, rows)


def _take(ticket: Ticket, node: Node, worker: str, token: int) -> list[_Row]:
    """Claim the task and read what it needs; no rows: it is not this message's to run."""
    values = {"task": ticket.task_id, "sequence": ticket.sequence, "token": token, "worker": worker}
    if can_pair() and len(node.upstream) < 2:
        is_atomic = connection().in_atomic_block
        taking = _taking_and_reading(director.LEASE, node.step.timeout, len(node.upstream), is_atomic)
        if rows := taking.rows(**values, before=_before(ticket, node)):
            return [_Row._make(row) for row in rows]
    elif _taking(director.LEASE, node.step.timeout).execute(**values):
        return _rows(ticket, node)
    # No row may also mean that the answer to our own UPDATE was lost with the connection.
    mine = Task.objects.filter(pk=ticket.task_id, claim=token).running()
    return _rows(ticket, node) if mine.exists() else []


@prepared
def _taking(lease: float, timeout: float | None) -> Update:
    return Update(_claimable(), **_taken(lease, timeout))


@prepared
def _taking_and_reading(lease: float, timeout: float | None, upstream: int, durable: bool) -> Select:
    # A claim that a crash of the database undoes is made again. Inside a transaction the rest of it is not ours.
    rows = _claimable() if durable else _claimable().filter(SOON_DURABLE)
    return _reading(upstream).after(Update(rows, **_taken(lease, timeout)))


def _claimable() -> TaskQuerySet:
    may_start = Run.objects.filter(pk=OuterRef("run_id"), status=RunStatus.RUNNING, stop=Stop.NONE, paused_at=None)
    own = Task.objects.filter(pk=Param("task", UUID_FIELD), sequence=Param("sequence", INTEGER)).queued()
    return own.filter(Q(is_hook=True) | Exists(may_start))


def _taken(lease: float, timeout: float | None) -> dict[str, Any]:
    deadline = {} if timeout is None else {"deadline_at": later(timeout)}
    return deadline | {
        "status": TaskStatus.RUNNING,
        "claim": Param("token", INTEGER),
        "lease_until": later(lease),
        "attempt": F("failures") + F("crashes") + 1,
        "worker": Param("worker", TEXT),
        "started_at": Now(),
        "next_dispatch_at": None,
        "unknown_since": None,
    }


def _claim_of(ticket: Ticket, graph: Graph, node: Node, token: int, found: list[_Row]) -> Claim:
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
        is_hook=node.junction < 0,
        run=RunSnapshot(pk=ticket.run_id, generation=own.generation),
        graph=graph,
        node=node,
        payload=own.payload,
        upstream=node.shape.assemble({row.position: row.result for row in found}),
    )


class _Row(NamedTuple):
    """A task's own row, with its run's payload, or one of whose result its input is made."""

    pk: UUID
    position: int
    result: Any
    failures: int
    crashes: int
    reruns: int
    generation: int
    payload: Any


def _rows(ticket: Ticket, node: Node) -> list[_Row]:
    if len(node.upstream) < 2:
        rows = _reading(len(node.upstream)).rows(task=ticket.task_id, before=_before(ticket, node))
    else:
        wanted = positions_in((*node.shape.spans(), (node.position, node.position + 1)))
        many = Task.objects.filter(wanted, run_id=ticket.run_id, is_hook=False)
        rows = list(_columns(many, ticket.task_id))
    return [_Row._make(row) for row in rows]


def _before(ticket: Ticket, node: Node) -> UUID | None:
    if not node.upstream:
        return None
    if node.junction < 0:
        return ids.hook_id(ticket.run_id, outbox.generation_of(ticket.sequence), node.upstream[0])
    return ids.task_id(ticket.run_id, node.upstream[0])


@prepared
def _reading(upstream: int) -> Select:
    task, before = Param("task", UUID_FIELD), Param("before", UUID_FIELD)
    return Select(_columns(Task.objects.filter(pk__in=[task, before][: 1 + upstream]), task))


def _columns(tasks: TaskQuerySet, own: UUID | Param) -> Any:
    payload = Case(When(pk=own, then=F("run__payload")), output_field=JSONField())
    return (
        tasks.order_by()
        .annotate(own_payload=payload)
        .values_list(
            "pk",
            "position",
            "result",
            "failures",
            "crashes",
            "reruns",
            "run__generation",
            "own_payload",
        )
    )
