"""Reads all tasks of a run in the order in which people read them, a page of rows at a time.

Steps come in the order of the file, the tasks in a map behind the map, and hooks last. No index has this order. A
run may have 100,000 tasks: nothing here holds more than a page of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import Count

from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import TaskStatus

from .serializers import Json, task_lines_as_json, tasks_as_json

PAGE: Final = 200
"""How many rows are read at a time."""
ITEMS_SHOWN: Final = 20
"""With more items than this in a map, the tasks of a step are counted in place of listed."""


@dataclass(frozen=True, slots=True)
class Many:
    """The tasks of one step for the items of a map: how many have which status, and the first that have failed."""

    step: str
    counts: dict[str, int]
    """By status, the most frequent first."""
    failed: list[Json]

    @property
    def total(self) -> int:
        """The number of tasks."""
        return sum(self.counts.values())


def as_json(run: Run, *, with_payload: bool) -> Iterator[Json]:
    """Yield all tasks of a run as JSON objects, with results and tracebacks if ``with_payload``."""
    tasks: TaskQuerySet = run.tasks.all() if with_payload else run.tasks.for_listing()
    yield from tasks_as_json(run, _all(run, tasks), with_payload=with_payload)


def lines(run: Run) -> Iterator[Json | Many]:
    """Yield what a list for people shows of each task, or of all tasks of a step in a map with many items.

    The objects are those of ``as_json`` with errors, but without ``result``, ``traceback`` and ``upstream``.
    """
    tasks, graph = run.tasks.for_listing(), run.version.graph
    for rows in _pages_of_nodes(tasks, len(graph.nodes)):
        for task, line in zip(rows, task_lines_as_json(run, rows), strict=True):
            yield line
            for position in _body(run, task):
                yield from _lines_of_items(run, tasks.filter(position=position))
    yield from task_lines_as_json(run, tasks.hooks().in_order())


def _lines_of_items(run: Run, tasks: TaskQuerySet) -> Iterator[Json | Many]:
    """Yield the lines of the tasks of one step in a map."""
    first = list(tasks.order_by("map_index")[: ITEMS_SHOWN + 1])
    if len(first) <= ITEMS_SHOWN:
        yield from task_lines_as_json(run, first)
        return
    failed = tasks.filter(status=TaskStatus.FAILED).order_by("map_index")[:ITEMS_SHOWN]
    counts = dict(sorted(_count_by_status(tasks).items(), key=lambda count: (-count[1], count[0])))
    yield Many(first[0].step, counts, list(task_lines_as_json(run, failed)))


def _count_by_status(tasks: TaskQuerySet) -> dict[str, int]:
    return dict(tasks.order_by().values_list("status").annotate(Count("pk")))


def _all(run: Run, tasks: TaskQuerySet) -> Iterator[Task]:
    for rows in _pages_of_nodes(tasks, len(run.version.graph.nodes)):
        for task in rows:
            yield task
            for position in _body(run, task):
                yield from _items(tasks.filter(position=position))
    yield from tasks.hooks().in_order()


def _body(run: Run, task: Task) -> range:
    """Return the positions of the tasks in a map; none for a task that is no map."""
    node = run.version.graph.maps.get(task.position)
    return range(*node.body) if node is not None and node.body else range(0)


def _pages_of_nodes(tasks: TaskQuerySet, end: int) -> Iterator[list[Task]]:
    """Yield the tasks before the position ``end`` in pages, each found by its place in an index."""
    last, is_full = -1, True
    while is_full:
        rows = list(tasks.nodes().filter(position__gt=last, position__lt=end).order_by("position")[:PAGE])
        yield rows
        is_full = len(rows) == PAGE
        last = rows[-1].position if is_full else last


def _items(tasks: TaskQuerySet) -> Iterator[Task]:
    """Yield the tasks at one position in a map, in the order of the items."""
    last, is_full = -1, True
    while is_full:
        rows = list(tasks.filter(map_index__gt=last).order_by("map_index")[:PAGE])
        yield from rows
        is_full = len(rows) == PAGE
        last = rows[-1].map_index if is_full else last
