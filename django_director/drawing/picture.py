"""The picture of a graph, which all runs of a version share: which boxes there are, and two drawings of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from django_director.common.texts import on_one_line
from django_director.graph import Graph

from . import folds
from .edges import connect
from .layout import BOX_HEIGHT, Sheet, lay_out
from .parts import Outline, Part

CHARACTER: Final = 7.3
"""The width of a character of a label: the font is monospaced."""
LABEL_LENGTH: Final = 30
SHORTEST_LABEL: Final = 14
NOTE_CHARACTER: Final = 6.3
"""The mean width of a character of a note, which is not monospaced."""
INSET: Final = 34
"""How much of a box's width the icon and the padding take."""
MARK: Final = 18
"""How much of a box's width the mark of its kind takes, beside the label."""
WIDE: Final = 1_000
"""How wide the drawing for usual screens may be. It is drawn smaller to fit, down to three quarters."""
NARROW_BOX: Final = 220
"""The least width of a box in the drawing for narrow screens: there is room for names beside it."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The boxes of a graph, and where they are in a wide and in a narrow drawing."""

    outline: Outline
    boxes: tuple[Part, ...]
    """The parts that are boxes; a frame among them is folded."""
    is_open: frozenset[int]
    """The numbers of the frames that are drawn as frames."""
    box_width: float
    wide: Sheet
    narrow: Sheet

    @cached_property
    def box_of(self) -> dict[int, int]:
        """The number of the box of each task, by the task's position."""
        return {
            position: number
            for number, part in enumerate(self.boxes)
            for position in (*part.positions, *part.items)
        }

    @property
    def is_folded(self) -> bool:
        """Whether some boxes stand for several steps."""
        return any(part.is_frame for part in self.boxes)

    def fitted(self, note: str) -> str:
        """Return a note, cut to the width of a box."""
        return shorten(note, int((self.box_width - INSET) / NOTE_CHARACTER))


def draw(outline: Outline, graph: Graph, unfolded: Iterable[int] = ()) -> Picture:
    """Return the picture of a graph, in which the frames with the numbers ``unfolded`` are open."""
    is_open = folds.opened(outline, unfolded)
    boxes = folds.shown(outline, is_open)
    edges = connect(graph, outline, is_open)
    width = box_width(boxes)
    wide, narrow = (width, BOX_HEIGHT), (max(width, NARROW_BOX), BOX_HEIGHT)
    return Picture(
        outline=outline,
        boxes=boxes,
        is_open=is_open,
        box_width=width,
        wide=lay_out(outline, boxes, is_open, edges, box=wide, limit=WIDE),
        narrow=lay_out(outline, boxes, is_open, edges, box=narrow, limit=None),
    )


def box_width(boxes: Sequence[Part]) -> float:
    """Return the width of all boxes of a picture: that of the longest label, within limits."""
    longest = max((_columns(part.label) for part in boxes), default=0)
    if any(part.is_frame for part in boxes):
        longest = LABEL_LENGTH - 6
    return round(min(max(longest, SHORTEST_LABEL), LABEL_LENGTH) * CHARACTER + INSET + MARK)


def shorten(text: str, length: int) -> str:
    """Return at most ``length`` columns of a text.

    Characters that are not printable, or that change the direction of writing, become a replacement sign.
    """
    text = on_one_line(text[: length * 2])
    if _columns(text) <= length:
        return text
    while _columns(text) >= length:
        text = text[:-1]
    return text + "…"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
