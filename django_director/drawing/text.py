"""Writes a definition or its graph as text: as one line, as a Mermaid flowchart, or for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django_director.definitions import hook_label
from django_director.graph import Graph, Node

from .edges import boundaries
from .palette import COLOURS
from .parts import Part, outline
from .picture import shorten

MEMBERS_NAMED: Final = 6
"""How many members of a container are named in the line: a group may have thousands."""
LABEL: Final = 200
"""How many characters of a name stand in a diagram."""

Json = dict[str, Any]
Statuses = Mapping[int, str]
"""The status of each task of a run, by position; a workflow without a run has none."""


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


def mermaid(graph: Graph, statuses: Statuses | None = None) -> Iterator[str]:
    """Yield the lines of a Mermaid flowchart of the graph; each task of a run has the class of its status."""
    yield "flowchart TD"
    for node in graph.nodes:
        yield f'  t{node.position}["{_for_mermaid(node.step.id)}"]'
    for source, target, joint in _arrows(graph):
        yield f"  {joint}(( ))" if target is None else f"  {source} --> {target}"
    for outcome, node in _hooks(graph):
        yield f'  t{node.position}(["{outcome}: {_for_mermaid(hook_label(node.step.id))}"])'
        yield from (f"  t{before} --> t{node.position}" for before in node.upstream)
    for event, part in _frames(outline(graph).root):
        begin = f'  subgraph s{part.number}["{_for_mermaid(part.label)}"]'
        yield {"begin": begin, "step": f"  t{part.positions[0]}", "end": "  end"}[event]
    yield from _classes(statuses or {})


def dot(graph: Graph, statuses: Statuses | None = None) -> Iterator[str]:
    """Yield the lines of a graph for Graphviz; each task of a run has the colours of its status."""
    yield f"digraph {_for_dot(graph.definition.name)} {{"
    yield '  rankdir=LR; node [shape=box, style="rounded,filled", fillcolor=white, fontname="monospace"];'
    for node in graph.nodes:
        yield f"  t{node.position} [{_attributes(node.step.id, (statuses or {}).get(node.position))}];"
    for source, target, joint in _arrows(graph):
        yield f'  {joint} [shape=point, label=""];' if target is None else f"  {source} -> {target};"
    for outcome, node in _hooks(graph):
        label = f"{outcome}: {hook_label(node.step.id)}"
        yield f"  t{node.position} [{_attributes(label, (statuses or {}).get(node.position))}];"
        yield from (f"  t{before} -> t{node.position};" for before in node.upstream)
    for event, part in _frames(outline(graph).root):
        begin = f"  subgraph cluster_{part.number} {{ label={_for_dot(part.label)};"
        yield {"begin": begin, "step": f"  t{part.positions[0]};", "end": "  }"}[event]
    yield "}"


def _arrows(graph: Graph) -> Iterator[tuple[str, str | None, str]]:
    """Yield the arrows from node to node; before those of a joint, the joint itself, which has no target."""
    for number, (ends, heads) in enumerate(boundaries(graph)):
        sources, joint = [f"t{position}" for position in ends], f"j{number}"
        if len(ends) > 1 and len(heads) > 1:
            yield "", None, joint
            yield from ((source, joint, joint) for source in sources)
            sources = [joint]
        yield from ((source, f"t{head}", joint) for source in sources for head in heads)


def _hooks(graph: Graph) -> Iterator[tuple[str, Node]]:
    yield from ((outcome, node) for outcome, chain in graph.hooks.items() for node in chain)


def _frames(part: Part, is_inside: bool = False) -> Iterator[tuple[str, Part]]:
    """Yield what is in groups and chains: ``begin`` and ``end`` of each, and each ``step`` in one."""
    is_container = part.kind in ("group", "chain")
    if is_container:
        yield "begin", part
    for each in part.parts:
        if each.is_frame:
            yield from _frames(each, is_inside or is_container)
        elif is_inside or is_container:
            yield "step", each
    if is_container:
        yield "end", part


def _classes(statuses: Statuses) -> Iterator[str]:
    for status in sorted(set(statuses.values())):
        ground, text = COLOURS[status]
        members = ",".join(f"t{position}" for position, each in sorted(statuses.items()) if each == status)
        yield f"  classDef {status} fill:{ground},stroke:{text},color:{text}"
        yield f"  class {members} {status}"


def _attributes(label: str, status: str | None) -> str:
    text = f"label={_for_dot(label)}"
    if status is None:
        return text
    ground, colour = COLOURS[status]
    return f'{text}, fillcolor="{ground}", color="{colour}", fontcolor="{colour}", tooltip="{status}"'


def _for_mermaid(label: str) -> str:
    """Return a label with the characters that mean something in Mermaid as their codes."""
    # `%%{init: …}%%` would set options of the picture, wherever it stands.
    return "".join(f"#{ord(char)};" if char in '#"<>`&%' else char for char in shorten(label, LABEL))


def _for_dot(label: str) -> str:
    text = shorten(label, LABEL).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
