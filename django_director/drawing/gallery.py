"""Keeps the pictures that were drawn: all runs of a version share one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from django_director.graph import Graph

from .parts import Outline, outline
from .picture import Picture, draw

KEPT: Final = 64

T = TypeVar("T")
_outlines: dict[str, Outline] = {}
_pictures: dict[tuple[str, frozenset[int]], Picture] = {}


def outline_of(graph: Graph) -> Outline:
    """Return the parts of a graph; the outlines of ``KEPT`` definitions are kept."""
    found = _outlines.get(graph.content_hash)
    if found is None:
        found = _outlines[graph.content_hash] = outline(graph)
        _forget(_outlines)
    return found


def picture_of(graph: Graph, unfolded: Collection[int] = ()) -> Picture:
    """Return the picture of a graph, in which the frames with the numbers ``unfolded`` are open.

    It is drawn once for each content hash and each set of frames, and ``KEPT`` pictures are kept.
    """
    key = (graph.content_hash, frozenset(unfolded))
    picture = _pictures.get(key)
    if picture is None:
        picture = _pictures[key] = draw(outline_of(graph), graph, unfolded)
        _forget(_pictures)
    return picture


def _forget(kept: dict[T, Picture] | dict[T, Outline]) -> None:
    while len(kept) > KEPT:
        # Another thread may have dropped the same one.
        kept.pop(next(iter(kept)), None)
