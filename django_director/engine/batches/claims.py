"""Claim the tasks of a batch's message: one UPDATE for all of them, each with a token of its own."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import OperationalError
from django.db.models import F

from django_director.common import failpoints, ids
from django_director.conf import director
from django_director.db.compiled import (
    INTEGER,
    SOON_DURABLE,
    TEXT,
    UUID_FIELD,
    Param,
    Update,
    can_pair,
    prepared,
    wait_at_most,
)
from django_director.db.lock_limits import met_lock, row_seconds
from django_director.db.transactions import WORKER_PATIENCE, connection, statement
from django_director.definitions.call_plan import USES_ALL, Uses
from django_director.engine import parking, transitions
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import inputs, payloads, tickets
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.claim_statements import lets_begin
from django_director.engine.attempts.inputs import Needs, Row
from django_director.engine.attempts.tickets import Ticket
from django_director.graph import Block, Graph, Node
from django_director.models import Run, Task

logger = logging.getLogger(__name__)

_TOKEN_BITS: Final = 62
"""The token of a task of a batch is a number of the batch, and its own number is added to that."""


class Claimed(NamedTuple):
    """The tasks of a batch that a worker has claimed, in the order in which they run."""

    claims: list[Claim]
    since: datetime | None
    """When they were claimed, by the database's clock."""


NOTHING: Final = Claimed([], None)


def claim(
    ticket: Ticket,
    worker: str,
    worker_key: int | None = None,
    uses: Callable[[Node], Uses] = lambda node: USES_ALL,
) -> Claimed:
    """Claim the tasks of a batch's message for a worker, given by its name and its key.

    ``uses`` says which values the Celery task of a node can use.

    Those are left out that other workers have, that have ended, or that run alone. There are none if the message
    is to be dropped. Raises ``UnfitMessage`` for a message that does not belong to the task that it names.
    """
    graph = claims.graph_of_ticket(ticket)
    if graph is None:
        return NOTHING
    node = tickets.node_of(ticket, graph)
    block = Block(ticket.position, ticket.map_index, ticket.size)
    failpoints.point("batch.before")
    base = secrets.randbits(_TOKEN_BITS)
    taking = _taking(director.LEASE, node.runs_on, node.map_position is not None, row_seconds())
    take = partial(taking.execute, **_parameters(ticket, block), token=base, worker=worker, worker_key=worker_key)
    if not _take(ticket, take):
        return NOTHING
    found = statement(partial(_read, ticket, block, base), patience=WORKER_PATIENCE)
    if not found:
        # Mostly a duplicate. Of a paused run it must not be sent again and again.
        parking.defer_ids(block_ids(ticket.run_id, block), patience=WORKER_PATIENCE)
        return NOTHING
    failpoints.point("batch.claimed")
    return Claimed(list(_made(ticket, graph, found, uses(node))), found[0].started_at)


def _take(ticket: Ticket, take: Callable[[], int]) -> bool:
    """Claim what can be claimed; return ``False`` if a row is locked by another session."""
    try:
        statement(take, patience=WORKER_PATIENCE)
    except OperationalError as error:
        if not met_lock(error):
            raise
        # They are sent again after the grace.
        logger.warning(
            "A task of a batch of run %s is locked by another database session; the batch is sent again later.",
            ticket.run_id,
            extra={"action": "keep", "run_id": str(ticket.run_id), "task": str(ticket.task_id)},
        )
        return False
    return True


