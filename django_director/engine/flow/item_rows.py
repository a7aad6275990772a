"""Where the items of maps stand, from rows: for runs that failed fast, resets, and what a hand has broken."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final
from uuid import UUID

from django.db.models import F

from django_director.common import ids
from django_director.db.functions import Now
from django_director.db.lock_limits import each
from django_director.db.transactions import transact
from django_director.engine import outbox
from django_director.engine.launch.initial_rows import insert_counters
from django_director.engine.outbox import RunRef
from django_director.graph import Graph, Node, items
from django_director.graph.items import Items, Place
from django_director.models import Gate, Run, Task, WorkflowVersion, graph_of
from django_director.models.querysets import TaskQuerySet
from django_director.status import RunStatus, Stop, TaskStatus

from . import items as work

BATCH: Final = 500


def read(run_id: UUID, graph: Graph, node: Node, count: int) -> Items:
    """Where the ``count`` items of a map stand."""
    return items.inspect(graph, node, statuses(run_id, node), count)


def statuses(run_id: UUID, node: Node) -> dict[Place, str]:
    """The statuses of the tasks for all items of a map."""
    rows = inside(run_id, node).values_list("map_index", "position", "status").order_by()
    return {(index, position): status for index, position, status in rows.iterator()}


def inside(run_id: UUID, node: Node) -> TaskQuerySet:
    """The tasks for the items of a map."""
    assert node.body is not None
    first, end = node.body
    tasks: TaskQuerySet = Task.objects.filter(run_id=run_id, position__gte=first, position__lt=end)
    return tasks


def waiting(run_id: UUID) -> dict[int, int]:
    """The maps of a run that wait for their items: how many these are, by position."""
    rows = Task.objects.filter(run_id=run_id).nodes().waiting().filter(map_count__isnull=False)
    return dict(rows.values_list("position", "map_count"))


def carry_on(run: Run, graph: Graph) -> None:
    """Let the maps of a run that failed fast go on, as far as they are spared, and end when their items have.

    Those that are spared as a whole go on by their counters.
    """
    for position, count in waiting(run.pk).items():
        node = graph.nodes[position]
        if not node.runs_on:
            transact(partial(_carry_on, run, graph, node, count))


def begin(run: RunRef, graph: Graph, node: Node, found: Items) -> None:
    """Queue what can run of the items of a map that waits.

    Part of a transaction that has locked the map's row, or in which nobody else can end an item.
    """
    room = len(found.ready) if node.max_parallel is None else max(0, node.max_parallel - found.active)
    outbox.queue_items(run, graph, found.ready[:room])


def begin_all(run: Run, graph: Graph) -> None:
    """The same for all maps of a run that has none of its own at work."""
    for position, count in waiting(run.pk).items() if graph.maps else ():
        node = graph.nodes[position]
        begin(run, graph, node, read(run.pk, graph, node, count))


def settle(run_id: UUID, node: Node, found: Items, count: int) -> TaskStatus | None:
    """Settle what never runs of the items of a map that waits, and end it if all have ended: returns its status.

    As ``begin``, a part of a transaction.
    """
    work.settle_places(run_id, found.settled)
    status = found.outcome(count)
    if status is not None:
        failed = sum(tally.failed for tally in found.ended.values())
        _row(run_id, node).update(status=status, finished_at=Now(), error=work.error_of(status, failed, count))
    return status


def remove_counters(run_id: UUID, node: Node) -> None:
    """Remove a map's counters."""
    first, end = items.counters(node.position)
    Gate.objects.filter(run_id=run_id, seq__gte=first, seq__lt=end).delete()


def write_counters(run_id: UUID, node: Node, found: Items, count: int) -> None:
    """Write a map's counters, which are not there, with what they have counted."""
    tallies = found.tallies(node.position, count)
    totals = items.totals(node.position, count)
    insert_counters(run_id, ((number, total, tallies[number]) for number, total in totals))


def top_up() -> int:
    """Queue items that `max_parallel` holds back although fewer are in work; return how many.

    That comes from a hand in the database, or from a session that had locked an item when its turn came.
    """
    versions = WorkflowVersion.objects.filter(pk__in=Run.objects.active().order_by().values("version"))
    released = 0
    for pk, content_hash in versions.values_list("pk", "content_hash"):
        graph = graph_of(content_hash)
        limited = [node for node in graph.maps.values() if node.max_parallel is not None]
        runs = _running(pk) if limited else ()
        released += each(runs, partial(_top_up_run, graph=graph, limited=limited), lambda run: run.pk)
    return released


def _top_up_run(run: Run, graph: Graph, limited: list[Node]) -> int:
    return sum(transact(partial(_top_up, run, graph, node)) for node in limited)


def _running(version: int) -> Iterator[Run]:
    running = Run.objects.filter(version=version, status=RunStatus.RUNNING, stop=Stop.NONE)
    yield from running.only("generation")[:BATCH]


def _top_up(run: Run, graph: Graph, node: Node) -> int:
    if node.max_parallel is None or not _lock(run.pk, node):
        return 0
    active = inside(run.pk, node).active().exclude(status=TaskStatus.PENDING).count()
    return work.release(run, graph, node, node.max_parallel - active) if active < node.max_parallel else 0


def _carry_on(run: Run, graph: Graph, node: Node, count: int) -> None:
    if not _lock(run.pk, node):
        return
    found = read(run.pk, graph, node, count)
    begin(run, graph, node, found)
    if settle(run.pk, node, found, count) is not None:
        # What has ended since the stop was not counted.
        remove_counters(run.pk, node)
        write_counters(run.pk, node, found, count)


def _lock(run_id: UUID, node: Node) -> int:
    """Keep others from the same; 0 for a map that waits no more."""
    return _row(run_id, node).update(map_count=F("map_count"))


def _row(run_id: UUID, node: Node) -> TaskQuerySet:
    row: TaskQuerySet = Task.objects.filter(pk=ids.task_id(run_id, node.position), map_count__isnull=False)
    return row.waiting()
