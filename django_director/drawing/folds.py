"""Decides which frames of a picture are open, and which are folded into one box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .parts import MAX_BOXES, Outline, Part

MOST_BOXES: Final = 400
"""How many boxes a picture has at most, whatever someone has unfolded: a page has to stay small."""


def opened(outline: Outline, unfolded: Iterable[int] = ()) -> frozenset[int]:
    """Return the numbers of the frames that are open: as many as can be read, and those that are ``unfolded``.

    Numbers that name no frame are left out, and so are frames for which there is no room.
    """
    count = len(outline.root.parts) + len(outline.hooks)
    found = {outline.root.number}
    for frame, around in _frames(outline):
        more = len(frame.parts) - 1
        if frame.kind != "stretch" and around in (*found, None) and count + more <= MAX_BOXES:
            found.add(frame.number)
            count += more
    return _unfold(outline, found, count, frozenset(unfolded))


def shown(outline: Outline, is_open: frozenset[int]) -> tuple[Part, ...]:
    """Return the parts that are boxes, in the order of the picture."""
    return tuple(box for part in outline.roots for box in _boxes(part, is_open))


def _boxes(part: Part, is_open: frozenset[int]) -> Iterator[Part]:
    if part.number in is_open:
        for each in part.parts:
            yield from _boxes(each, is_open)
    elif part.positions:
        yield part


def _unfold(outline: Outline, found: set[int], count: int, unfolded: frozenset[int]) -> frozenset[int]:
    around_of = {frame.number: (frame, around) for frame, around in _frames(outline)}
    for number in sorted(unfolded & around_of.keys()):
        path = []
        step: int | None = number
        while step is not None and step not in found:
            frame, step = around_of[step]
            path.append(frame)
        more = sum(len(frame.parts) - 1 for frame in path)
        if count + more <= MOST_BOXES:
            found.update(frame.number for frame in path)
            count += more
    return frozenset(found)


def _frames(outline: Outline) -> list[tuple[Part, int | None]]:
    """Return each frame but the root with the number of the frame around it, outer and small ones first."""
    found: list[tuple[int, Part, int | None]] = [(1, frame, None) for frame in outline.hooks]
    level = [(outline.root, 1)]
    while level:
        frame, depth = level.pop()
        inner = [part for part in frame.parts if part.is_frame]
        found += [(depth, part, frame.number) for part in inner]
        level += [(part, depth + 1) for part in inner]
    found.sort(key=lambda each: (each[0], len(each[1].parts), each[1].number))
    return [(frame, around) for _, frame, around in found]
