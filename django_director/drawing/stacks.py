"""Lays out the parts of one frame below each other, for narrow screens: other lines than those to the next part
run in lanes beside the parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .blocks import Block, Line, Size
from .edges import Join

GAP: Final = 12
"""Between parts without a line."""
ARROW: Final = 24
"""Between parts with a line."""
LANE: Final = 8


def lay_out(sizes: Sequence[Size], joins: Sequence[Join]) -> Block:
    """Return the block of parts, of which each stands below the one before."""
    drawn = [join for join in joins if join.is_drawn]
    direct = {join.ends[0] for join in drawn if _is_direct(join)}
    lanes = _lanes([join for join in drawn if not _is_direct(join)])
    indent = LANE * (max(lanes.values(), default=-1) + 1) + (8 if lanes else 0)
    middle = indent + max((width for width, _ in sizes), default=0) / 2
    block, y = Block(), 0.0
    for place, (width, height) in enumerate(sizes):
        block.places[place] = (middle - width / 2 if not lanes else indent, y)
        block.width = max(block.width, block.places[place][0] + width)
        block.height = y + height
        y += height + (ARROW if place in direct else GAP)
    block.lines = [_straight(block, sizes, place) for place in sorted(direct)]
    for join, lane in lanes.items():
        block.lines += _around(block, sizes, join, 4 + LANE * lane)
    return block


def _is_direct(join: Join) -> bool:
    return len(join.ends) == len(join.heads) == 1 and join.heads[0] == join.ends[0] + 1


def _lanes(joins: Sequence[Join]) -> dict[Join, int]:
    """Return the lane of each join; two joins that pass the same part have different lanes."""
    lanes: dict[Join, int] = {}
    until: list[int] = []
    for join in sorted(joins, key=lambda each: (min(each.ends + each.heads), each.ends, each.heads)):
        first, last = min(join.ends + join.heads), max(join.ends + join.heads)
        lane = next((lane for lane, busy in enumerate(until) if busy < first), len(until))
        until[lane : lane + 1] = [last]
        lanes[join] = lane
    return lanes


def _straight(block: Block, sizes: Sequence[Size], place: int) -> Line:
    (x, y), (_, below) = block.places[place], block.places[place + 1]
    width, height = min(sizes[place][0], sizes[place + 1][0]), sizes[place][1]
    middle = max(x, block.places[place + 1][0]) + width / 2
    return Line(((middle, y + height), (middle, below)))


def _around(block: Block, sizes: Sequence[Size], join: Join, x: float) -> list[Line]:
    """Return the lines of a join: each leads out of an end to the left, along the lane, and into a head."""
    middle = {place: block.places[place][1] + sizes[place][1] / 2 for place in (*join.ends, *join.heads)}
    left = {place: block.places[place][0] for place in middle}
    # One line for each part is enough, because they share the lane.
    far = max(join.heads, key=lambda head: abs(middle[head] - middle[join.ends[0]]))
    pairs = dict.fromkeys([*((end, far) for end in join.ends), *((join.ends[0], head) for head in join.heads)])
    return [
        Line(
            (
                (left[end], middle[end] + 4),
                (x, middle[end] + 4),
                (x, middle[head] - 4),
                (left[head], middle[head] - 4),
            )
        )
        for end, head in pairs
    ]
