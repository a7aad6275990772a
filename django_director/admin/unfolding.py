"""Which frames of a graph are open on a page, as its address says or as the tasks of a run suggest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from django_director.drawing.faces import of_interest
from django_director.drawing.gallery import outline_of, picture_of
from django_director.graph import Graph
from django_director.models import Run

MOST: Final = 20
"""How many frames an address may open."""

Rows = list[tuple[int, str, int]]
"""The position, status and attempt of each task."""


def choose_unfolded(graph: Graph, asked: str | None, rows: Rows) -> tuple[int, ...]:
    """Return the numbers of the frames that are open beside the usual ones.

    They are those that an address asks for; if it asks for none, those around the first task that failed, or else
    runs or waits.
    """
    if asked is not None:
        return read_numbers(asked)
    position = of_interest(rows)
    usual = picture_of(graph)
    if position is None or not usual.is_folded:
        return ()
    return tuple(number for number in outline_of(graph).path_to(position) if number not in usual.is_open)


def read_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers in a text such as ``3,17``; whatever is no number is left out."""
    numbers = (each for each in text.split(",") if each.isascii() and each.isdecimal() and len(each) < 9)
    return tuple(sorted({int(number) for number in numbers}))[:MOST]


def written(numbers: Iterable[int]) -> str:
    """Return numbers as an address has them."""
    return ",".join(map(str, numbers))


def rows_of_hooks(run: Run, statuses: Sequence[tuple[int, str, int, bool]]) -> Rows:
    """Return the present hooks of a run. After a reset those of former ends have rows too, so it takes a query."""
    if not run.generation:
        return [(position, status, attempt) for position, status, attempt, is_hook in statuses if is_hook]
    if not run.version.graph.hooks:
        return []
    hooks = run.tasks.hooks().filter(generation=run.generation)
    return list(hooks.order_by().values_list("position", "status", "attempt"))
