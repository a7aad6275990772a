"""Advance a map when a task for one of its items has ended: the next task, the next item, or the map's end.

All of it is written in the transaction that ends the task. Rows are locked in this order: the task itself, the
counters of the items from the lowest to the topmost, the map's own row; then as in ``advance``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from django_director.common import ids
from django_director.db.compiled import INTEGER, UUID_FIELD, Param, Select, prepared
from django_director.db.transactions import after_commit, connection
from django_director.engine import outbox, transitions
from django_director.engine.outbox import RunRef
from django_director.graph import Graph, Node, Tally, has_lanes, items
from django_director.graph.items import Place
from django_director.models import Gate, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import TaskStatus

from . import advance, gates, held_items, lanes

QueryType = TypeVar("QueryType", bound=QuerySet[Any])

NEAR: Final = 4
"""How many times `max_parallel` the next item is at most away, where none takes much longer than the others. A
database that knows nothing of many new rows yet might read all that it is not told to leave out."""


def advance_item(run: RunRef, graph: Graph, node: Node, index: int, status: TaskStatus) -> bool:
    """Write what follows from the end of a task for an item: its next task, the next item, or the map's end.

    Returns whether the run is stopped by `fail_fast`. Its other tasks are not decided here then.
    """
    around = map_of(graph, node)
    is_fast = graph.definition.fail_fast
    if is_fast and not around.runs_on and advance.is_stopped(run.pk):
        return True
    way = items.onward(graph, node, status)
    if way.is_open:
        way.tally = _tally(run.pk, graph, node, index, way.settled)
    settled: dict[TaskStatus, list[Place]] = {}
    for position, new in way.settled.items():
        settled.setdefault(new, []).append((index, position))
    settle_places(run.pk, settled)
    if way.ready is not None:
        outbox.queue_item(run, graph, index, way.ready)
    stopped = way.tally is not None and _end_item(run, graph, around, index, way.tally)
    if is_fast and status == TaskStatus.FAILED and not node.is_forgiven:
        advance.fail_fast(run.pk)
        # Not if that was the end of the run.
        return advance.is_stopped(run.pk)
    return stopped


def map_of(graph: Graph, node: Node) -> Node:
    """Return the node of the map that a task inside it belongs to."""
    assert node.map_position is not None
    return graph.nodes[node.map_position]


def settle_places(run_id: UUID, settled: Mapping[TaskStatus, list[Place]]) -> None:
    """Write the statuses of tasks in maps that never run."""
    for status, places in settled.items():
        for start in range(0, len(places), outbox.CHUNK):
            chosen = Task.objects.at_places(run_id, places[start : start + outbox.CHUNK])
            chosen.pending().update(**transitions.settled(status))


def end_map(run: RunRef, graph: Graph, node: Node, status: TaskStatus, failed: int, count: int) -> bool:
    """End a map whose items have all ended, and advance its run; return whether `fail_fast` stops the run."""
    task_id = ids.task_id(run.pk, node.position)
    if (
        not Task.objects.filter(pk=task_id)
        .waiting()
        .update(**transitions.map_ended(status, error_of(status, failed, count)))
    ):
        # A stop was first.
        return False
    advance.announce_task(task_id)
    # What failed for an item has stopped the run, unless a reset has kept it: then nothing fails now.
    return advance.advance_run(run, graph, node.position, status, stops=False)


def error_of(status: TaskStatus, failed: int, count: int) -> str:
    """Return the error of a map with this status, of whose ``count`` items ``failed`` have failed."""
    return f"{failed:,} of {count:,} items failed" if status == TaskStatus.FAILED else ""


def release_items(run: RunRef, graph: Graph, node: Node, number: int) -> int:
    """Queue the ``number`` lowest items that are held back by `max_parallel`; return how many.

    Items that another transaction is just queueing are locked, so this one takes the next ones.
    """
    chosen = _lowest(run, graph, node, number, 0)
    outbox.queue_items(run, graph, chosen)
    return len(chosen)


def release_next(run: RunRef, graph: Graph, node: Node, index: int) -> None:
    """Queue the next item that is held back by `max_parallel`, if there is one, when the item ``index`` has ended.

    It is the lowest, unless another transaction is just queueing that.
    """
    if not held_items.may_be(run, node.position):
        return
    place = _find_next(run, graph, node, index)
    if place is not None:
        outbox.queue_item(run, graph, *place)
        after_commit(partial(held_items.note_begun, run, node.position, place[0]))
    elif not _is_any_held(run, graph, node):
        held_items.note_none(run, node.position)


def _find_next(run: RunRef, graph: Graph, node: Node, index: int) -> Place | None:
    first = held_items.first(run, node.position, index)
    values = near(run, graph, node, first)
    if values and (rows := _next_near().rows(run=run.pk, **values)):
        return rows[0][0], values["position"]
    # Below the first there is one only if its row was locked, and by somebody who did not take it.
    chosen = _lowest(run, graph, node, 1, first) or _lowest(run, graph, node, 1, 0)
    return chosen[0] if chosen else None


def _is_any_held(run: RunRef, graph: Graph, node: Node) -> bool:
    beginnings = _beginnings(run, graph, node)
    return bool(Task.objects.filter(run_id=run.pk, position__in=beginnings, map_index__gte=0).pending().exists())


def near(run: RunRef, graph: Graph, node: Node, first: int) -> dict[str, int]:
    """Return where the next item is looked for first, as parameters of ``held_near``.

    They are empty if the items that are held back may begin at several positions.
    """
    positions = _beginnings(run, graph, node)
    if len(positions) != 1:
        return {}
    return {"position": positions[0], "first": first, "before": first + NEAR * (node.max_parallel or 0)}


def held_near() -> QuerySet[Any, Any]:
    """Select the items near by that are held back, the lowest first, by their index.

    Parameters: ``run``, ``position``, ``first``, ``before``.
    """
    near = Q(map_index__gte=Param("first", INTEGER), map_index__lt=Param("before", INTEGER))
    of_map = Task.objects.filter(near, run=Param("run", UUID_FIELD), position=Param("position", INTEGER))
    held: QuerySet[Any, Any] = of_map.pending().order_by("map_index").values_list("map_index")
    return held


@prepared
def _next_near() -> Select:
    return Select(_locking(held_near())[:1])


def _locking(held: QueryType) -> QueryType:
    """Let a query lock what it selects, and leave out what is locked, where the database can do that."""
    features = connection().features
    skips = features.has_select_for_update_skip_locked or not features.has_select_for_update
    return held.select_for_update(skip_locked=skips)


def _lowest(run: RunRef, graph: Graph, node: Node, number: int, first: int) -> list[Place]:
    found: list[Place] = []
    for position in _beginnings(run, graph, node):
        held = _held(run.pk, graph, node, position).filter(map_index__gte=first).order_by("map_index")
        found += ((index, position) for index in held.values_list("map_index", flat=True)[:number])
    return sorted(found)[:number]


def _beginnings(run: RunRef, graph: Graph, node: Node) -> range:
    """Return the positions at which an item may begin: after a retry some items keep their first tasks."""
    assert node.body is not None
    ready = items.beginning(graph, node).ready
    if ready is None:
        return range(0)
    return range(ready, ready + 1 if run.generation == 0 else node.body[1])


def _held(run_id: UUID, graph: Graph, node: Node, position: int) -> TaskQuerySet:
    held: TaskQuerySet = Task.objects.filter(run_id=run_id, position=position).pending()
    if position != items.beginning(graph, node).ready:
        before = Task.objects.filter(run_id=run_id, position=position - 1, map_index=OuterRef("map_index"))
        held = held.filter(Exists(before.finished()))
    return _locking(held)


def _end_item(run: RunRef, graph: Graph, node: Node, index: int, tally: Tally) -> bool:
    whole = _count(run.pk, items.counter(node.position, index), tally)
    if whole is None:
        if has_lanes(node):
            lanes.refill(run, graph, node)
        elif node.max_parallel is not None:
            release_next(run, graph, node, index)
        return False
    return _end_whole(run, graph, node, whole)


def count_items(run: RunRef, graph: Graph, node: Node, number: int, tally: Tally) -> bool:
    """Count items that have ended at their counter ``number``, and end the map if they were the last.

    Returns whether `fail_fast` stops the run.
    """
    whole = _count(run.pk, number, tally)
    return whole is not None and _end_whole(run, graph, node, whole)


def _end_whole(run: RunRef, graph: Graph, node: Node, whole: Tally) -> bool:
    """End a map whose items have come to ``whole``; return whether `fail_fast` stops the run."""
    row = Task.objects.filter(pk=ids.task_id(run.pk, node.position)).values_list("map_count", flat=True)
    count = row.get() or 0
    status = items.outcome(whole, count)
    if status == TaskStatus.FAILED and not _has_failed(run.pk, graph, node):
        status = TaskStatus.CANCELED
    return end_map(run, graph, node, status, whole.failed, count)


def _has_failed(run_id: UUID, graph: Graph, node: Node) -> bool:
    """Whether a task for an item has failed; if not, some were canceled by a stop and kept by a reset."""
    assert node.body is not None
    loud = [position for position in range(*node.body) if not graph.node(position).is_forgiven]
    failed = Task.objects.filter(run_id=run_id, position__in=loud, map_index__gte=0).failed()
    return bool(failed.exists())


def _count(run_id: UUID, number: int, tally: Tally) -> Tally | None:
    """Count an item that has ended, up to the topmost counter; return what all came to if it was the last."""
    whole = None
    while True:
        values = {"run": run_id, "seq": number, **gates.parameters(tally)}
        if gates.stays_closed().execute(**values):
            return None
        if not gates.opens().execute(**values):
            # Above the topmost there is none.
            return whole
        failed, skipped = Gate.objects.filter(run_id=run_id, seq=number).values_list(*gates.COUNTED).get()
        tally = whole = Tally(1, failed, skipped)
        number = items.above(number)


def _tally(run_id: UUID, graph: Graph, node: Node, index: int, settled: Mapping[int, str]) -> Tally:
    """Return what an item has come to, read from all of its tasks."""
    body = map_of(graph, node).body
    assert body is not None
    chosen = [ids.item_id(run_id, position, index) for position in range(*body)]
    rows = dict(Task.objects.filter(pk__in=chosen).values_list("position", "status"))
    return items.item_tally(graph, {**rows, **settled})
