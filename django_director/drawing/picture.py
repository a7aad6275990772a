"""A laid-out graph, the same for every run of a version, and what each box says for one run."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

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
"""What the icon and the padding take from a box's width."""

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
"""Of several tasks in one box the first of these gives the colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A unit at its place: ``x`` is the left edge, ``y`` the middle."""

    unit: Unit
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """Where the lines of a join of several to several meet."""

    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Boxes, dots and lines; ``lines`` and ``arrows`` are path data."""

    width: float
    height: float
    box_width: float
    boxes: tuple[Box, ...]
    dots: tuple[Dot, ...]
    lines: str
    arrows: str

    @cached_property
    def box_of(self) -> dict[int, int]:
        """The box of each position."""
        units = enumerate(box.unit for box in self.boxes)
        return {position: n for n, unit in units for position in (*unit.positions, *unit.items)}

    def fitted(self, note: str) -> str:
        """A note cut to the width of a box."""
        return shorten(note, int((self.box_width - INSET) / NOTE_CHARACTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What a box shows for one run: a status, a short note and the counts in full."""

    status: str
    note: str
    title: str


def faces(picture: Picture, rows: Iterable[tuple[int, str, int]]) -> list[Face]:
    """What each box shows, from (position, status, attempt) of a run's tasks."""
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
        # A map says no more than its items do.
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
    """One width for all boxes of a picture: that of the longest label, within bounds."""
    longest = max((_columns(unit.label) for unit in units), default=0)
    if any(unit.is_folded for unit in units):
        longest = LABEL_LENGTH
    return round(min(max(longest, SHORTEST_LABEL), LABEL_LENGTH) * CHARACTER + INSET)


def shorten(text: str, length: int) -> str:
    """At most ``length`` columns of ``text``, without characters that have no shape or turn the line around."""
    text = "".join(char if char.isprintable() else "�" for char in text[: length * 2])
    if _columns(text) <= length:
        return text
    while _columns(text) >= length:
        text = text[:-1]
    return text + "…"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
