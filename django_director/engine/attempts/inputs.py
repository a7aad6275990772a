"""The rows that a claimed task needs: its own, and those of the tasks whose results make up its input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Case, F, JSONField, QuerySet, When

from django_director.common import ids
from django_director.conf import director
from django_director.db.compiled import UUID_FIELD, Param, Select, prepared
from django_director.engine import outbox
from django_director.graph import Graph, Node, Span, Values, expand, spans
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet, positions_in

from .tickets import Ticket


class Row(NamedTuple):
    """A row that a claimed task needs: its own, with the payload of its run, or that of a task before it."""

    pk: UUID
    position: int
    status: str
    result: Any
    failures: int
    crashes: int
    reruns: int
    generation: int
    parent_task: UUID | None
    payload: Any
    item: Any = None
    """Read only by the tasks in a map."""
    decision: Any = None
    """Read only where an expression uses one."""


FIXED: Final = 10
"""How many columns are always read."""


def read_rows(ticket: Ticket, graph: Graph, node: Node, values: Values | None) -> list[Row]:
    """Read the rows that a task needs, its own among them."""
    few = ids_before(ticket, node)
    if values is None and len(few) < 2:
        return few_rows(selecting_rows(len(few), node.takes_item), node, task=ticket.task_id, before=_first(few))
    used = () if values is None else values.tasks
    if values is not None and node.map_position is not None:
        return _item_rows(ticket, graph, node, values)
    if not node.is_hook:
        return _many(ticket, (*node.shape.spans(), *used, (node.position, node.position + 1)), node, values)
    own = few_rows(selecting_rows(len(few), False), node, task=ticket.task_id, before=_first(few))
    return [*own, *(_many(ticket, used, node, values) if used else ())]


def few_rows(select: Select, node: Node, **values: object) -> list[Row]:
    """Read rows with the statement ``selecting_rows`` and its parameters."""
    return _made(select.rows(**values), ("item",) if node.takes_item else ())


def with_maps(run_id: UUID, made: Mapping[int, int], rows: list[Row]) -> tuple[list[Row], int]:
    """Read the results of maps into their rows; return the rows, and 0 or the size of results that are too large.

    Results that are too large are not read. ``made`` is ``Graph.last_in`` of the maps.
    """
    tasks = Task.objects.filter(run_id=run_id)
    size = tasks.size_of_items(made)
    if size > director.MAX_INPUT:
        return rows, size
    lists = tasks.lists_of_items(made)
    return [row._replace(result=lists.get(row.position, row.result)) for row in rows], 0


def ids_before(ticket: Ticket, node: Node) -> list[UUID]:
    """Return the ids of the tasks whose results a task receives; at most two, as one statement reads only one."""
    positions = islice(expand(node.shape.spans()), 2)
    if node.is_hook:
        generation = outbox.generation_of(ticket.sequence)
        return [ids.hook_id(ticket.run_id, generation, position) for position in positions]
    if node.map_position is not None:
        return [ids.item_id(ticket.run_id, position, ticket.map_index) for position in positions]
    return [ids.task_id(ticket.run_id, position) for position in positions]


@prepared
def selecting_rows(upstream: int, has_item: bool) -> Select:
    """Return the statement that reads the row ``task``, with its item, and ``before`` if ``upstream`` is 1."""
    task, before = Param("task", UUID_FIELD), Param("before", UUID_FIELD)
    rows = Task.objects.filter(pk__in=[task, before][: 1 + upstream])
    return Select(_columns(rows, task, "result", *(("item",) if has_item else ())))


def _first(chosen: list[UUID]) -> UUID | None:
    return chosen[0] if chosen else None


def _item_rows(ticket: Ticket, graph: Graph, node: Node, values: Values) -> list[Row]:
    """Return the rows that a task for an item needs: those of its item, and those of steps outside of the map."""
    inside = {node.position, *expand(node.shape.spans())}
    inside.update(position for position in expand(values.tasks) if position >= len(graph.nodes))
    if values.uses_item:
        inside.add(node.position - node.place)
    chosen = [ids.item_id(ticket.run_id, position, ticket.map_index) for position in inside]
    rows = _made(_columns(Task.objects.filter(pk__in=chosen), ticket.task_id, "result", "item"), ("item",))
    outside = spans(position for position in expand(values.tasks) if position < len(graph.nodes))
    return rows + _many(ticket, outside, node, values) if outside else rows


def _many(ticket: Ticket, wanted: Sequence[Span], node: Node, values: Values | None) -> list[Row]:
    many = Task.objects.filter(run_id=ticket.run_id).at(wanted)
    if values is None or values.tasks == values.results:
        return _made(_columns(many, ticket.task_id))
    # A status may be that of many tasks, whose results are not wanted.
    whole = positions_in((*node.shape.spans(), *values.results, (node.position, node.position + 1)))
    many = many.annotate(wanted=Case(When(whole, then=F("result")), output_field=JSONField()))
    more = ("decision",) if values.has_decisions else ()
    return _made(_columns(many, ticket.task_id, "wanted", *more), more)


def _made(rows: Iterable[Sequence[Any]], more: Sequence[str] = ()) -> list[Row]:
    if not more:
        return [Row(*row) for row in rows]
    return [Row(*row[:FIXED], **dict(zip(more, row[FIXED:], strict=True))) for row in rows]


def _columns(tasks: TaskQuerySet, own: UUID | Param, result: str = "result", *more: str) -> QuerySet[Any, Any]:
    payload = Case(When(pk=own, then=F("run__payload")), output_field=JSONField())
    rows: QuerySet[Any, Any] = (
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
            "run__parent_task",
            "own_payload",
            *more,
        )
    )
    return rows
