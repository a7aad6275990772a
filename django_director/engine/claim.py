"""Claim a task for a worker: one UPDATE that says yes or no, and one SELECT for what the task needs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Case, Exists, F, JSONField, OuterRef, Q, When

from django_director import faults, ids, signals
from django_director.clock import Now, later
from django_director.conf import director
from django_director.graph import Graph, Node, Outcome, Span, Values, expand, of_node
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
from django_director.status import STOP_SPARING, RunStatus, Stop, TaskStatus

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
    values: Values | None = None
    """What is to be evaluated before the task runs."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """The names that ``values`` know."""


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
    values = of_node(graph, node)
    rows = statement(partial(_take, ticket, node, values, worker, token), patience=WORKER_PATIENCE)
    if not rows:
        # Mostly a duplicate. Of a paused run it must not be sent again and again.
        hold.park_ids([ticket.task_id])
        return None
    faults.point("claim.committed")
    if signals.task_started.receivers:
        row = Task.objects.select_related("run").filter(pk=ticket.task_id)
        task = statement(row.get, patience=WORKER_PATIENCE)
        signals.task_started.send_robust(sender=Task, task=task)
    claimed = _claim_of(ticket, graph, node, token, rows)
    if values is None:
        return claimed
    return replace(claimed, values=values, names=_names(ticket, claimed, values, rows))


def _names(ticket: Ticket, claimed: Claim, values: Values, rows: list[_Row]) -> dict[str, Any]:
    run: dict[str, Any] = {}
    if any(reference.root == "run" for reference in values.references):
        found = Run.objects.select_related("workflow").defer("payload").filter(pk=ticket.run_id)
        run = statement(found.get, patience=WORKER_PATIENCE).facts
    outcomes = {row.position: Outcome(row.status, row.result, row.decision) for row in rows}
    return values.names(outcomes, payload=claimed.payload, run=run)


def _take(ticket: Ticket, node: Node, wanted: Values | None, worker: str, token: int) -> list[_Row]:
    """Claim the task and read what it needs; no rows: it is not this message's to run."""
    values = {"task": ticket.task_id, "sequence": ticket.sequence, "token": token, "worker": worker}
    before = _before(ticket, node)
    kind = (director.LEASE, node.timeout, node.runs_on)
    if can_pair() and wanted is None and len(before) < 2:
        taking = _taking_and_reading(*kind, len(before), connection().in_atomic_block)
        if rows := taking.rows(**values, before=before[0] if before else None):
            return [_Row(*row) for row in rows]
    elif _taking(*kind).execute(**values):
        return _rows(ticket, node, wanted)
    # No row may also mean that the answer to our own UPDATE was lost with the connection.
    mine = Task.objects.filter(pk=ticket.task_id, claim=token).running()
    return _rows(ticket, node, wanted) if mine.exists() else []


@prepared
def _taking(lease: float, timeout: float | None, runs_on: bool) -> Update:
    return Update(_claimable(runs_on), **_taken(lease, timeout))


@prepared
def _taking_and_reading(
    lease: float, timeout: float | None, runs_on: bool, upstream: int, durable: bool
) -> Select:
    # A claim that a crash of the database undoes is made again. Inside a transaction the rest of it is not ours.
    rows = _claimable(runs_on) if durable else _claimable(runs_on).filter(SOON_DURABLE)
    return _reading(upstream).after(Update(rows, **_taken(lease, timeout)))


def _claimable(runs_on: bool) -> TaskQuerySet:
    may_start = Run.objects.filter(pk=OuterRef("run_id"), status=RunStatus.RUNNING, paused_at=None)
    may_start = may_start.filter(stop__in=STOP_SPARING) if runs_on else may_start.filter(stop=Stop.NONE)
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
        is_hook=node.is_hook,
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
    status: str
    result: Any
    failures: int
    crashes: int
    reruns: int
    generation: int
    payload: Any
    decision: Any = None
    """Read only where an expression uses one."""


def _rows(ticket: Ticket, node: Node, values: Values | None) -> list[_Row]:
    before = _before(ticket, node)
    if values is None and len(before) < 2:
        rows = _reading(len(before)).rows(task=ticket.task_id, before=before[0] if before else None)
        return [_Row(*row) for row in rows]
    used = () if values is None else values.tasks
    if not node.is_hook:
        return _many(ticket, (*node.shape.spans(), *used, (node.position, node.position + 1)), node, values)
    own = _reading(len(before)).rows(task=ticket.task_id, before=before[0] if before else None)
    return [*(_Row(*row) for row in own), *(_many(ticket, used, node, values) if used else ())]


def _many(ticket: Ticket, wanted: Sequence[Span], node: Node, values: Values | None) -> list[_Row]:
    many = Task.objects.filter(run_id=ticket.run_id).at(wanted)
    if values is None or values.tasks == values.results:
        return [_Row(*row) for row in _columns(many, ticket.task_id)]
    # A status may be that of many tasks, whose results are not wanted.
    whole = positions_in((*node.shape.spans(), *values.results, (node.position, node.position + 1)))
    many = many.annotate(wanted=Case(When(whole, then=F("result")), output_field=JSONField()))
    more = ("decision",) if values.has_decisions else ()
    return [_Row(*row) for row in _columns(many, ticket.task_id, "wanted", *more)]


def _before(ticket: Ticket, node: Node) -> list[UUID]:
    """The ids of up to two of the tasks whose results it receives: beyond one nothing is known beforehand."""
    positions = islice(expand(node.shape.spans()), 2)
    if node.is_hook:
        generation = outbox.generation_of(ticket.sequence)
        return [ids.hook_id(ticket.run_id, generation, position) for position in positions]
    return [ids.task_id(ticket.run_id, position) for position in positions]


@prepared
def _reading(upstream: int) -> Select:
    task, before = Param("task", UUID_FIELD), Param("before", UUID_FIELD)
    return Select(_columns(Task.objects.filter(pk__in=[task, before][: 1 + upstream]), task))


def _columns(tasks: TaskQuerySet, own: UUID | Param, result: str = "result", *more: str) -> Any:
    payload = Case(When(pk=own, then=F("run__payload")), output_field=JSONField())
    return (
        tasks.order_by()
        .annotate(own_payload=payload)
        .values_list(
            "pk",
            "position",
            "status",
            result,
            "failures",
            "crashes",
            "reruns",
            "run__generation",
            "own_payload",
            *more,
        )
    )
