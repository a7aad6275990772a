"""Pictures that were drawn before: one for each version, whatever the number of its runs."""

from __future__ import annotations

from typing import Final

from django_director.graph import Graph

from .layout import lay_out
from .picture import Picture

KEPT: Final = 64

_pictures: dict[str, Picture] = {}


def picture_of(graph: Graph) -> Picture:
    """The picture of the graph, found by its content hash."""
    picture = _pictures.get(graph.content_hash)
    if picture is None:
        picture = _pictures[graph.content_hash] = lay_out(graph)
        while len(_pictures) > KEPT:
            # Another thread may have dropped the same one.
            _pictures.pop(next(iter(_pictures)), None)
    return picture
