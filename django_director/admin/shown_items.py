"""Shows the items of maps without secrets: also those that only the schema of the run's payload marks.

An item has lost its place in the payload. So the ``over`` of its map is evaluated again with the masked payload,
and the item is hidden where the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_director.common import ids
from django_director.exceptions import DirectorError
from django_director.graph import Node, Values, of_over
from django_director.masking.differences import hide_differences
from django_director.masking.values import MASKED, mask
from django_director.models import Task
from django_director.models.results import read_names


def of_task(task: Task, node: Node, payload: object = None) -> object:
    """Return the item of a map that a task is for, masked; ``payload`` is that of its run, masked, if known.

    It takes no query for the first task of an item's chain. A later one takes a query, for the row of the first
    task has the item; and a map whose ``over`` uses both the payload and results takes queries for these.
    """
    return masked(task, node, _stored(task, node), payload)


def masked(task: Task, node: Node, item: object, payload: object = None) -> object:
    """Return the item of a task, masked; ``payload`` is that of its run, masked, if known."""
    graph = task.run.version.graph
    assert node.map_position is not None
    values = of_over(graph, graph.node(node.map_position))
    if item is None or not values.uses_payload:
        return mask(item)
    if payload is None:
        payload = mask(task.run.payload, graph.definition.schema)
    if payload == task.run.payload:
        return mask(item)
    return mask(hide_differences(item, _counterpart(task, values, payload)))


def _counterpart(task: Task, values: Values, payload: object) -> object:
    """Return the item that the map would have for a task if the payload had no secrets."""
    try:
        items = values.evaluate("over", _masked_names(task, values, payload))
    except DirectorError:
        return MASKED
    return items[task.map_index] if isinstance(items, list) and task.map_index < len(items) else MASKED


def _masked_names(task: Task, values: Values, payload: object) -> Mapping[str, Any]:
    """Return the names that ``over`` knows, masked. Raises ``InputTooLarge``."""
    if not values.tasks:
        return values.names({}, payload=payload, run=task.run.facts)
    names = read_names(task.run, values)
    return names | {"payload": payload, "tasks": mask(names["tasks"])}


def _stored(task: Task, node: Node) -> object:
    if not node.place:
        return task.item
    first = ids.item_id(task.run_id, node.position - node.place, task.map_index)
    return Task.objects.filter(pk=first).values_list("item", flat=True).first()
