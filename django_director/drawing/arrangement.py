"""Arranges the parts of one frame, in two forms: in layers that wrap, or below each other for narrow screens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from . import layers, stacks
from .blocks import Block, Size
from .edges import Join

PAD: Final = 12.0
"""Between the border of a frame and what is in it."""
ROW: Final = 6
"""How many parts that do not wait for each other stand below each other, as far as there is room beside them."""
FAN: Final = 6
"""More parts than this that have the same ones before and behind them get a frame around them."""


def arrange(sizes: Sequence[Size], joins: Sequence[Join], limit: float | None) -> Block:
    """Return the block of the parts of one frame."""
    if limit is None:
        return stacks.lay_out(sizes, joins)
    block, y = Block(), 0.0
    for places in _connected(len(sizes), joins):
        if len(places) == 1 or not any(set(join.ends) & set(places) for join in joins):
            part = _renumbered(beside([sizes[place] for place in places], limit), places)
        else:
            part = _bundled([sizes[place] for place in places], _within(joins, places), limit)
            part = _renumbered(part, places)
        block.add(part, 0, y)
        y = block.height + layers.GAP_Y
    return block


def _connected(count: int, joins: Sequence[Join]) -> list[list[int]]:
    """Return the places of parts that lines connect; all parts without a line come together, at last."""
    root = list(range(count))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for join in joins:
        for place in (*join.ends, *join.heads):
            root[find(place)] = find(join.ends[0])
    found: dict[int, list[int]] = defaultdict(list)
    joined = {place for join in joins for place in (*join.ends, *join.heads)}
    for place in range(count):
        found[find(place) if place in joined else -1].append(place)
    alone = found.pop(-1, [])
    return [*found.values(), *([alone] if alone else [])]


def _within(joins: Sequence[Join], places: Sequence[int]) -> list[Join]:
    """Return the joins between some places, with new places in the order of these."""
    new = {place: number for number, place in enumerate(places)}
    return [
        replace(join, ends=tuple(new[p] for p in join.ends), heads=tuple(new[p] for p in join.heads))
        for join in joins
        if join.ends[0] in new
    ]


def _renumbered(block: Block, places: Sequence[int]) -> Block:
    block.places = {places[place]: point for place, point in block.places.items()}
    return block


def beside(sizes: Sequence[Size], limit: float) -> Block:
    """Return the block of parts that do not wait for each other: below each other, then in further columns."""
    widest = max((width for width, _ in sizes), default=0)
    room = max(1, int((limit + layers.GAP_Y) // (widest + layers.GAP_Y)))
    columns = min(room, -(-len(sizes) // ROW)) if len(set(sizes)) == 1 else 1
    length = -(-len(sizes) // columns)
    block = Block()
    for place, (width, height) in enumerate(sizes):
        column, row = divmod(place, length)
        top = 0.0 if row == 0 else block.places[place - 1][1] + sizes[place - 1][1] + layers.GAP_Y
        x = column * (widest + layers.GAP_Y)
        block.places[place] = (x, top)
        block.width, block.height = max(block.width, x + width), max(block.height, top + height)
    return block


def in_lines(sizes: Sequence[Size], limit: float) -> Block:
    """Return the block of parts beside each other, and below when there is no more room."""
    block, x, y = Block(), 0.0, 0.0
    for place, (width, height) in enumerate(sizes):
        if x and x + width > limit:
            x, y = 0.0, block.height + layers.GAP_Y
        block.places[place] = (x, y)
        block.width, block.height = max(block.width, x + width), max(block.height, y + height)
        x += width + layers.GAP_Y
    return block


def _bundled(sizes: Sequence[Size], joins: Sequence[Join], limit: float) -> Block:
    """Lay out connected parts; more than ``FAN`` of them that wait for the same parts get a frame around them."""
    bundle = _bundles(len(sizes), joins)
    if not bundle:
        return layers.lay_out(sizes, joins, limit)
    first = {members[0]: members for members in bundle}
    hidden = {place for members in bundle for place in members[1:]}
    kept = [place for place in range(len(sizes)) if place not in hidden]
    inside = {place: beside([sizes[each] for each in first[place]], limit - 2 * PAD) for place in first}
    outer = [(inside[p].width + 2 * PAD, inside[p].height + 2 * PAD) if p in inside else sizes[p] for p in kept]
    fewer = [
        replace(
            join,
            ends=tuple(p for p in join.ends if p not in hidden),
            heads=tuple(p for p in join.heads if p not in hidden),
        )
        for join in joins
    ]
    fewer = [join for join in fewer if join.ends and join.heads]
    block = _renumbered(layers.lay_out(outer, _within(fewer, kept), limit), kept)
    for place, members in first.items():
        x, y = block.places.pop(place)
        block.frames.append(((x, y), outer[kept.index(place)]))
        block.add(_renumbered(inside[place], members), x + PAD, y + PAD)
    return block


def _bundles(count: int, joins: Sequence[Join]) -> list[list[int]]:
    """Return groups of more than ``FAN`` parts that have the same parts before and behind them."""
    before: list[set[int]] = [set() for _ in range(count)]
    behind: list[set[int]] = [set() for _ in range(count)]
    for join in joins:
        for place in join.heads:
            before[place].update(join.ends)
        for place in join.ends:
            behind[place].update(join.heads)
    alike: dict[tuple[frozenset[int], frozenset[int]], list[int]] = defaultdict(list)
    exact = {place for join in joins if not join.is_drawn for place in (*join.ends, *join.heads)}
    for place in sorted(set(range(count)) - exact):
        alike[frozenset(before[place]), frozenset(behind[place])].append(place)
    return [places for places in alike.values() if len(places) > FAN]
