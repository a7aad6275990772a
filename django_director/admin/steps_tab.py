"""The steps of a run on its page: as a tree, or those of one status in a list."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from django_director.common import ids
from django_director.drawing.faces import BY_CONCERN
from django_director.drawing.icons import icon
from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.presentation import silent_workers
from django_director.status import TaskStatus

from . import formatting, step_tree
from .run_state import TASKS_PER_PAGE, RunState
from .step_tree import Line, Tree
from .task_rows import Row, make_rows

Items: TypeAlias = dict[int, list[tuple[int, int]]]
"""By the position of a map: position and index of tasks in it."""
ITEMS_READ: Final = 200
"""How many failed items of maps are read at most."""
HOOKS: Final = "hooks"
"""Stands in an address for a status: the list has the hooks then."""
NAMED: Final = 10
"""How many failed tasks the line above the tree names."""


def context(request: HttpRequest, state: RunState) -> dict[str, Any]:
    """Return what the template needs; the number of queries does not depend on the run."""
    status = request.GET.get("status", "")
    is_filtered = status in (*TaskStatus.values, HOOKS)
    text = request.GET.get("page", "")
    page = int(text) if text.isdecimal() and len(text) < 9 else 1
    items = {} if is_filtered else _failed_items(state)
    lines: list[tuple[Line, Row | None]]
    if is_filtered:
        lines, page, pages = _of_status(state, status, page)
    else:
        lines, page, pages = _of_tree(state, items, page, request.GET.getlist("open"))
    return {
        "filters": [(name, label, number, icon(name)) for name, label, number in state.filters],
        "hooks": _hooks(state),
        "chosen": status if is_filtered else "",
        "lines": lines,
        "page_number": page,
        "pages": pages,
        "previous_page": _page_link(request, page - 1, pages),
        "next_page": _page_link(request, page + 1, pages),
        "failed_tasks": [] if is_filtered else _failed(state, items)[:NAMED],
        "more_failed": 0 if is_filtered else max(0, state.failed - NAMED),
    }


def _hooks(state: RunState) -> tuple[str, int, SafeString] | None:
    """Return the most alarming status of the run's hooks, their number, and its sign; ``None`` without hooks."""
    found = next((status.value for status in BY_CONCERN if state.hooks[status]), None)
    return None if found is None else (found, state.hooks.total(), icon(found))


def _page_link(request: HttpRequest, page: int, pages: int) -> str | None:
    """Return the address of another page, with all else that this one's has; ``None`` if there is no such page."""
    if not 1 <= page <= pages:
        return None
    chosen = request.GET.copy()
    chosen["page"] = str(page)
    return f"?{chosen.urlencode()}#tasks"


def _of_status(state: RunState, status: str, page: int) -> tuple[list[tuple[Line, Row | None]], int, int]:
    tasks, number = _tasks(state).hooks(), state.hooks.total()
    if status != HOOKS:
        tasks = _tasks(state).steps().filter(status=status).exclude(map_count__gt=0)
        number = state.counts[status]
    pages = max(1, -(-number // TASKS_PER_PAGE))
    page = min(max(page, 1), pages)
    start = (page - 1) * TASKS_PER_PAGE
    rows = _rows(state, tasks.in_order()[start : start + TASKS_PER_PAGE])
    return [(Line("task", 0), row) for row in rows], page, pages


def _of_tree(
    state: RunState, items: Items, page: int, opened: list[str]
) -> tuple[list[tuple[Line, Row | None]], int, int]:
    graph, names = state.run.version.graph, step_tree.opened(opened)
    tree = Tree(graph=graph, counts=state.by_position, items=items, opened=names)
    lines, page, pages = tree.page(page)
    rows = _rows_of(state, lines, with_hooks=page == pages)
    found: list[tuple[Line, Row | None]] = []
    for line in lines:
        found.append((line, rows.pop(_id(state.run, line), None) if line.position >= 0 else None))
    # Hooks stand behind the steps, as in the file.
    return found + [(Line("task", 0), row) for row in rows.values()], page, pages


def _rows_of(state: RunState, lines: list[Line], *, with_hooks: bool) -> dict[Any, Row]:
    """Return the rows of the tasks in the lines, and of the hooks, by their ids."""
    wanted = [_id(state.run, line) for line in lines if line.position >= 0]
    tasks = list(_tasks(state).filter(pk__in=wanted)) if wanted else []
    if with_hooks:
        tasks += _tasks(state).hooks().in_order()[:TASKS_PER_PAGE]
    return {row.id: row for row in _rows(state, tasks)}


def _rows(state: RunState, tasks: QuerySet[Task] | list[Task]) -> list[Row]:
    return make_rows(tasks, state.run, state.links, sees_payload=state.sees_payload)


def _tasks(state: RunState) -> TaskQuerySet:
    return silent_workers.marked(state.run.tasks.for_listing())


def _id(run: Run, line: Line) -> Any:
    if line.kind == "item":
        return ids.item_id(run.pk, line.position, line.index)
    return ids.task_id(run.pk, line.position)


def _failed_items(state: RunState) -> Items:
    """Return position and index of failed tasks in maps, by the position of the map."""
    graph, counts = state.run.version.graph, state.by_position
    found: Items = {}
    bodies = {node.position: node for node in graph.bodies if TaskStatus.FAILED in counts.get(node.position, {})}
    if bodies:
        items = state.run.tasks.at_items(bodies).failed().order_by("position", "map_index")
        for position, index in items.values_list("position", "map_index")[:ITEMS_READ]:
            found.setdefault(bodies[position].map_position or 0, []).append((position, index))
    return found


def _failed(state: RunState, items: Items) -> list[tuple[str, str]]:
    """Return label and address of tasks that failed, in the order of their positions; maps do not count."""
    graph, run = state.run.version.graph, state.run
    found = []
    for position, counts in state.by_position.items():
        if TaskStatus.FAILED in counts and position < len(graph.nodes) and position not in graph.maps:
            found.append((graph.node(position).step.id, ids.task_id(run.pk, position)))
    for several in items.values():
        for position, index in several:
            found.append((f"{graph.node(position).step.id}[{index}]", ids.item_id(run.pk, position, index)))
    return [(formatting.name(label), state.links.to_task(pk)) for label, pk in found]
