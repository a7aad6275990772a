"""Lays out a picture frame by frame: what is in a frame first, then the frame as one part of that around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from . import stacks
from .arrangement import PAD, arrange, in_lines
from .blocks import Block, Line, Point, Size
from .edges import Edges
from .parts import Outline, Part

BOX_HEIGHT: Final = 44.0
MARGIN: Final = 12.0
TITLE: Final = 22.0
"""The height of the name of a frame."""


@dataclass(frozen=True, slots=True)
class Framed:
    """A frame at its place."""

    part: Part | None
    """``None``: a frame without a name, around parts that wait for the same parts."""
    corner: Point
    size: Size


@dataclass(frozen=True, slots=True)
class Sheet:
    """One drawing of a picture: the corners of the boxes in their order, frames, lines and dots."""

    size: Size
    box: Size
    """The size of each box."""
    boxes: tuple[Point, ...]
    frames: tuple[Framed, ...]
    lines: tuple[Line, ...]
    across: tuple[Line, ...]
    dots: tuple[Point, ...]


def lay_out(
    outline: Outline,
    boxes: Sequence[Part],
    is_open: frozenset[int],
    edges: Edges,
    *,
    box: Size,
    limit: float | None,
) -> Sheet:
    """Return a drawing that is at most ``limit`` wide, as far as boxes of the size ``box`` allow.

    Without a limit all parts stand below each other.
    """
    return _Sheet(boxes, is_open, edges, box, limit).drawn(outline)


class _Sheet:
    """Collects the drawing."""

    def __init__(
        self, boxes: Sequence[Part], is_open: frozenset[int], edges: Edges, box: Size, limit: float | None
    ) -> None:
        self.number_of = {part.number: number for number, part in enumerate(boxes)}
        self.is_open = is_open
        self.edges = edges
        self.box = box
        self.limit = limit
        self.blocks: dict[int, Block] = {}
        self.corners: dict[int, Point] = {}
        self.frames: list[Framed] = []
        self.lines: list[Line] = []
        self.dots: list[Point] = []

    def drawn(self, outline: Outline) -> Sheet:
        main = self._block(outline.root, self.limit and self.limit - 2 * MARGIN)
        self._put(outline.root, MARGIN, MARGIN)
        width, height = main.width, MARGIN + main.height
        if outline.hooks:
            hooks, y = self._hooks(outline.hooks), height + (2 * PAD if main.height else 0)
            for place, (hook_x, hook_y) in hooks.places.items():
                self._put(outline.hooks[place], MARGIN + hook_x, y + hook_y)
            width, height = max(width, hooks.width), y + hooks.height
        found = tuple(self.corners[number] for number in range(len(self.corners)))
        across = (self._across(outline, *pair) for pair in dict.fromkeys(self.edges.across))
        return Sheet(
            size=(width + 2 * MARGIN, height + MARGIN),
            box=self.box,
            boxes=found,
            frames=tuple(self.frames),
            lines=tuple(self.lines),
            across=tuple(across),
            dots=tuple(self.dots),
        )

    def _hooks(self, hooks: Sequence[Part]) -> Block:
        room = self.limit and self.limit - 2 * MARGIN
        sizes = [self._size(part, room) for part in hooks]
        return in_lines(sizes, room) if room else stacks.lay_out(sizes, ())

    def _size(self, part: Part, limit: float | None) -> Size:
        if part.number not in self.is_open:
            return self.box
        block = self._block(part, limit and limit - 2 * PAD)
        return (max(block.width, self.box[0]) + 2 * PAD, block.height + 2 * PAD + TITLE)

    def _block(self, frame: Part, limit: float | None) -> Block:
        if frame.number not in self.blocks:
            sizes = [self._size(part, limit) for part in frame.parts]
            self.blocks[frame.number] = arrange(sizes, self.edges.joins.get(frame.number, ()), limit)
        return self.blocks[frame.number]

    def _put(self, part: Part, x: float, y: float) -> None:
        """Put a part with all that is in it at its place."""
        if part.number in self.number_of:
            self.corners[self.number_of[part.number]] = (x, y)
            return
        if part.number not in self.is_open:
            return
        block = self._block(part, None)
        if part.kind != "root":
            width = max(block.width, self.box[0]) + 2 * PAD
            self.frames.append(Framed(part, (x, y), (width, block.height + 2 * PAD + TITLE)))
            x, y = x + PAD + (width - 2 * PAD - block.width) / 2, y + PAD + TITLE
        self.frames += [Framed(None, (x + bx, y + by), size) for (bx, by), size in block.frames]
        self.lines += [line.moved(x, y) for line in block.lines]
        self.dots += [(x + dx, y + dy) for dx, dy in block.dots]
        for place, (px, py) in block.places.items():
            self._put(part.parts[place], x + px, y + py)

    def _across(self, outline: Outline, end: int, head: int) -> Line:
        """Return the line between two steps in different frames; it passes behind the boxes between them."""
        (x, y), (to_x, to_y) = self._corner(outline.root, end), self._corner(outline.root, head)
        width, height = self.box
        if self.limit and to_x >= x + width:
            return Line(((x + width, y + height / 2), (to_x, to_y + height / 2)))
        begin, stop = (y + height, to_y) if to_y >= y else (y, to_y + height)
        left, to_left, middle = x + width / 3, to_x + width / 3, (begin + stop) / 2
        return Line(((left, begin), (left, middle), (to_left, middle), (to_left, stop)))

    def _corner(self, part: Part, position: int) -> Point:
        while part.number not in self.number_of:
            part = next(each for each in part.parts if position in each.positions)
        return self.corners[self.number_of[part.number]]
