"""Maps: the tasks for the items of a map are inserted in one transaction, thousands in a statement.

An item is stored in the row of its first task, where each task reads its own. In the map's row every task would
read the items of all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, Final

from django_director.common import failpoints, ids
from django_director.conf import director
from django_director.db.bulk_inserts import BATCH, InsertMany
from django_director.db.compiled import INTEGER, TEXT, UUID_FIELD, Param, prepared
from django_director.db.functions import Now, later
from django_director.db.transactions import WORKER_PATIENCE, after_commit, in_transaction, statement
from django_director.engine import outbox, stopping, transitions
from django_director.engine.attempts import endings
from django_director.engine.attempts.claim import Claim
from django_director.engine.flow import item_rows
from django_director.engine.flow import items as work
from django_director.exceptions import InvalidItems
from django_director.graph import (
    Graph,
    Node,
    Outcome,
    StoredList,
    Tally,
    items,
    items_at_once,
    of_over,
    stored_list,
)
from django_director.models import Task
from django_director.status import TASK_FINISHED, TaskStatus

from .stored_items import StoredItems, check_size

MAX_TEXT: Final = 1024 * 1024
"""Characters of items that one statement inserts; one item may be longer."""
PUBLISHED: Final = "published"
DUE: Final = "due"
"""Queued: with a message that is sent at once, and without one."""

Row = tuple[str, int, str | None]
"""Id, index and item of a task."""


def items_of(claim: Claim) -> Collection[str]:
    """Return the items of a claimed map, each as JSON text. Raises ``InvalidItems`` and ``ExpressionError``."""
    place = stored_list(claim.graph, claim.node)
    if place is None:
        assert claim.values is not None
        return read_items(claim.values.evaluate("over", claim.names))
    stored = StoredItems(claim.run.pk, place)
    if not stored.is_list:
        return read_items(_evaluate_over(claim, place))
    stored.check()
    return stored


def _evaluate_over(claim: Claim, place: StoredList) -> object:
    """Return what stands where a list should be. Raises ``ExpressionError`` if nothing does."""
    values = of_over(claim.graph, claim.node)
    row = Task.objects.filter(pk=ids.task_id(claim.run.pk, place.position)).values_list("status", "result")
    outcome = Outcome(*statement(row.get, patience=WORKER_PATIENCE))
    return values.evaluate("over", values.names({place.position: outcome}))


def read_items(value: object) -> list[str]:
    """Turn the value of ``over`` into items, each as JSON text. Raises ``InvalidItems``."""
    if not isinstance(value, list):
        raise InvalidItems(f"`over` must give a list, and gives {_named(value)}")
    texts, size = [], 0
    for index, item in enumerate(value):
        texts.append(check_size(index, item))
        size += len(texts[-1])
        if size > director.MAX_INPUT:
            raise InvalidItems(
                f"the items that `over` gives have over {director.MAX_INPUT:,} bytes together "
                '(DIRECTOR["MAX_INPUT"]); let them say where the data is'
            )
    return texts


def expand(claim: Claim, texts: Collection[str]) -> bool:
    """Insert the tasks for the items of a claimed map, and let it wait for them; ``False`` if it is not ours.

    Raises ``InvalidItems`` when the run would have too many tasks.
    """
    _check_number(claim, len(texts))
    return _expand(claim, texts)


def _check_number(claim: Claim, count: int) -> None:
    body = claim.node.body or (0, 0)
    new = count * (body[1] - body[0])
    known = statement(Task.objects.filter(run_id=claim.run.pk).steps().count, patience=WORKER_PATIENCE)
    if known + new > director.MAX_TASKS_PER_RUN:
        raise InvalidItems(
            f"with {new:,} tasks for {count:,} items the run would have {known + new:,} tasks, the limit is "
            f'{director.MAX_TASKS_PER_RUN:,} (DIRECTOR["MAX_TASKS_PER_RUN"])'
        )


@in_transaction(patience=WORKER_PATIENCE)
def _expand(claim: Claim, texts: Collection[str]) -> bool:
    count, node = len(texts), claim.node
    if not endings.suspend(claim, map_count=count):
        return False
    beginning = items.beginning(claim.graph, node)
    _insert_tasks(claim, beginning, texts)
    failpoints.point("map.inserted")
    tally = beginning.tally
    ended = {} if tally is None else dict.fromkeys(range(count), tally)
    item_rows.write_counters(claim.run.pk, node, items.Items(ended=ended), count)
    if beginning.ready is not None:
        _publish(claim, beginning.ready, count)
    if tally is not None:
        # No rule of what is in it ever holds.
        whole = Tally(count, tally.failed * count, tally.skipped * count)
        if work.end_map(claim.run, claim.graph, node, items.outcome(whole, count), whole.failed, count):
            after_commit(partial(stopping.continue_stop, claim.run.pk))
    after_commit(partial(failpoints.point, "map.committed"))
    return True


def _insert_tasks(claim: Claim, beginning: items.Way, texts: Collection[str]) -> None:
    graph, node, count = claim.graph, claim.node, len(texts)
    assert node.body is not None
    for position in range(*node.body):
        own = texts if position == node.body[0] else repeat(None, count)
        rows = _rows(claim, position, own)
        if position == beginning.ready:
            begun = _begun(node, count)
            inline = outbox.INLINE * max(1, graph.node(position).batch)
            _insert(claim, graph, position, PUBLISHED, rows, min(begun, inline))
            _insert(claim, graph, position, DUE, rows, max(0, begun - inline))
            _insert(claim, graph, position, TaskStatus.PENDING, rows, count - begun)
        else:
            status = beginning.settled.get(position, TaskStatus.PENDING)
            _insert(claim, graph, position, status, rows, count)


def _begun(node: Node, count: int) -> int:
    """Return how many of the ``count`` items of a map are queued when it begins."""
    at_once = items_at_once(node)
    return count if at_once is None else min(at_once, count)


def _rows(claim: Claim, position: int, texts: Iterable[str | None]) -> Iterator[Row]:
    for index, text in enumerate(texts):
        yield ids.item_hex(claim.run.pk, position, index), index, text


def _insert(claim: Claim, graph: Graph, position: int, state: str, rows: Iterator[Row], number: int) -> None:
    """Insert the next ``number`` of ``rows``."""
    step = graph.node(position)
    statement = _inserting(state, director.DISPATCH_GRACE)
    for batch in _batches(rows, number):
        statement.execute(
            batch,
            run=claim.run.pk,
            position=position,
            step=step.step.id,
            name=step.name,
            queue=step.queue,
            sequence=outbox.first_sequence(claim.run.generation),
            # A new key for what an earlier expansion has done: it had fewer, as each rerun is a new generation.
            reruns=claim.run.generation,
        )


def _batches(rows: Iterator[Row], number: int) -> Iterator[list[Row]]:
    """Divide the next ``number`` of ``rows`` into statements of moderate size."""
    while number:
        batch: list[Row] = []
        size = 0
        while len(batch) < min(number, BATCH) and size < MAX_TEXT:
            batch.append(next(rows))
            size += len(batch[-1][2] or "")
        number -= len(batch)
        yield batch


@prepared
def _inserting(state: str, grace: float) -> InsertMany:
    given: dict[str, Any] = {name: Param(name, TEXT) for name in ("step", "name", "queue")}
    given |= {name: Param(name, INTEGER) for name in ("position", "reruns")}
    varying = ("id", "map_index", "item")
    return InsertMany(Task, varying, run_id=Param("run", UUID_FIELD), **given, **_first_state(state, grace))


def _first_state(state: str, grace: float) -> dict[str, Any]:
    if state in (PUBLISHED, DUE):
        return transitions.queued(Param("sequence", INTEGER), later(grace) if state == PUBLISHED else Now())
    pending = transitions.pending()
    return pending | transitions.settled(state) if state in TASK_FINISHED else pending


def _publish(claim: Claim, position: int, count: int) -> None:
    begun = _begun(claim.node, count)
    inline = outbox.INLINE * max(1, claim.graph.node(position).batch)
    sequence = outbox.first_sequence(claim.run.generation)
    messages = [
        outbox.item_message(claim.run.pk, claim.graph, position, index, sequence)
        for index in range(min(begun, inline))
    ]
    after_commit(partial(outbox.publish, messages))


def _named(value: object) -> str:
    """Return the name of a value's type in JSON."""
    if value is None:
        return "null"
    kinds: dict[type, str] = {bool: "true or false", dict: "a mapping", str: "text"}
    return kinds.get(type(value), "a number")
