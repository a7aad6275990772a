"""Lays out the parts of one frame from left to right, in layers that go on in the next row like a text.

It has the four steps of a layered (Sugiyama) layout: layers by the longest path; dummies where a line passes a
layer; an order in each layer by barycentre sweeps; and heights as near to those of the neighbours as the distances
allow. Lines from several parts to several others meet in a dot, and lines to one target share their dummies. So
the time grows with the number of parts only.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from .blocks import Block, Line, Point, Size
from .edges import Join
from .net import SWEEPS, Net, mean

GAP_X: Final = 36
GAP_Y: Final = 16
FAN: Final = 6
"""If one vertex has more lines than this, they are drawn as a fan with corners."""
TRACK: Final = 7
"""The distance of two lines that turn into the next row."""


def lay_out(sizes: Sequence[Size], joins: Sequence[Join], limit: float) -> Block:
    """Return the block of connected parts; it is wider than ``limit`` only if one part is."""
    net = Net(sizes, joins)
    rows = _wrapped(net, limit)
    return _Rows(net, rows).block()


def _wrapped(net: Net, limit: float) -> list[list[int]]:
    """Return the layers of each row. A dot between two layers stays in the row of the first."""
    widths = [max((net.sizes[vertex][0] for vertex in column), default=0) for column in net.columns]
    if sum(widths) + GAP_X * (len(widths) // 2) <= limit:
        return [list(range(len(widths)))]
    rows: list[list[int]] = [[]]
    x = 0.0
    for layer, width in enumerate(widths):
        if layer % 2:
            rows[-1].append(layer)
            continue
        if x and x + width > limit - GAP_X:
            rows.append([])
            x = 0.0
        rows[-1].append(layer)
        x += width + GAP_X
    return rows


class _Rows:
    """Gives each vertex its place, one row of layers after the other."""

    def __init__(self, net: Net, rows: Sequence[Sequence[int]]) -> None:
        self.net = net
        self.rows = rows
        self.row_of = {vertex: r for r, row in enumerate(rows) for each in row for vertex in net.columns[each]}
        self.x: dict[int, float] = {}
        self.y: dict[int, float] = {}
        """The middle of each vertex."""
        self.ends: list[float] = []
        """Where each row ends at the bottom."""
        self.rights: list[float] = []
        """Where each row ends at the right."""
        self.column_width: dict[int, float] = {}

    def block(self) -> Block:
        """Place everything and return it."""
        margin = GAP_X / 2 if len(self.rows) > 1 else 0.0
        top = 0.0
        for number, row in enumerate(self.rows):
            tracks = len(self._turns(number - 1)) if number else 0
            top += GAP_Y + GAP_X / 2 + TRACK * tracks if number else 0
            top = self._place(row, margin, top)
            self.ends.append(top)
        parts = range(self.net.parts)
        return Block(
            width=max(self.rights) + margin,
            height=top,
            places={vertex: (self.x[vertex], self.y[vertex] - self.net.sizes[vertex][1] / 2) for vertex in parts},
            lines=self._lines(),
            dots=[(self.x[vertex], self.y[vertex]) for vertex in range(self.net.parts, self.net.last_dot)],
        )

    def _place(self, row: Sequence[int], x: float, top: float) -> float:
        """Place the vertices of one row below ``top``; return where it ends."""
        columns = [self.net.columns[layer] for layer in row]
        for layer, column in zip(row, columns, strict=True):
            if layer % 2:
                self.x |= dict.fromkeys(column, x - GAP_X / 2)
                continue
            width = max((self.net.sizes[vertex][0] for vertex in column), default=0)
            self.x |= dict.fromkeys(column, x)
            self.column_width |= dict.fromkeys(column, width)
            x += width + GAP_X
        self.rights.append(x - GAP_X)
        return self._settle([column for column in columns if column], top)

    def _settle(self, columns: Sequence[Sequence[int]], top: float) -> float:
        """Find the heights of the vertices of one row."""
        inside = {vertex for column in columns for vertex in column}
        sizes = self.net.sizes
        offsets = [_offsets([sizes[vertex][1] for vertex in column]) for column in columns]
        y: dict[int, float] = {}
        for column, offset in zip(columns, offsets, strict=True):
            y |= {vertex: distance - offset[-1] / 2 for vertex, distance in zip(column, offset, strict=True)}
        paired = list(zip(columns, offsets, strict=True))
        for _ in range(SWEEPS):
            for ordered, neighbours in ((paired, self.net.above), (paired[::-1], self.net.below)):
                for column, offset in ordered:
                    near = [[each for each in neighbours[vertex] if each in inside] for vertex in column]
                    wanted = [mean(each, y, y[vertex]) for each, vertex in zip(near, column, strict=True)]
                    y |= dict(zip(column, spread(wanted, offset), strict=True))
        least = min((y[vertex] - sizes[vertex][1] / 2 for vertex in inside), default=0.0)
        self.y |= {vertex: height - least + top for vertex, height in y.items()}
        return max((self.y[vertex] + sizes[vertex][1] / 2 for vertex in inside), default=top)

    def _turns(self, row: int) -> list[tuple[list[int], list[int]]]:
        """Return the lines from a row to the next, those with a common end or head together."""
        found: dict[tuple[str, int], tuple[list[int], list[int]]] = {}
        for upper in (vertex for layer in self.rows[row] for vertex in self.net.columns[layer]):
            lowers = [each for each in self.net.below[upper] if self.row_of[each] != row]
            for lower in lowers:
                key = ("from", upper) if len(lowers) > 1 else ("to", lower)
                uppers, heads = found.setdefault(key, ([], []))
                uppers.extend([upper] if upper not in uppers else [])
                heads.extend([lower] if lower not in heads else [])
        return list(found.values())

    def _lines(self) -> list[Line]:
        lines = [line for upper in range(len(self.net.below)) for line in self._straight(upper)]
        for number in range(len(self.rows) - 1):
            for track, (uppers, lowers) in enumerate(self._turns(number)):
                lines += self._turn(number, track, uppers, lowers)
        passed = range(self.net.last_dot, len(self.net.below))
        lines += [Line(((self.x[v], self.y[v]), (self._end(v), self.y[v])), has_arrow=False) for v in passed]
        return lines

    def _straight(self, upper: int) -> list[Line]:
        """Return the lines from a vertex to others in its row."""
        start = (self._end(upper), self.y[upper])
        lines = []
        for lower in self.net.below[upper]:
            if self.row_of[lower] == self.row_of[upper]:
                end = (self.x[lower], self.y[lower])
                is_fan = max(len(self.net.below[upper]), len(self.net.above[lower])) > FAN
                middle = self.x[lower] - GAP_X / 2 if lower < self.net.parts else (start[0] + end[0]) / 2
                bend = ((middle, start[1]), (middle, end[1])) if is_fan and start[1] != end[1] else ()
                lines.append(Line((start, *bend, end), lower < self.net.parts))
        return lines

    def _turn(self, row: int, track: int, uppers: Sequence[int], lowers: Sequence[int]) -> list[Line]:
        """Return the lines that go around the end of a row to the beginning of the next."""
        shift = min(4 * track, GAP_X / 2 - 8)
        right, left = self.rights[row] + GAP_X / 2 - 2 - shift, 2 + shift
        height = self.ends[row] + GAP_Y / 2 + 4 + TRACK * track
        lines = []
        for upper, lower in itertools.product(uppers, lowers):
            start, end = (self._end(upper), self.y[upper]), (self.x[lower], self.y[lower])
            corners: tuple[Point, ...] = ((right, start[1]), (right, height), (left, height), (left, end[1]))
            lines.append(Line((start, *corners, end), lower < self.net.parts))
        return lines

    def _end(self, vertex: int) -> float:
        """Return where lines from a vertex begin."""
        if self.net.parts <= vertex < self.net.last_dot:
            return self.x[vertex]
        is_part = vertex < self.net.parts
        return self.x[vertex] + (self.net.sizes[vertex][0] if is_part else self.column_width[vertex])


def _offsets(heights: Sequence[float]) -> list[float]:
    """Return the least distance of the middle of each vertex from that of the first one."""
    offsets = [0.0]
    for upper, lower in itertools.pairwise(heights):
        offsets.append(offsets[-1] + (upper + lower) / 2 + GAP_Y)
    return offsets


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
