"""The items of maps as their rows tell: for runs stopped by `fail_fast`, resets, and rows changed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from sys import intern
from typing import Final
from uuid import UUID

from django.db.models import F, Max

from django_director.common import ids
from django_director.db.transactions import in_transaction
from django_director.engine import outbox, transitions
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.outbox import RunRef
from django_director.graph import Graph, Node, has_lanes, items
from django_director.graph.items import Items, Place
from django_director.models import Gate, Run, Task, WorkflowVersion, graph_of
from django_director.models.querysets import TaskQuerySet
from django_director.status import RunStatus, Stop, TaskStatus

from . import items as work
from . import lanes
from .gates import insert_counters

BATCH: Final = 500


def read_items(run_id: UUID, graph: Graph, node: Node, count: int) -> Items:
    """Read what the ``count`` items of a map have come to so far."""
    return items.inspect(graph, node, statuses(run_id, node), count)


def statuses(run_id: UUID, node: Node) -> dict[Place, str]:
    """Return the statuses of the tasks for all items of a map, by item and position."""
    rows = inside(run_id, node).values_list("map_index", "position", "status").order_by()
    # One text for each status: the driver makes one for each row.
    return {(index, position): intern(status) for index, position, status in rows.iterator()}


def inside(run_id: UUID, node: Node) -> TaskQuerySet:
    """Return the tasks for the items of a map."""
    assert node.body is not None
    first, end = node.body
    tasks: TaskQuerySet = Task.objects.filter(run_id=run_id, position__gte=first, position__lt=end)
    return tasks


def delete(run_id: UUID, node: Node) -> None:
    """Delete the tasks for the items of a map. What refers to them goes by Django's own rules."""
    assert node.body is not None
    for position in range(*node.body):
        rows = Task.objects.filter(run_id=run_id, position=position).order_by()
        last = rows.aggregate(last=Max("map_index"))["last"]
        # By ranges: else a database passes over the deleted rows again and again. Only ids are loaded.
        for first in range(0, 0 if last is None else last + 1, outbox.CHUNK):
            rows.filter(map_index__gte=first, map_index__lt=first + outbox.CHUNK).only("pk").delete()


def waiting_maps(run_id: UUID) -> dict[int, int]:
    """Return the maps of a run that wait for their items: the number of items of each, by position."""
    rows = Task.objects.filter(run_id=run_id).nodes().waiting().filter(map_count__isnull=False)
    return dict(rows.values_list("position", "map_count"))


def continue_maps(run: Run, graph: Graph) -> None:
    """Continue the maps of a run that `fail_fast` has stopped, with the tasks that it spares, until they end.

    Maps that are spared as a whole need no help: their counters let them go on.
    """
    for position, count in waiting_maps(run.pk).items():
        node = graph.nodes[position]
        if not node.runs_on:
            _continue_map(run, graph, node, count)


def begin_items(run: RunRef, graph: Graph, node: Node, found: Items) -> None:
    """Queue the tasks for items of a waiting map that can run now, as many as `max_parallel` allows.

    Called in a transaction that has locked the map's row, or while no item of the map can end.
    """
    if has_lanes(node):
        # Of a stopped run only what is spared is left.
        lanes.refill(run, graph, node, although_stopped=True)
        return
    room = len(found.ready) if node.max_parallel is None else max(0, node.max_parallel - found.active)
    outbox.queue_items(run, graph, found.ready[:room])


def begin_all_items(run: Run, graph: Graph) -> None:
    """Queue the tasks for items that can run now in all waiting maps of a run in which nothing runs."""
    for position, count in waiting_maps(run.pk).items() if graph.maps else ():
        node = graph.nodes[position]
        begin_items(run, graph, node, read_items(run.pk, graph, node, count))


def settle_items(run_id: UUID, node: Node, found: Items, count: int) -> TaskStatus | None:
    """Settle tasks of a waiting map that never run, and end it if all items have ended; return its status then.

    Called in a transaction, see ``begin_items``.
    """
    work.settle_places(run_id, found.settled)
    status = found.outcome(count)
    if status is not None:
        failed = sum(tally.failed for tally in found.ended.values())
        _row(run_id, node).update(**transitions.map_ended(status, work.error_of(status, failed, count)))
    return status


def remove_counters(run_id: UUID, node: Node) -> None:
    """Delete the counters of a map's items."""
    first, end = items.counters(node.position)
    Gate.objects.filter(run_id=run_id, seq__gte=first, seq__lt=end).delete()


def write_counters(run_id: UUID, node: Node, found: Items, count: int) -> None:
    """Insert the counters of a map's items, with what they have counted. There must be none."""
    tallies = found.tallies(node.position, count)
    totals = items.totals(node.position, count)
    insert_counters(run_id, ((number, total, tallies[number]) for number, total in totals))


def top_up() -> int:
    """Queue items that `max_parallel` holds back although fewer are active; return how many.

    Somebody has changed rows by hand then, or another session had locked an item when its turn came.
    """
    versions = WorkflowVersion.objects.filter(pk__in=Run.objects.active().order_by().values("version"))
    released = 0
    for pk, content_hash in versions.values_list("pk", "content_hash"):
        graph = graph_of(content_hash)
        limited = [node for node in graph.maps.values() if node.max_parallel is not None]
        runs = _running(pk) if limited else ()
        released += work_on_each(runs, partial(_top_up_run, graph=graph, limited=limited), lambda run: run.pk)
    return released


def _top_up_run(run: Run, graph: Graph, limited: list[Node]) -> int:
    return sum(_top_up(run, graph, node) for node in limited)


def _running(version: int) -> Iterator[Run]:
    running = Run.objects.filter(version=version, status=RunStatus.RUNNING, stop=Stop.NONE)
    yield from running.only("generation")[:BATCH]


@in_transaction()
def _top_up(run: Run, graph: Graph, node: Node) -> int:
    if node.max_parallel is None or not _lock(run.pk, node):
        return 0
    if has_lanes(node):
        return lanes.refill(run, graph, node)
    active = inside(run.pk, node).active().exclude(status=TaskStatus.PENDING).count()
    return work.release_items(run, graph, node, node.max_parallel - active) if active < node.max_parallel else 0


@in_transaction()
def _continue_map(run: Run, graph: Graph, node: Node, count: int) -> None:
    if not _has_work(run.pk, graph, node) or not _lock(run.pk, node):
        return
    found = read_items(run.pk, graph, node, count)
    begin_items(run, graph, node, found)
    if settle_items(run.pk, node, found, count) is not None:
        # What has ended since the stop was not counted.
        remove_counters(run.pk, node)
        write_counters(run.pk, node, found, count)


def _has_work(run_id: UUID, graph: Graph, node: Node) -> bool:
    """Whether something of a map is to be queued or settled: not while it waits for items that run to their end.

    The supervisor asks again and again, and must not read the statuses of all items each time.
    """
    assert node.body is not None
    if any(graph.node(position).runs_on for position in range(*node.body)):
        return True
    return not inside(run_id, node).active().exclude(status=TaskStatus.PENDING).exists()


def _lock(run_id: UUID, node: Node) -> int:
    """Lock the row of a waiting map, so that nobody else continues it; return 0 if it does not wait any more."""
    return _row(run_id, node).update(map_count=F("map_count"))


def _row(run_id: UUID, node: Node) -> TaskQuerySet:
    row: TaskQuerySet = Task.objects.filter(pk=ids.task_id(run_id, node.position), map_count__isnull=False)
    return row.waiting()
