"""The neighbours of a task on its page: the steps before and behind it, and of an item the items beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.common import ids
from django_director.graph import Graph, Node
from django_director.models import Task
from django_director.presentation.map_items import next_failed

from . import formatting, task_lines

SHOWN: Final = 20
"""How many steps before a task are shown, and how many behind it."""


def context(task: Task, node: Node, site: str) -> dict[str, Any]:
    """Return what the template shows of them. It takes one query; for an item of a map two."""
    if task.is_hook:
        return {}
    before, behind = _before(node), _behind(task.run.version.graph, node)
    shown = {*before[:SHOWN], *behind[:SHOWN]}
    own = {node.map_position} if node.map_position is not None else set()
    spans = [(position, position + 1) for position in sorted(shown | own)]
    tasks = task.run.tasks.at(spans).filter(map_index__in=(-1, task.map_index)).for_listing() if spans else []
    rows = {row.position: row for row in tasks}
    for row in rows.values():
        row.run = task.run
    around = rows.get(node.map_position) if node.map_position is not None else None
    return {
        "upstream": _with_badges(before, rows),
        "more_upstream": max(0, len(before) - SHOWN),
        "downstream": _with_badges(behind, rows),
        "more_downstream": max(0, len(behind) - SHOWN),
        "around": _around(task, node, around, site) if around is not None and task.map_index >= 0 else None,
    }


def _with_badges(positions: Sequence[int], rows: dict[int, Task]) -> list[tuple[Task, SafeString]]:
    found = [rows[position] for position in positions[:SHOWN] if position in rows]
    return [(row, task_lines.badge(row)) for row in found]


def _before(node: Node) -> list[int]:
    if node.map_position is not None and not node.place:
        # What the map waits for; the map itself has a link of its own.
        return []
    return sorted(node.upstream)


def _behind(graph: Graph, node: Node) -> list[int]:
    """Return the positions of the steps that wait for a node, as people see them."""
    if node.map_position is not None:
        body = graph.nodes[node.map_position].body or (0, 0)
        return [node.position + 1] if node.position + 1 < body[1] else []
    # Nodes that wait for the same tasks share one tuple: each is searched once.
    known: dict[int, bool] = {}
    found = []
    for each in graph.nodes:
        if id(each.upstream) not in known:
            known[id(each.upstream)] = node.position in each.upstream
        if known[id(each.upstream)]:
            found.append(each.position)
    return found


def _around(task: Task, node: Node, around: Task, site: str) -> dict[str, Any]:
    """Return the links from a task for an item: to the map, to the items beside it, and to the next failed one."""
    count, graph = around.map_count or 0, task.run.version.graph

    def to(index: int) -> str:
        pk = ids.item_id(task.run_id, node.position, index)
        return formatting.address("task_change", pk, site=site)

    failed = next_failed(task, range(*(graph.nodes[around.position].body or (0, 0))))
    return {
        "task": around,
        "place": _("item %(index)s of 0 to %(last)s")
        % {"index": formatting.number(task.map_index), "last": formatting.number(count - 1)},
        "previous": to(task.map_index - 1) if task.map_index else "",
        "next": to(task.map_index + 1) if task.map_index + 1 < count else "",
        "failed": "" if failed is None else formatting.address("task_change", failed, site=site),
    }
