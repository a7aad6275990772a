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
from django_director.prepared import INTEGER, TEXT, UUID_FIELD, Param, Select, Update, prepared
from django_director.querysets import TaskQuerySet, positions_in
from django_director.status import RunStatus, Stop, TaskStatus

from .transactions import WORKER_PATIENCE, statement


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
    token = secrets.randbits(63)
    faults.point("claim.before")
    if not statement(partial(_take, ticket, worker, token), patience=WORKER_PATIENCE):
        return None
    faults.point("claim.committed")
    claimed = statement(partial(_load, ticket, graph, token), patience=WORKER_PATIENCE)
    if signals.task_started.receivers:
        row = Task.objects.select_related("run").filter(pk=ticket.task_id)
        task = statement(row.get, patience=WORKER_PATIENCE)
        signals.task_started.send_robust(sender=Task, task=task)
    return claimed


def _take(ticket: Ticket, worker: str, token: int) -> bool:
    taken = _taking(director.LEASE).execute(
        task=ticket.task_id, sequence=ticket.sequence, token=token, worker=worker
    )
    # No row may also mean that the answer to our own UPDATE was lost with the connection.
    return bool(taken) or Task.objects.filter(pk=ticket.task_id, claim=token).running().exists()


@prepared
def _taking(lease: float) -> Update:
    may_start = Run.objects.filter(pk=OuterRef("run_id"), status=RunStatus.RUNNING, stop=Stop.NONE, paused_at=None)
    own = Task.objects.filter(pk=Param("task", UUID_FIELD), sequence=Param("sequence", INTEGER)).queued()
    return Update(
        own.filter(Q(is_hook=True) | Exists(may_start)),
        status=TaskStatus.RUNNING,
        claim=Param("token", INTEGER),
        lease_until=later(lease),
        attempt=F("failures") + F("crashes") + 1,
        worker=Param("worker", TEXT),
        started_at=Now(),
        next_dispatch_at=None,
        unknown_since=None,
    )


def _load(ticket: Ticket, graph: Graph, token: int) -> Claim | None:
    node = graph.node(ticket.position)
    is_hook = ticket.position >= len(graph.nodes)
    rows = {row.pk: row for row in _rows(ticket, node, is_hook)}
    own = rows[ticket.task_id]
    if own.claim != token:
        return None
    return Claim(
        task_id=ticket.task_id,
        token=token,
        sequence=ticket.sequence,
        attempt=own.attempt,
        failures=own.failures,
        crashes=own.crashes,
        reruns=own.reruns,
        is_hook=is_hook,
        run=RunSnapshot(pk=ticket.run_id, generation=own.generation),
        graph=graph,
        node=node,
        payload=own.payload,
        upstream=node.shape.assemble({row.position: row.result for row in rows.values()}),
    )


class _Row(NamedTuple):
    """A task's own row, with its run's payload, or one of whose result its input is made."""

    pk: UUID
    position: int
    result: Any
    claim: int | None
    attempt: int
    failures: int
    crashes: int
    reruns: int
    generation: int
    payload: Any


def _rows(ticket: Ticket, node: Node, is_hook: bool) -> list[_Row]:
    if is_hook or not node.upstream:
        rows = _reading_alone().rows(task=ticket.task_id)
    elif len(node.upstream) == 1:
        before = ids.task_id(ticket.run_id, node.upstream[0])
        rows = _reading_with_one().rows(task=ticket.task_id, before=before)
    else:
        wanted = positions_in((*node.shape.spans(), (node.position, node.position + 1)))
        many = Task.objects.filter(wanted, run_id=ticket.run_id, is_hook=False)
        rows = list(_columns(many, ticket.task_id))
    return [_Row._make(row) for row in rows]


@prepared
def _reading_alone() -> Select:
    task = Param("task", UUID_FIELD)
    return Select(_columns(Task.objects.filter(pk=task), task))


@prepared
def _reading_with_one() -> Select:
    task, before = Param("task", UUID_FIELD), Param("before", UUID_FIELD)
    return Select(_columns(Task.objects.filter(pk__in=[task, before]), task))


def _columns(tasks: TaskQuerySet, own: UUID | Param) -> Any:
    payload = Case(When(pk=own, then=F("run__payload")), output_field=JSONField())
    return (
        tasks.order_by()
        .annotate(own_payload=payload)
        .values_list(
            "pk",
            "position",
            "result",
            "claim",
            "attempt",
            "failures",
            "crashes",
            "reruns",
            "run__generation",
            "own_payload",
        )
    )
