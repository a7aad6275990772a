"""The parts of one frame and the lines between them as layers: each line leads from a layer to a later one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from .blocks import Size
from .edges import Join

THIN: Final = 12
"""The height that a line or a dot takes."""
SWEEPS: Final = 3


class Net:
    """Vertices and lines. Vertices are numbers: first those of parts, then of dots, then of dummies."""

    def __init__(self, sizes: Sequence[Size], joins: Sequence[Join]) -> None:
        self.sizes = list(sizes)
        self.parts = len(sizes)
        self.above: list[list[int]] = [[] for _ in sizes]
        self.below: list[list[int]] = [[] for _ in sizes]
        self.hidden: set[tuple[int, int]] = set()
        self._connect(joins)
        self.last_dot = len(self.above)
        self.layer = self._layers()
        self._split()
        self.columns = self._columns()
        self.order = self._order()

    def _connect(self, joins: Sequence[Join]) -> None:
        done: set[tuple[int, int]] = set()
        for join in joins:
            if len(join.ends) > 1 and len(join.heads) > 1:
                dot = self._vertex()
                pairs = [*((end, dot) for end in join.ends), *((dot, head) for head in join.heads)]
            else:
                pairs = list(itertools.product(join.ends, join.heads))
            for pair in pairs:
                if pair not in done:
                    done.add(pair)
                    self._link(*pair)
                    if not join.is_drawn:
                        self.hidden.add(pair)

    def _vertex(self) -> int:
        self.above.append([])
        self.below.append([])
        self.sizes.append((0, THIN))
        return len(self.above) - 1

    def _link(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def _layers(self) -> list[int]:
        """Return the layer of each vertex by the longest path to it: even for parts, odd for dots between them.

        Frames may wait for each other in a circle, if single steps in them do: then a line goes back.
        """
        layer = [0] * len(self.above)
        missing = [len(above) for above in self.above]
        left = set(range(len(self.above)))
        ready = [vertex for vertex, count in enumerate(missing) if not count]
        while left:
            vertex = ready.pop(0) if ready else min(left)
            if vertex not in left:
                continue
            left.remove(vertex)
            for lower in self.below[vertex]:
                if lower not in left:
                    continue
                step = 2 if vertex < self.parts and lower < self.parts else 1
                layer[lower] = max(layer[lower], layer[vertex] + step)
                missing[lower] -= 1
                if not missing[lower]:
                    ready.append(lower)
        return layer

    def _split(self) -> None:
        """Lead each long line through a dummy in every even layer that it passes."""
        for lower in range(self.last_dot):
            passed: dict[int, int] = {}
            uppers, self.above[lower] = self.above[lower], []
            for upper in uppers:
                self.below[upper].remove(lower)
                if self.layer[upper] < self.layer[lower] and (upper, lower) not in self.hidden:
                    self._lead(upper, lower, passed)

    def _lead(self, upper: int, lower: int, passed: dict[int, int]) -> None:
        first = self.layer[upper] // 2 * 2 + 2
        for layer in range(first, self.layer[lower], 2):
            joined = layer in passed
            if not joined:
                passed[layer] = self._vertex()
                self.layer.append(layer)
            self._link(upper, passed[layer])
            if joined:
                return
            upper = passed[layer]
        self._link(upper, lower)

    def _columns(self) -> list[list[int]]:
        columns: list[list[int]] = [[] for _ in range(max(self.layer, default=0) + 1)]
        for vertex, layer in enumerate(self.layer):
            columns[layer].append(vertex)
        return columns

    def _order(self) -> list[float]:
        order = [0.0] * len(self.above)
        for column in self.columns:
            order_column(column, order)
        for _ in range(SWEEPS):
            for columns, neighbours in ((self.columns, self.above), (self.columns[::-1], self.below)):
                for column in columns:
                    column.sort(key=lambda vertex: mean(neighbours[vertex], order, order[vertex]))
                    order_column(column, order)
        return order


def order_column(column: Sequence[int], order: list[float]) -> None:
    """Write each vertex's place in its column to ``order``, between 0 and 1: columns of any size compare."""
    size = len(column)
    for place, vertex in enumerate(column):
        order[vertex] = (place + 0.5) / size


def mean(vertices: Sequence[int], values: Sequence[float] | dict[int, float], default: float) -> float:
    """Return the mean of the values of some vertices; ``default`` if there are none."""
    return sum(values[vertex] for vertex in vertices) / len(vertices) if vertices else default
