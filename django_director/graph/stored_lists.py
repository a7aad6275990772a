"""Which results nothing reads but maps, which read them in pieces: these may be larger than others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from .compiled_graph import Graph
from .shapes import Span
from .values import of_node, of_result, stored_list


def is_read_in_pieces(graph: Graph, position: int) -> bool:
    """Whether the result of a task is read by nothing in its workflow but by maps that have it as their `over`."""
    return position in graph.keep("read in pieces", lambda: _read_in_pieces(graph))


def _read_in_pieces(graph: Graph) -> frozenset[int]:
    lists = {found.position for node in graph.maps.values() if (found := stored_list(graph, node)) is not None}
    if not lists:
        return frozenset()
    return frozenset(lists.difference(*(_among(lists, read) for read in _all_that_is_read(graph))))


def _among(positions: Iterable[int], read: tuple[Span, ...]) -> Iterator[int]:
    return (position for position in positions if any(start <= position < stop for start, stop in read))


def _all_that_is_read(graph: Graph) -> Iterator[tuple[Span, ...]]:
    """Yield the positions of the tasks whose results a step, a hook or the result of the run is made of."""
    values = of_result(graph)
    yield graph.result.spans() if values is None else values.results
    nodes = list(chain(graph.nodes, graph.bodies, *graph.hooks.values()))
    # Steps that wait for the same tasks share one shape.
    for shape in {id(node.shape): node.shape for node in nodes}.values():
        yield shape.spans()
    for node in nodes:
        if (values := of_node(graph, node)) is not None:
            yield values.results
