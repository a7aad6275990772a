"""Plans for the items of a map: the chosen tasks run again, and the map waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django_director.engine.flow import item_rows
from django_director.graph import Graph, Node, Tally, items
from django_director.graph.items import Items, Place
from django_director.models import Run, Task
from django_director.status import TASK_RETRYABLE, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlan:
    """A reset of some of a map's items."""

    node: Node
    count: int
    before: Mapping[Place, str]
    """The statuses of the tasks for all items, as they are."""
    again: frozenset[Place]
    """What becomes pending."""
    skipped: Place | None
    """What becomes skipped."""
    found: Items
    """What the items have come to after the reset."""

    @property
    def status(self) -> TaskStatus:
        """The status that the map has after the reset."""
        return self.found.outcome(self.count) or TaskStatus.WAITING

    @property
    def foreseen(self) -> TaskStatus:
        """The status that the map ends with if all its tasks succeed."""
        whole = Tally()
        for tally in self.found.ended.values():
            whole.add(tally)
        return TaskStatus.FAILED if whole.failed else TaskStatus.SUCCESS


def of_retry(run: Run, graph: Graph, position: int, count: int) -> ItemPlan:
    """Plan to run again the tasks for items of a map that failed for good or were canceled."""
    node = graph.nodes[position]
    before = item_rows.statuses(run.pk, node)
    chosen = [place for place, status in before.items() if _is_retried(graph, place, status)]
    return _plan(graph, node, count, before, items.downstream(graph, chosen))


def of_task(task: Task, count: int, *, skipped: bool = False) -> ItemPlan:
    """Plan to run a task for an item again, with the tasks after it for the same item."""
    graph = task.run.version.graph
    node = graph.nodes[graph.node(task.position).map_position or 0]
    place = (task.map_index, task.position)
    again = items.downstream(graph, [place])
    before = item_rows.statuses(task.run_id, node)
    if skipped:
        return _plan(graph, node, count, before, again - {place}, place)
    return _plan(graph, node, count, before, again)


def _plan(
    graph: Graph,
    node: Node,
    count: int,
    before: Mapping[Place, str],
    again: Iterable[Place],
    skipped: Place | None = None,
) -> ItemPlan:
    again = frozenset(again)
    after = {**before, **dict.fromkeys(again, TaskStatus.PENDING)}
    if skipped is not None:
        after[skipped] = TaskStatus.SKIPPED
    found = items.inspect(graph, node, after, count)
    return ItemPlan(node=node, count=count, before=before, again=again, skipped=skipped, found=found)


def _is_retried(graph: Graph, place: Place, status: str) -> bool:
    is_forgiven = status == TaskStatus.FAILED and graph.node(place[1]).is_forgiven
    return status in TASK_RETRYABLE and not is_forgiven
