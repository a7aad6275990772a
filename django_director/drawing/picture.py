"""The picture of a graph, which all runs of a version share, and the faces of its boxes for one run."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from django_director.common.texts import on_one_line
from django_director.status import TaskStatus

from .folds import Unit

BOX_HEIGHT: Final = 44
CHARACTER: Final = 7.3
"""The width of a character of a label: the font is monospaced."""
LABEL_LENGTH: Final = 30
SHORTEST_LABEL: Final = 18
NOTE_CHARACTER: Final = 6.3
"""The mean width of a character of a note, which is not monospaced."""
TITLE_LENGTH: Final = 200
INSET: Final = 34
"""How much of a box's width the icon and the padding take."""

NO_STATUS: Final = "none"

BY_CONCERN: Final = (
    TaskStatus.FAILED,
    TaskStatus.UPSTREAM_FAILED,
    TaskStatus.CANCELED,
    TaskStatus.RUNNING,
    TaskStatus.WAITING,
    TaskStatus.QUEUED,
    TaskStatus.PENDING,
    TaskStatus.SUCCESS,
    TaskStatus.SKIPPED,
)
"""The statuses in order of importance: of several tasks in a box, the most important status gives the colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A unit at its place: ``x`` is its left edge, ``y`` its middle."""

    unit: Unit
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A place where lines from several tasks to several others meet."""

    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Boxes, dots and lines at their places; ``lines`` and ``arrows`` are path data of SVG."""

    width: float
    height: float
    box_width: float
    boxes: tuple[Box, ...]
    dots: tuple[Dot, ...]
    lines: str
    arrows: str

    @cached_property
    def box_of(self) -> dict[int, int]:
        """The number of the box of each task, by the task's position."""
        units = enumerate(box.unit for box in self.boxes)
        return {position: n for n, unit in units for position in (*unit.positions, *unit.items)}

    def fitted(self, note: str) -> str:
        """Return a note, cut to the width of a box."""
        return shorten(note, int((self.box_width - INSET) / NOTE_CHARACTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What a box shows for one run: a status, a short note, and a title with all counts."""

    status: str
    note: str
    title: str


def faces(picture: Picture, rows: Iterable[tuple[int, str, int]]) -> list[Face]:
    """Return the face of each box, from the position, status and attempt of each task of a run."""
    counts: list[Counter[str]] = [Counter() for _ in picture.boxes]
    items: list[Counter[str]] = [Counter() for _ in picture.boxes]
    attempts = [0] * len(picture.boxes)
    inside = {position for box in picture.boxes for position in box.unit.items}
    for position, status, attempt in rows:
        number = picture.box_of.get(position)
        if number is not None:
            (items if position in inside else counts)[number][status] += 1
            attempts[number] = max(attempts[number], attempt)
    for number, box in enumerate(picture.boxes):
        # The status of a map itself does not count beside those of its items.
        counts[number] = (
            items[number] if items[number] and not box.unit.is_folded else counts[number] + items[number]
        )
    return [_face(*each) for each in zip(picture.boxes, counts, attempts, strict=True)]


def _face(box: Box, counts: Counter[str], attempt: int) -> Face:
    label = shorten(box.unit.label, TITLE_LENGTH)
    present = [status for status in BY_CONCERN if counts[status]]
    if not present:
        return Face(status=NO_STATUS, note=_size(box), title=label)
    if box.unit.is_folded or sum(counts.values()) > 1:
        note = " · ".join(f"{counts[status]:,} {status.label}" for status in present)
    else:
        note = f"{present[0].label} · attempt {attempt}" if attempt > 1 else str(present[0].label)
    return Face(status=present[0].value, note=note, title=f"{label}: {note}")


def _size(box: Box) -> str:
    return f"{len(box.unit.positions):,} tasks" if box.unit.is_folded else ""


def box_width(units: Sequence[Unit]) -> float:
    """Return the width of all boxes of a picture: that of the longest label, within limits."""
    longest = max((_columns(unit.label) for unit in units), default=0)
    if any(unit.is_folded for unit in units):
        longest = LABEL_LENGTH
    return round(min(max(longest, SHORTEST_LABEL), LABEL_LENGTH) * CHARACTER + INSET)


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
