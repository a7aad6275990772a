"""The items of a map as people look at them: how far they are, a strip of them, pages of them, why some failed.

A map may have 100,000 items. The database counts them in cells of neighbours, and no page holds more than a few
hundred rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import Count, F, Q
from django.db.models.functions import Left
from django.utils.translation import gettext as _

from django_director.common.languages import number
from django_director.graph import Node
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import TASK_FINISHED, TaskStatus

from . import causes, visible_errors

CELLS: Final = 500
"""How many cells a strip has at most."""
PAGE: Final = 50
"""How many tasks a page lists."""
SAMPLE: Final = 1_000
"""How many failures are read at most, those of the first items."""
BIGGEST: Final = 10**9
ITEM_DONE: Final = TASK_FINISHED - {TaskStatus.CANCELED}
"""The statuses of an item's last task with which the item is done: it never ran if a task before it failed."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many items a map has, how many are done, and how many tasks for items have failed."""

    count: int
    ended: int
    failed: int

    @property
    def text(self) -> str:
        """Say it in words: ``11,738 of 20,000, 2 failed``."""
        numbers = {name: number(getattr(self, name)) for name in ("ended", "count", "failed")}
        if self.failed:
            return _("%(ended)s of %(count)s, %(failed)s failed") % numbers
        return _("%(ended)s of %(count)s") % numbers


@dataclass(slots=True)
class Cell:
    """Some neighbouring items: how many of their tasks have which status."""

    first: int
    size: int
    statuses: Counter[str] = field(default_factory=Counter)
    positions: dict[str, int] = field(default_factory=dict)
    """By status: the position of the first task with it."""


class Failures(NamedTuple):
    """Failed tasks for items with the same error but for numbers and ids."""

    error: str
    tasks: Sequence[Failure]


class Failure(NamedTuple):
    """A failed task for an item."""

    pk: UUID
    map_index: int
    step: str
    error: str

    @property
    def label(self) -> str:
        return f"{self.step}[{self.map_index}]"


class Place(NamedTuple):
    """Where a page of tasks begins: at the task with this place in the chain of this item."""

    item: int
    step: int

    def __str__(self) -> str:
        return f"{self.item}.{self.step}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what an address says; nonsense is the beginning."""
        item, _dot, step = text.partition(".")
        numbers = [int(each) if each.isascii() and each.isdecimal() else 0 for each in (item[:10], step[:10])]
        return cls(*(min(number, BIGGEST) for number in numbers))


class MapItems:
    """The items of a map that has its items. It takes one query, for the cells."""

    def __init__(self, task: Task, node: Node) -> None:
        self._task = task
        self._body = node.body or (0, 0)
        self.count = task.map_count or 0
        self.counts = Counter[str]()
        """How many tasks for items have which status."""
        self._ended = 0
        self.cells = self._read_cells()

    @property
    def steps(self) -> int:
        """Return how many tasks each item has."""
        return self._body[1] - self._body[0]

    @property
    def tally(self) -> Tally:
        return Tally(self.count, self._ended, self.counts[TaskStatus.FAILED])

    def page(self, status: str, place: Place) -> tuple[list[Task], Place | None]:
        """Return the tasks of a page, which begins at ``place``, and where the next one begins; in one query."""
        tasks = self._tasks().filter(map_index__gte=place.item)
        if place.step:
            position = self._body[0] + place.step
            tasks = tasks.filter(Q(map_index__gt=place.item) | Q(position__gte=position))
        if status:
            tasks = tasks.filter(status=status)
        rows = list(tasks.for_listing().order_by("map_index", "position")[: PAGE + 1])
        more = rows[PAGE] if len(rows) > PAGE else None
        return rows[:PAGE], None if more is None else Place(more.map_index, more.position - self._body[0])

    def failures(self, *, sees_payload: bool) -> list[Failures]:
        """Return the failures among the first ``SAMPLE`` by cause, the most frequent first. It takes one query."""
        failed = self._tasks().failed().order_by("position", "map_index")
        columns = ("pk", "map_index", "step", "beginning")
        rows = failed.annotate(beginning=Left("error", causes.TEXT_READ)).values_list(*columns)[:SAMPLE]
        found: dict[str, list[Failure]] = {}
        for pk, index, step, text in rows:
            error = visible_errors.of_task(text, sees_payload=sees_payload)
            found.setdefault(causes.key_of(step, error), []).append(Failure(pk, index, step, error))
        groups = [Failures(tasks[0].error, tasks) for tasks in found.values()]
        return sorted(groups, key=lambda group: -len(group.tasks))

    def _read_cells(self) -> list[Cell]:
        size = max(1, -(-self.count // CELLS))
        cells = [Cell(first, min(size, self.count - first)) for first in range(0, self.count, size)]
        tasks = self._tasks().filter(map_index__lt=self.count).order_by()
        rows = tasks.annotate(first=F("map_index") - F("map_index") % size).values_list(
            "first", "position", "status"
        )
        for first, position, status, tasks_there in sorted(rows.annotate(Count("pk"))):
            cell = cells[first // size]
            cell.statuses[status] += tasks_there
            self.counts[status] += tasks_there
            cell.positions.setdefault(status, position)
            if position == self._body[1] - 1 and status in ITEM_DONE:
                # What an item has left when it ends never runs, and gets its status at once.
                self._ended += tasks_there
        return cells

    def _tasks(self) -> TaskQuerySet:
        start, stop = self._body
        tasks: TaskQuerySet = Task.objects.filter(run=self._task.run_id, map_index__gte=0)
        # One position has its own part of the index, in the order of the items.
        return tasks.filter(position=start) if stop - start == 1 else tasks.filter(position__in=range(start, stop))


def next_failed(task: Task, body: Iterable[int]) -> UUID | None:
    """Return the failed task of the first failed item behind that of ``task``. It takes one query."""
    behind = Task.objects.filter(run=task.run_id, position__in=list(body), map_index__gt=task.map_index).failed()
    found: UUID | None = behind.order_by("map_index", "position").values_list("pk", flat=True).first()
    return found
