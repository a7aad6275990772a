"""Pieces of a drawing at their places: rectangles, lines between them, and the dots where lines meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

Point = tuple[float, float]
Size = tuple[float, float]

TURN: Final = 7
"""The radius of the corner of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points: curved if it has two, else with round corners. The last one of a way has an arrow."""

    points: tuple[Point, ...]
    has_arrow: bool = True

    def moved(self, x: float, y: float) -> Line:
        """Return the line at another place."""
        return Line(tuple((x + px, y + py) for px, py in self.points), self.has_arrow)


@dataclass(slots=True)
class Block:
    """Where the parts of one frame are, from the corner at the top and left of the block."""

    width: float = 0
    height: float = 0
    places: dict[int, Point] = field(default_factory=dict)
    """The corner of each part, by its place in the frame."""
    lines: list[Line] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    frames: list[tuple[Point, Size]] = field(default_factory=list)
    """Frames without a name, around parts that wait for the same parts."""

    def add(self, other: Block, x: float, y: float) -> None:
        """Put another block into this one."""
        self.places |= {place: (x + px, y + py) for place, (px, py) in other.places.items()}
        self.lines += [line.moved(x, y) for line in other.lines]
        self.dots += [(x + px, y + py) for px, py in other.dots]
        self.frames += [((x + px, y + py), size) for (px, py), size in other.frames]
        self.width = max(self.width, x + other.width)
        self.height = max(self.height, y + other.height)


def path_of(line: Line) -> str:
    """Return the path data of a line."""
    points = line.points
    if len(points) == 2:
        return _curve(*points[0], *points[1])
    return _bent(points)


def arrow_of(line: Line) -> str:
    """Return the path data of the arrow at the end of a line."""
    (px, py), (x, y) = line.points[-2:]
    if (abs(y - py) > abs(x - px) and len(line.points) > 2) or x == px:
        step = -7 if y > py else 7
        return f"M{n(x - 4)} {n(y + step)}l4 {-step}l4 {step}z"
    return f"M{n(x - 7)} {n(y - 4)}l7 4l-7 4z"


def _curve(x: float, y: float, end: float, height: float) -> str:
    if x == end:
        return f"M{n(x)} {n(y)}V{n(height)}"
    if y == height:
        return f"M{n(x)} {n(y)}H{n(end)}"
    middle = n((x + end) / 2)
    return f"M{n(x)} {n(y)}C{middle} {n(y)} {middle} {n(height)} {n(end)} {n(height)}"


def _bent(points: Sequence[Point]) -> str:
    parts = [f"M{n(points[0][0])} {n(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        turn = min(TURN, _distance(before, corner) / 2, _distance(corner, after) / 2)
        begin, end = _toward(corner, before, turn), _toward(corner, after, turn)
        parts.append(f"L{n(begin[0])} {n(begin[1])}Q{n(corner[0])} {n(corner[1])} {n(end[0])} {n(end[1])}")
    return "".join((*parts, f"L{n(points[-1][0])} {n(points[-1][1])}"))


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _toward(corner: Point, target: Point, by: float) -> Point:
    distance = _distance(corner, target) or 1
    return tuple(c + (t - c) / distance * by for c, t in zip(corner, target, strict=True))  # type: ignore[return-value]


def n(value: float) -> str:
    """Return a number as SVG has it, with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
