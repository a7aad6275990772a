"""The rows that a claimed task needs: its own, and those of the tasks whose results make up its input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Case, F, JSONField, Q, QuerySet, When

from django_director.common import ids
from django_director.conf import director
from django_director.db.compiled import UUID_FIELD, Param, Select, prepared
from django_director.definitions.call_plan import Uses
from django_director.engine import outbox
from django_director.graph import NOTHING, Graph, Node, Shape, Span, Values, expand, of_node, spans
from django_director.models import Task
from django_director.models.positions import positions_in
from django_director.models.querysets import TaskQuerySet

from . import payloads
from .payloads import Payload
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
    payload: payloads.Text | None
    item: Any = None
    """Read only by the tasks in a map."""
    decision: Any = None
    """Read only where an expression uses one."""


FIXED: Final = 10
"""How many columns are always read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What is read for a task: no more than it can use, and no payload that this process has."""

    shape: Shape
    """How its value from the steps before is put together; ``NOTHING`` if it does not use it."""
    has_item: bool
    """Whether it uses an item of a map that stands in its own row."""
    values: Values | None
    """Its expressions."""
    is_alone: bool
    """Whether its expressions use nothing of other rows."""
    known: Payload | None
    """The payload of its run, if this process has it."""
    payload: payloads.Reading
    """How much of that payload is read."""

    @classmethod
    def of(cls, graph: Graph, node: Node, uses: Uses, known: Payload | None) -> Needs:
        """Return what the task of a node needs, which ``uses`` these values and whose payload is ``known``."""
        values = of_node(graph, node)
        uses_item = values is not None and values.uses_item
        uses_payload = uses.payload or (values is not None and values.uses_payload)
        return cls(
            shape=node.shape if uses.upstream else NOTHING,
            has_item=node.takes_item and (uses.upstream or uses_item),
            values=values,
            is_alone=values is None or not (values.tasks or (uses_item and not node.takes_item)),
            known=known,
            payload=payloads.reading(uses_payload, known),
        )

    @property
    def results(self) -> tuple[Span, ...]:
        """The positions of the tasks whose results it uses."""
        return (*self.shape.spans(), *(self.values.results if self.values else ()))


def read_rows(ticket: Ticket, graph: Graph, node: Node, needs: Needs) -> list[Row]:
    """Read the rows that a task needs, its own among them."""
    few, values = ids_before(ticket, node, needs.shape), needs.values
    if needs.is_alone and len(few) < 2:
        return _few(ticket, few, needs)
    used = () if values is None else values.tasks
    if values is not None and node.map_position is not None:
        return _item_rows(ticket, graph, node, needs, values)
    if not node.is_hook:
        return _many(ticket, (*needs.shape.spans(), *used, (node.position, node.position + 1)), node, needs)
    return [*_few(ticket, few, needs), *(_many(ticket, used, node, needs) if used else ())]


def _few(ticket: Ticket, before: list[UUID], needs: Needs) -> list[Row]:
    select = selecting_rows(len(before), needs.has_item, needs.payload)
    return few_rows(select, needs, task=ticket.task_id, before=before[0] if before else None)


def few_rows(select: Select, needs: Needs, **values: object) -> list[Row]:
    """Read rows with the statement ``selecting_rows`` and its parameters."""
    return _made(select.rows(**values), ("item",) if needs.has_item else ())


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


def ids_before(ticket: Ticket, node: Node, shape: Shape) -> list[UUID]:
    """Return the ids of the tasks whose results make up a value; at most two, as one statement reads only one."""
    positions = islice(expand(shape.spans()), 2)
    if node.is_hook:
        generation = outbox.generation_of(ticket.sequence)
        return [ids.hook_id(ticket.run_id, generation, position) for position in positions]
    if node.map_position is not None:
        return [ids.item_id(ticket.run_id, position, ticket.map_index) for position in positions]
    return [ids.task_id(ticket.run_id, position) for position in positions]


@prepared
def selecting_rows(upstream: int, has_item: bool, payload: payloads.Reading) -> Select:
    """Return the statement that reads the row ``task``, with its item, and ``before`` if ``upstream`` is 1."""
    task, before = Param("task", UUID_FIELD), Param("before", UUID_FIELD)
    rows = Task.objects.filter(pk__in=[task, before][: 1 + upstream])
    return Select(_columns(rows, task, payload, "result", *(("item",) if has_item else ())))


def _item_rows(ticket: Ticket, graph: Graph, node: Node, needs: Needs, values: Values) -> list[Row]:
    """Return the rows that a task for an item needs: those of its item, and those of steps outside of the map."""
    inside = {node.position, *expand(needs.shape.spans())}
    inside.update(position for position in expand(values.tasks) if position >= len(graph.nodes))
    if values.uses_item:
        inside.add(node.position - node.place)
    chosen = [ids.item_id(ticket.run_id, position, ticket.map_index) for position in inside]
    items = Task.objects.filter(pk__in=chosen)
    rows = _made(_columns(items, ticket.task_id, needs.payload, "result", "item"), ("item",))
    return rows + outside_rows(ticket, graph, node, needs)


def outside_rows(ticket: Ticket, graph: Graph, node: Node, needs: Needs) -> list[Row]:
    """Return the rows of the steps outside of a map that the expressions of a task in it use."""
    used = () if needs.values is None else needs.values.tasks
    outside = spans(position for position in expand(used) if position < len(graph.nodes))
    return _many(ticket, outside, node, needs) if outside else []


def _many(ticket: Ticket, wanted: Sequence[Span], node: Node, needs: Needs) -> list[Row]:
    many, values = Task.objects.filter(run_id=ticket.run_id).at(wanted), needs.values
    if values is None or values.tasks == values.results:
        return _made(_columns(many, ticket.task_id, needs.payload))
    # A status may be that of many tasks, whose results are not wanted.
    whole = positions_in((*needs.results, (node.position, node.position + 1)))
    many = many.annotate(wanted=Case(When(whole, then=F("result")), output_field=JSONField()))
    more = ("decision",) if values.has_decisions else ()
    return _made(_columns(many, ticket.task_id, needs.payload, "wanted", *more), more)


def _made(rows: Iterable[Sequence[Any]], more: Sequence[str] = ()) -> list[Row]:
    if not more:
        return [Row(*row) for row in rows]
    return [Row(*row[:FIXED], **dict(zip(more, row[FIXED:], strict=True))) for row in rows]


def _columns(
    tasks: TaskQuerySet, own: UUID | Param, payload: payloads.Reading, result: str = "result", *more: str
) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = (
        tasks.order_by()
        .annotate(own_payload=payloads.column(payload, Q(pk=own)))
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
