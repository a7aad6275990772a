"""The outbox: tasks are queued in a transaction, and their messages are sent after its commit.

The rows of queued tasks are the outbox: what is not sent then, the supervisor sends later.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from django.db.models import Case, F, Q, When
from django.db.models.expressions import Combinable, Expression
from django.db.models.functions import Coalesce

from django_director.common import ids
from django_director.conf import director
from django_director.db.compiled import INTEGER, UUID_FIELD, Param, Update, prepared
from django_director.db.functions import Now, later
from django_director.db.transactions import after_commit, update_unlocked
from django_director.dispatch import publisher
from django_director.dispatch.messages import Message, Refusal
from django_director.graph import Graph, Span, expand
from django_director.graph.items import Place
from django_director.models import Task, graph_of
from django_director.models.positions import batches
from django_director.models.querysets import TaskQuerySet

from . import blocks, transitions
from .offer_times import OFFERS, next_offer

logger = logging.getLogger(__name__)

INLINE: Final = 200
"""How many messages one transaction publishes itself; the supervisor sends the rest in batches."""
CHUNK: Final = 5_000
"""How many tasks one statement names by their ids."""
UNSENT: Final = F("queued_at")
"""``next_dispatch_at`` of a queued task whose message was not sent: the supervisor sends it next."""
STRIDE: Final = 1 << 16
"""Sequences of one generation of a run lie between its number times this and the next."""


class RunRef(Protocol):
    """What must be known of a run to queue its tasks."""

    @property
    def pk(self) -> UUID: ...
    @property
    def generation(self) -> int: ...
    @property
    def parent_task_id(self) -> UUID | None: ...


def first_sequence(generation: int) -> int:
    """Return the sequence of a task's first message in a generation of its run.

    Known without reading the row: a reset is allowed on a finished run only, so nobody can have raised it.
    """
    return generation * STRIDE + 1


def generation_of(sequence: int) -> int:
    """Return the generation of the run in which a task was queued with ``sequence``."""
    return sequence // STRIDE


def queue(run: RunRef, graph: Graph, ready: Sequence[Span]) -> None:
    """Queue the pending tasks of these spans in one statement, and publish their messages after the commit."""
    if not ready:
        return
    positions = sum(stop - start for start, stop in ready)
    sequence = first_sequence(run.generation)
    if len(ready) == 1 and positions <= INLINE:
        ((start, stop),) = ready
        queued = queueing(director.DISPATCH_GRACE).execute(run=run.pk, start=start, stop=stop, sequence=sequence)
    else:
        pending = Task.objects.filter(run_id=run.pk).pending()
        changes = transitions.queued(sequence, _next_dispatch(positions, ready))
        queued = sum(pending.at(batch).update(**changes) for batch in batches(ready))
    if queued == positions:
        publish_after_commit(run, graph, ready)
    # If fewer were queued, a stop has settled the others: the supervisor sends what is left, if anything.


@prepared
def queueing(grace: float) -> Update:
    """Return the statement that queues the pending tasks of a span.

    Parameters: ``run``, ``start``, ``stop``, ``sequence``.
    """
    span = Q(position__gte=Param("start", INTEGER), position__lt=Param("stop", INTEGER))
    pending = Task.objects.filter(span, run=Param("run", UUID_FIELD), is_hook=False).pending()
    return Update(pending, **transitions.queued(Param("sequence", INTEGER), later(grace)))


def publish_after_commit(run: RunRef, graph: Graph, ready: Sequence[Span]) -> None:
    """Publish the messages of the first ``INLINE`` of these tasks after the commit."""
    sequence = first_sequence(run.generation)
    messages = [message_for(run.pk, graph, position, sequence) for position in islice(expand(ready), INLINE)]
    if messages:
        after_commit(partial(publish, messages))


def queue_items(run: RunRef, graph: Graph, places: Sequence[Place]) -> None:
    """Queue pending tasks in maps, given by item and position, and publish their messages after the commit.

    One statement for each ``CHUNK`` of them.
    """
    if len(places) == 1:
        queue_item(run, graph, *places[0])
        return
    inline = INLINE * max(1, graph.node(places[0][1]).batch) if places else 0
    published, rest = places[:inline], places[inline:]
    if published and _queue_items(run, published, later(director.DISPATCH_GRACE)) == len(published):
        sequence = first_sequence(run.generation)
        messages = [item_message(run.pk, graph, position, index, sequence) for index, position in published]
        after_commit(partial(publish, messages))
    for start in range(0, len(rest), CHUNK):
        _queue_items(run, rest[start : start + CHUNK], Now())


def queue_item(run: RunRef, graph: Graph, index: int, position: int) -> None:
    """Queue a pending task in a map, and publish its message after the commit."""
    values = {"next": ids.item_id(run.pk, position, index), "sequence": first_sequence(run.generation)}
    if queueing_item(director.DISPATCH_GRACE).execute(**values):
        publish_item_after_commit(run, graph, index, position)


def publish_item_after_commit(run: RunRef, graph: Graph, index: int, position: int) -> None:
    """Publish the message of a task in a map that was queued for the first time in this generation of its run."""
    message = item_message(run.pk, graph, position, index, first_sequence(run.generation))
    after_commit(partial(publish, [message]))


def _queue_items(run: RunRef, places: Sequence[Place], next_dispatch_at: Combinable) -> int:
    pending: TaskQuerySet = Task.objects.at_places(run.pk, places).pending()
    return pending.update(**transitions.queued(first_sequence(run.generation), next_dispatch_at))


@prepared
def queueing_item(grace: float) -> Update:
    """Return the statement that queues one pending task: parameters ``next``, ``sequence``."""
    return queueing_one(grace, Param("next", UUID_FIELD))


def queueing_one(grace: float, key: Expression) -> Update:
    """Return the statement that queues the pending task with this id: parameter ``sequence``."""
    pending = Task.objects.filter(pk=key).pending()
    return Update(pending, **transitions.queued(Param("sequence", INTEGER), later(grace)))


def item_message(run_id: UUID, graph: Graph, position: int, index: int, sequence: int) -> Message:
    """Return the message of a task in a map whose row was not read."""
    task_id = ids.item_id(run_id, position, index)
    return message(graph, position, task_id=task_id, sequence=sequence, run_id=run_id, map_index=index)


def message_for(run_id: UUID, graph: Graph, position: int, sequence: int) -> Message:
    """Return the message of a task whose row was not read."""
    return message(
        graph,
        position,
        task_id=ids.task_id(run_id, position),
        sequence=sequence,
        run_id=run_id,
    )


def message(
    graph: Graph,
    position: int,
    *,
    task_id: UUID,
    sequence: int,
    run_id: UUID,
    retries: int = 0,
    map_index: int = -1,
) -> Message:
    """Return the message of the task at ``position``, with the time limit and the priority of its step."""
    node = graph.node(position)
    return Message(
        name=node.name,
        queue=node.queue,
        time_limit=node.timeout,
        priority=node.priority,
        position=position,
        version=graph.content_hash,
        task_id=task_id,
        sequence=sequence,
        run_id=run_id,
        retries=retries,
        map_index=map_index,
        # A task that runs once more, or whose batch was given up, runs alone.
        batch=node.batch if sequence % STRIDE == 1 else 0,
    )


class TaskRow(Protocol):
    """The columns of a task that its message is made of."""

    @property
    def pk(self) -> UUID: ...
    @property
    def run_id(self) -> UUID: ...
    @property
    def position(self) -> int: ...
    @property
    def map_index(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def failures(self) -> int: ...


def message_of(task: TaskRow, version: str, *, sequence: int | None = None) -> Message:
    """Return the message of a task whose row was read."""
    return message(
        graph_of(version),
        task.position,
        task_id=task.pk,
        sequence=task.sequence if sequence is None else sequence,
        run_id=task.run_id,
        retries=task.failures,
        map_index=task.map_index,
    )


def publish(messages: Sequence[Message]) -> None:
    """Send messages. The supervisor sends what the broker did not take."""
    if any(message.batch for message in messages):
        messages = blocks.together(messages)
    publication = publisher.publish(messages)
    if not publication.untried and not publication.refused:
        return
    try:
        expedite(task_id for message in publication.untried for task_id in message.task_ids)
        put_off(publication.refused)
    except (DatabaseError, InterfaceError) as error:
        # Committed before: these rows are due after the grace in any case.
        late = len(messages) - len(publication.sent)
        logger.warning("%d tasks are sent after the grace: %s", late, error)


def expedite(task_ids: Iterable[UUID]) -> int:
    """Make queued tasks due now, except those whose rows are locked; return how many."""
    chosen = list(task_ids)
    if not chosen:
        return 0
    rows = Task.objects.filter(pk__in=chosen).queued()
    return update_unlocked(rows, lambda queued: queued.queued().update(next_dispatch_at=UNSENT), limit=CHUNK)


def put_off(refused: Iterable[Refusal]) -> None:
    """Note why messages of tasks can't be sent, and let the supervisor try again later."""
    by_reason: defaultdict[tuple[str, bool], list[UUID]] = defaultdict(list)
    for refusal in refused:
        by_reason[refusal.why, refusal.is_final] += refusal.message.task_ids
    for (why, is_final), task_ids in by_reason.items():
        changes: dict[str, Any] = {
            # Before `unsendable_since`: MySQL evaluates assignments in order.
            "next_dispatch_at": next_offer("unsendable_since") if is_final else later(OFFERS[-1]),
            # What may pass by itself does not fail, however long it takes.
            "unsendable_since": Coalesce("unsendable_since", Now()) if is_final else Now(),
            "reason": why,
        }
        for start in range(0, len(task_ids), CHUNK):
            chunk = Task.objects.queued().filter(pk__in=task_ids[start : start + CHUNK])
            update_unlocked(chunk, partial(_put_off, changes), limit=CHUNK)


def _put_off(changes: dict[str, Any], tasks: TaskQuerySet) -> int:
    return tasks.queued().update(**changes)


def _next_dispatch(positions: int, ready: Sequence[Span]) -> Combinable:
    grace = later(director.DISPATCH_GRACE)
    if positions <= INLINE:
        return grace
    last = next(islice(expand(ready), INLINE - 1, None))
    return Case(When(position__lte=last, then=grace), default=Now())