@prepared
def _taking(lease: float, runs_on: bool, has_items: bool, lock_seconds: float | None) -> Update:
    """Claim the tasks of a block.

    Parameters: those of a claim, ``first`` and ``end`` of the numbers of the tasks, and ``position``.
    """
    number = "map_index" if has_items else "position"
    block = {f"{number}__gte": Param("first", INTEGER), f"{number}__lt": Param("end", INTEGER)}
    if has_items:
        block["position"] = Param("position", INTEGER)
    rows = Task.objects.filter(run_id=Param("run", UUID_FIELD), sequence=Param("sequence", INTEGER), **block)
    rows = rows.filter(is_hook=False).queued().filter(lets_begin(False, runs_on))
    if lock_seconds is not None:
        rows = rows.filter(wait_at_most(lock_seconds))
    if can_pair() and not connection().in_atomic_block:
        rows = rows.filter(SOON_DURABLE)
    changes = transitions.claimed(
        token=Param("token", INTEGER) + F(number),
        worker=Param("worker", TEXT),
        worker_key=Param("worker_key", INTEGER),
        lease=lease,
        timeout=None,
    )
    return Update(rows, **changes)


def block_ids(run_id: UUID, block: Block) -> list[UUID]:
    """Return the ids of the tasks of a block; some may not exist."""
    if block.item < 0:
        return [ids.task_id(run_id, position) for position in block.positions]
    return [ids.item_id(run_id, block.position, index) for index in block.indexes]


def _parameters(ticket: Ticket, block: Block) -> dict[str, Any]:
    numbers = block.positions if block.item < 0 else block.indexes
    values = {name: value for name, value in ticket.params.items() if name != "task"}
    return values | {"first": numbers.start, "end": numbers.stop, "position": block.position}


class _Own(NamedTuple):
    """The columns of a claimed task."""

    pk: UUID
    position: int
    map_index: int
    status: str
    item: Any
    failures: int
    crashes: int
    reruns: int
    claim: int
    started_at: datetime


def _read(ticket: Ticket, block: Block, base: int) -> list[_Own]:
    """Read the tasks that were claimed under the number ``base``, in the order in which they run."""
    rows = Task.objects.filter(pk__in=block_ids(ticket.run_id, block), sequence=ticket.sequence).running()
    mine = rows.filter(claim__range=(base, base + (1 << 32))).order_by("position", "map_index")
    return [_Own(*row) for row in mine.values_list(*_Own._fields)]


def _made(ticket: Ticket, graph: Graph, found: list[_Own], uses: Uses) -> Iterator[Claim]:
    """Make the claims of tasks. What they have in common is read once, and they share it."""
    reading = Run.objects.filter(pk=ticket.run_id).values_list("generation", "parent_task")
    of_run = statement(reading.get, patience=WORKER_PATIENCE)
    common = _Common(graph)
    for own in found:
        node = graph.node(own.position)
        needs = Needs.of(graph, node, uses, payloads.kept(ticket.run_id, of_run[0]))
        single = replace(ticket, task_id=own.pk, position=own.position, map_index=own.map_index, size=1)
        rows = [_row(own, of_run), *common.rows(single, node, needs)]
        made = claims.assembled(single, graph, node, own.claim, needs, rows, WORKER_PATIENCE)
        yield replace(made, message_task=ticket.task_id)


def _row(own: _Own, of_run: tuple[Any, ...]) -> Row:
    counted = own.failures, own.crashes, own.reruns
    generation, parent_task = of_run
    # The payload is read when the first of them uses it.
    return Row(own.pk, own.position, own.status, None, *counted, generation, parent_task, None, own.item)


class _Common:
    """The rows that the tasks of a batch receive or name, each read once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[object, list[Row]] = {}

    def rows(self, ticket: Ticket, node: Node, needs: Needs) -> list[Row]:
        """Return the rows of other tasks that a task needs."""
        if node.map_position is not None:
            key: object = node.position
            read = partial(inputs.outside_rows, ticket, self._graph, node, needs)
        else:
            key = (needs.shape, None if needs.values is None else node.position)
            read = partial(self._before, ticket, node, needs)
        if key not in self._known:
            self._known[key] = statement(read, patience=WORKER_PATIENCE)
        return self._known[key]

    def _before(self, ticket: Ticket, node: Node, needs: Needs) -> list[Row]:
        rows = inputs.read_rows(ticket, self._graph, node, needs)
        return [row for row in rows if row.pk != ticket.task_id]
