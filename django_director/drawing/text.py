"""Writes a definition or its graph as text: as one line, or as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django_director.definitions import hook_label
from django_director.graph import Graph

MEMBERS_NAMED: Final = 6
"""How many members of a container are named in the line: a group may have thousands."""

Json = dict[str, Any]


def boundaries(graph: Graph) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Yield positions together with those that wait for them. A group behind a group makes one pair."""
    heads: dict[int, list[int]] = {}
    ends: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        # Nodes that wait for the same tasks share one tuple.
        heads.setdefault(id(node.upstream), []).append(node.position)
        ends[id(node.upstream)] = node.upstream
    for key, upstream in ends.items():
        if upstream:
            yield upstream, heads[key]


def one_line(steps: Sequence[Json], separator: str = " → ") -> str:
    """Return steps, given as JSON, in one line: ``A → (B | C) → D``."""
    names = [_in_line(step) for step in steps[:MEMBERS_NAMED]]
    if len(steps) > MEMBERS_NAMED:
        names.append(f"… {len(steps) - MEMBERS_NAMED:,} more")
    return separator.join(names)


def _in_line(step: Json) -> str:
    if step["tasks"] is None:
        return str(step["id"])
    return f"({one_line(step['tasks'], ' | ' if step['kind'] == 'group' else ' → ')})"


def mermaid(graph: Graph) -> Iterator[str]:
    """Yield the lines of a Mermaid flowchart of the graph."""
    yield "flowchart TD"
    for node in graph.nodes:
        yield f'  t{node.position}["{node.step.id}"]'
    for number, (ends, heads) in enumerate(boundaries(graph)):
        sources = [f"t{position}" for position in ends]
        if len(ends) > 1 and len(heads) > 1:
            yield f"  j{number}(( ))"
            yield from (f"  {source} --> j{number}" for source in sources)
            sources = [f"j{number}"]
        yield from (f"  {source} --> t{head}" for source in sources for head in heads)
    for outcome, chain in graph.hooks.items():
        for node in chain:
            yield f'  t{node.position}(["{outcome}: {hook_label(node.step.id)}"])'
            yield from (f"  t{before} --> t{node.position}" for before in node.upstream)
