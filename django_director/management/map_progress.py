"""Tells of large maps, while a command waits for their run, how many tasks are done: not a line for each."""

from __future__ import annotations

import math
import time
from typing import Final

from django.core.management.base import OutputWrapper

from django_director.models import Run
from django_director.presentation import summaries
from django_director.status import TaskStatus

EACH: Final = 20
"""Of a map with at most so many items each item gets a line of its own."""
PERIOD: Final = 1.0
"""Seconds between two lines of a map at least."""


class MapProgress:
    """Prints the counts of large maps whenever they have changed, at most once a second."""

    def __init__(self, stream: OutputWrapper) -> None:
        self._stream = stream
        self._printed_at = -math.inf
        self._texts: dict[int, str] = {}

    def update(self, run: Run, *, at_end: bool = False) -> set[int]:
        """Print what has changed, and return the positions of the tasks for items of large maps."""
        sizes = dict(run.tasks.filter(map_count__gt=EACH).order_by().values_list("position", "map_count"))
        if sizes and (at_end or time.monotonic() - self._printed_at >= PERIOD):
            self._printed_at = time.monotonic()
            self._print(run, sizes)
        bodies = (run.version.graph.node(position).body for position in sizes)
        return {position for body in bodies if body is not None for position in range(*body)}

    def _print(self, run: Run, sizes: dict[int, int]) -> None:
        graph = run.version.graph
        for position, counts in sorted(run.tasks.counts_of_items(graph).items()):
            if position not in sizes:
                continue
            done, total = summaries.progress(counts)
            failed = counts.get(TaskStatus.FAILED, 0)
            text = f"{graph.node(position).step.id}: {done:,} of {total:,} tasks are done"
            text += f", {failed:,} failed" if failed else ""
            if self._texts.get(position) != text:
                self._texts[position] = text
                self._stream.write(text, style_func=str)
