"""Lanes: the batches of a map with `max_parallel` that are in work; an item that runs alone is a lane too.

The items of a batch run one after the other, so of each lane one item is in work at a time. When a lane ends, the
lowest items that are held back begin as the next one. Lanes are counted in the rows, with the map's row locked:
that happens once for each batch and not for each item.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, F, Q

from django_director.common import ids
from django_director.db.functions import Now
from django_director.db.transactions import connection
from django_director.engine import outbox, transitions
from django_director.engine.outbox import RunRef
from django_director.graph import Graph, Node, items
from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import Stop, TaskStatus

from . import held_items

Held = tuple[int, int]
"""The index and the sequence of an item that is held back."""


def refill(run: RunRef, graph: Graph, node: Node, *, although_stopped: bool = False) -> int:
    """Begin further batches of a map until `max_parallel` are in work; return how many items were queued.

    Part of a transaction in which an item has ended or was put back. ``node`` is that of the map.
    """
    ready = items.beginning(graph, node).ready
    if ready is None or not (although_stopped or node.runs_on or not _is_stopped(run.pk)):
        return 0
    if not _lock(run.pk, node):
        return 0
    begun = 0
    for _ in range((node.max_parallel or 0) - _in_work(run, graph, ready)):
        if not (count := _begin(run, graph, ready)):
            break
        begun += count
    return begun


def _is_stopped(run_id: UUID) -> bool:
    return Run.objects.filter(pk=run_id).exclude(stop=Stop.NONE).exists()


def _lock(run_id: UUID, node: Node) -> int:
    row = Task.objects.filter(pk=ids.task_id(run_id, node.position)).waiting()
    return int(row.update(map_count=F("map_count")))


def _of_map(run_id: UUID, position: int) -> TaskQuerySet:
    rows: TaskQuerySet = Task.objects.filter(run_id=run_id, position=position)
    return rows


def _in_work(run: RunRef, graph: Graph, position: int) -> int:
    """Count the lanes that are in work: batches that a worker has, those that are queued, and items alone."""
    size, first = graph.node(position).batch, outbox.first_sequence(run.generation)
    running = Q(status=TaskStatus.RUNNING)
    whole = Q(status=TaskStatus.QUEUED, sequence=first)
    found = _of_map(run.pk, position).active().exclude(status=TaskStatus.PENDING).order_by()
    lanes = found.aggregate(
        # The tokens of a batch follow one another.
        running=Count(F("claim") - F("map_index"), distinct=True, filter=running),
        queued=Count(F("map_index") - F("map_index") % size, distinct=True, filter=whole),
        alone=Count("pk", filter=~running & ~whole),
    )
    return int(sum(lanes.values()))


def _begin(run: RunRef, graph: Graph, position: int) -> int:
    """Queue the lowest item that is held back, with the others of its block; return how many that were."""
    held = _lowest(run, graph, position)
    if not held:
        return 0
    alone = outbox.first_sequence(run.generation) + 1
    index, sequence = held[0]
    if sequence >= alone:
        # A worker has given it back. It runs alone: it may be what ends its workers, or takes long.
        row = Task.objects.filter(pk=ids.item_id(run.pk, position, index)).pending()
        # The supervisor sends its message.
        return int(row.update(**transitions.queued(sequence, Now())))
    places = [(index, position) for index, sequence in held if sequence < alone]
    outbox.queue_items(run, graph, places)
    held_items.note_begun(run, position, places[-1][0])
    return len(places)


def _lowest(run: RunRef, graph: Graph, position: int) -> list[Held]:
    held = _of_map(run.pk, position).pending().order_by("map_index")
    # What was given back lies below those that have begun: it is found when nothing is left above.
    return _from(held.filter(map_index__gte=held_items.first(run, position, -1)), graph, position) or _from(
        held, graph, position
    )


def _from(held: TaskQuerySet, graph: Graph, position: int) -> list[Held]:
    skips = connection().features.has_select_for_update_skip_locked
    if connection().features.has_select_for_update:
        held = held.select_for_update(skip_locked=skips)
    columns = held.values_list("map_index", "sequence")
    first = columns.first()
    if first is None:
        return []
    size = graph.node(position).batch
    end = first[0] - first[0] % size + size
    return [first, *columns.filter(map_index__gt=first[0], map_index__lt=end)]
