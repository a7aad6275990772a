"""Lays out the boxes and lines of a graph: in layers from left to right, with few crossings and straight lines.

It has the four steps of a layered (Sugiyama) layout: layers by the longest path; dummies where a line passes a
layer; an order in each layer by barycentre sweeps; and heights as near to those of the neighbours as the distances
allow. Lines from several tasks to several others meet in a dot, and lines to one target share their dummies. So
the time grows with the number of tasks only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from django_director.graph import Graph

from . import folds
from .picture import BOX_HEIGHT, Box, Dot, Picture, box_width

GAP_X: Final = 56
MARGIN: Final = 12
PITCH: Final = BOX_HEIGHT + 16
THIN: Final = BOX_HEIGHT / 2 + 14
"""The distance of a line or dot from its neighbours."""
SWEEPS: Final = 3
FAN: Final = 6
"""If one vertex has more lines than this, they are drawn as a fan with elbows."""
BEND: Final = 8


def lay_out(graph: Graph) -> Picture:
    """Return the picture of a graph; a graph with more than ``folds.MAX_BOXES`` tasks is folded."""
    return _Layout(graph).picture()


class _Layout:
    """The layout of one graph. Vertices are numbers: first those of boxes, then of dots, then of dummies."""

    def __init__(self, graph: Graph) -> None:
        self.units = folds.fold(graph)
        self.above: list[list[int]] = [[] for _ in self.units]
        self.below: list[list[int]] = [[] for _ in self.units]
        self._connect(graph)
        self.last_dot = len(self.above)
        self.layer = self._layers()
        self._split()
        self.rows = self._rows()
        self.y = [0.0] * len(self.above)

    def picture(self) -> Picture:
        """Order and place the vertices; return the picture."""
        self._order()
        self._place()
        width = box_width(self.units)
        boxes = len(self.units)
        spots = [(self._x(vertex, width), self.y[vertex]) for vertex in range(self.last_dot)]
        return Picture(
            width=max((x + width for x, _ in spots), default=0) + MARGIN,
            height=max(self.y, default=0) + BOX_HEIGHT / 2 + MARGIN,
            box_width=width,
            boxes=tuple(Box(unit=unit, x=x, y=y) for unit, (x, y) in zip(self.units, spots, strict=False)),
            dots=tuple(Dot(x=x, y=y) for x, y in spots[boxes:]),
            lines="".join(self._lines(width)),
            arrows="".join(
                f"M{_n(x - 7)} {_n(y - 4)}l7 4l-7 4z"
                for (x, y), above in zip(spots[:boxes], self.above, strict=False)
                if above
            ),
        )

    def _connect(self, graph: Graph) -> None:
        """Make the lines. Tasks that wait for the same tasks share one tuple, so each join is made once."""
        unit_of = {position: number for number, unit in enumerate(self.units) for position in unit.positions}
        joins: dict[int, tuple[tuple[int, ...], list[int]]] = {}
        for node in graph.nodes:
            joins.setdefault(id(node.upstream), (node.upstream, []))[1].append(node.position)
        done: set[tuple[int, int]] = set()
        for upstream, released in joins.values():
            ends, heads = _unique(unit_of, upstream), _unique(unit_of, released)
            if len(ends) > 1 and len(heads) > 1:
                self._join(ends, heads)
                continue
            for pair in ((end, head) for end in ends for head in heads if end != head):
                if pair not in done:
                    done.add(pair)
                    self._link(*pair)

    def _join(self, ends: Sequence[int], heads: Sequence[int]) -> None:
        dot = self._vertex()
        for end in ends:
            self._link(end, dot)
        for head in heads:
            self._link(dot, head)

    def _vertex(self) -> int:
        self.above.append([])
        self.below.append([])
        return len(self.above) - 1

    def _link(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def _layers(self) -> list[int]:
        """Return the layer of each vertex by the longest path to it: even for boxes, odd for dots between them."""
        layer = [0] * len(self.above)
        missing = [len(above) for above in self.above]
        ready = [vertex for vertex, count in enumerate(missing) if not count]
        boxes = len(self.units)
        for vertex in ready:
            for lower in self.below[vertex]:
                step = 2 if vertex < boxes and lower < boxes else 1
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

    def _rows(self) -> list[list[int]]:
        rows: list[list[int]] = [[] for _ in range(max(self.layer, default=0) + 1)]
        for vertex, layer in enumerate(self.layer):
            rows[layer].append(vertex)
        return [row for row in rows if row]

    def _order(self) -> None:
        order = [0.0] * len(self.above)
        for row in self.rows:
            order_row(row, order)
        for _ in range(SWEEPS):
            for rows, neighbours in ((self.rows, self.above), (self.rows[::-1], self.below)):
                for row in rows:
                    row.sort(key=lambda vertex: _mean(neighbours[vertex], order, order[vertex]))
                    order_row(row, order)

    def _place(self) -> None:
        offsets = [self._offsets(row) for row in self.rows]
        for row, offset in zip(self.rows, offsets, strict=True):
            for vertex, distance in zip(row, offset, strict=True):
                self.y[vertex] = distance - offset[-1] / 2
        paired = list(zip(self.rows, offsets, strict=True))
        for _ in range(SWEEPS):
            for rows, neighbours in ((paired, self.above), (paired[::-1], self.below)):
                for row, offset in rows:
                    wanted = [_mean(neighbours[vertex], self.y, self.y[vertex]) for vertex in row]
                    for vertex, height in zip(row, spread(wanted, offset), strict=True):
                        self.y[vertex] = height
        top = min(self.y, default=0.0) - BOX_HEIGHT / 2 - MARGIN
        self.y = [height - top for height in self.y]

    def _offsets(self, row: Sequence[int]) -> list[float]:
        """Return the least distance of each vertex of a row from the first one."""
        offsets, boxes = [0.0], len(self.units)
        for upper, lower in itertools.pairwise(row):
            offsets.append(offsets[-1] + (PITCH if upper < boxes and lower < boxes else THIN))
        return offsets

    def _x(self, vertex: int, width: float) -> float:
        column, between = divmod(self.layer[vertex], 2)
        x = MARGIN + column * (width + GAP_X)
        return x + width + GAP_X / 2 if between else x

    def _lines(self, width: float) -> Iterable[str]:
        boxes = len(self.units)
        for upper, belows in enumerate(self.below):
            is_dot = boxes <= upper < self.last_dot
            start = self._x(upper, width) + (0 if is_dot else width)
            for lower in belows:
                end = self._x(lower, width)
                is_fan = max(len(belows), len(self.above[lower])) > FAN
                draw = _elbow if is_fan else _curve
                yield draw(start, self.y[upper], end, self.y[lower])
                if lower >= self.last_dot:
                    yield f"H{_n(end + width)}"


def spread(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return heights that keep the distances and are nearest to the wanted ones.

    It is an isotonic regression by least squares.
    """
    blocks: list[tuple[float, int]] = []
    for height, offset in zip(wanted, offsets, strict=True):
        total, count = height - offset, 1
        while blocks and blocks[-1][0] * count > total * blocks[-1][1]:
            previous = blocks.pop()
            total, count = total + previous[0], count + previous[1]
        blocks.append((total, count))
    levels = (total / count for total, count in blocks for _ in range(count))
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def order_row(row: Sequence[int], order: list[float]) -> None:
    """Write each vertex's place in its row to ``order``, between 0 and 1, so that rows of any size compare."""
    size = len(row)
    for place, vertex in enumerate(row):
        order[vertex] = (place + 0.5) / size


def _curve(x: float, y: float, end: float, height: float) -> str:
    middle = _n((x + end) / 2)
    return f"M{_n(x)} {_n(y)}C{middle} {_n(y)} {middle} {_n(height)} {_n(end)} {_n(height)}"


def _elbow(x: float, y: float, end: float, height: float) -> str:
    """Return a line of a fan; they share one vertical part, because many curves could not be told apart."""
    middle, turn = (x + end) / 2, min(BEND, abs(height - y) / 2)
    down = turn if height >= y else -turn
    return (
        f"M{_n(x)} {_n(y)}H{_n(middle - turn)}Q{_n(middle)} {_n(y)} {_n(middle)} {_n(y + down)}"
        f"V{_n(height - down)}Q{_n(middle)} {_n(height)} {_n(middle + turn)} {_n(height)}H{_n(end)}"
    )


def _mean(vertices: Sequence[int], values: Sequence[float], default: float) -> float:
    return sum(values[vertex] for vertex in vertices) / len(vertices) if vertices else default


def _unique(unit_of: dict[int, int], positions: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(unit_of[position] for position in positions))


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
