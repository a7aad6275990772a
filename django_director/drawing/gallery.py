"""Keeps the pictures that were drawn: all runs of a version share one."""

from __future__ import annotations

from typing import Final

from django_director.graph import Graph

from .layout import lay_out
from .picture import Picture

KEPT: Final = 64

_pictures: dict[str, Picture] = {}


def picture_of(graph: Graph) -> Picture:
    """Return the picture of a graph; it is drawn once for each content hash, and ``KEPT`` pictures are kept."""
    picture = _pictures.get(graph.content_hash)
    if picture is None:
        picture = _pictures[graph.content_hash] = lay_out(graph)
        while len(_pictures) > KEPT:
            # Another thread may have dropped the same picture.
            _pictures.pop(next(iter(_pictures)), None)
    return picture
