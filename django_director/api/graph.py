"""Shows a run as a graph of nodes and edges with their statuses.

Where several steps follow several others, a junction stands between them: n steps after m steps cost n + m edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django_director.drawing.edges import boundaries
from django_director.exceptions import DirectorError
from django_director.graph import Graph, Node
from django_director.models import Run, Task
from django_director.status import TASK_ACTIVE, TASK_BROKEN, TaskStatus

MAX_NODES: Final = 20_000

Json = dict[str, Any]


def graph_as_json(run: Run) -> Json:
    """Return ``{run, status, nodes, edges}``; the id of a node is its task's, the status of an edge its source's.

    A map is one node; ``items`` says how many tasks for its items are in which status. It takes at most three
    queries. Raises ``DirectorError`` for a run of over ``MAX_NODES`` tasks.
    """
    graph = run.version.graph
    if len(graph.nodes) > MAX_NODES:
        raise DirectorError(
            f"the graph has {len(graph.nodes):,} tasks, over {MAX_NODES:,}; read its tasks by pages instead"
        )
    listed = run.tasks.for_listing().filter(map_index=-1).order_by("generation")
    rows = {task.position: task for task in listed}
    drawing = _Drawing(graph, rows, run.tasks.counts_of_items(graph) if graph.maps else {})
    drawing.draw()
    return {
        "run": str(run.pk),
        "status": run.shown_status,
        "nodes": list(drawing.nodes.values()),
        "edges": drawing.edges,
    }


class _Drawing:
    """Collects the nodes and edges of a run's graph."""

    def __init__(self, graph: Graph, rows: dict[int, Task], items: dict[int, dict[str, int]]) -> None:
        self.graph = graph
        self.rows = rows
        self.items = items
        self.nodes: dict[str, Json] = {}
        self.edges: list[Json] = []

    def draw(self) -> None:
        for position, task in sorted(self.rows.items()):
            self.nodes[str(task.pk)] = _node(self.graph.node(position), task, self.items.get(position))
        for number, (ends, heads) in enumerate(boundaries(self.graph)):
            self._connect(number, self._present(ends), self._present(heads))

    def _present(self, positions: Iterable[int]) -> list[str]:
        return [str(self.rows[position].pk) for position in positions if position in self.rows]

    def _connect(self, number: int, ends: list[str], heads: list[str]) -> None:
        if len(ends) > 1 and len(heads) > 1:
            junction = f"junction-{number}"
            status = _combine_statuses({self.nodes[end]["status"] for end in ends})
            self.nodes[junction] = {"id": junction, "type": "junction", "status": status}
            self._connect(number, ends, [junction])
            ends = [junction]
        for end in ends:
            for head in heads:
                self.edges.append({"source": end, "target": head, "status": self.nodes[end]["status"]})


def _node(node: Node, task: Task, items: dict[str, int] | None) -> Json:
    return {
        "id": str(task.pk),
        "type": "task",
        "status": task.status,
        "step": task.step,
        "label": task.label,
        "task": task.name,
        "containers": list(node.containers),
        "is_hook": task.is_hook,
        "items": items,
        "attempt": task.attempt,
        "child_run": str(task.child_run) if task.child_run else None,
        "duration": task.duration,
    }


def _combine_statuses(statuses: set[str]) -> str:
    if statuses & TASK_ACTIVE:
        return TaskStatus.PENDING
    return TaskStatus.UPSTREAM_FAILED if statuses & TASK_BROKEN else TaskStatus.SUCCESS
