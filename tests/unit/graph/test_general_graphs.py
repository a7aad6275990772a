"""Graphs of any shape: what holds for all of them, and how they are drawn."""

from __future__ import annotations

import re

from hypothesis import given

from django_director.drawing.edges import boundaries
from django_director.drawing.text import mermaid
from django_director.graph import Graph, compile_definition, expand
from tests.examples import examples
from tests.factories import definition, step
from tests.random_definitions import definitions


def following(graph: Graph, position: int) -> set[int]:
    node = graph.nodes[position]
    return graph.downstream([position]) - {position} | set(expand(node.inside))


@given(definitions())
@examples(80)
def test_everything_ascends_along_the_graph(drawn):
    graph = compile_definition(drawn)
    for node in graph.nodes:
        assert all(position < node.position for position in node.upstream)
        assert all(position > node.position for position in following(graph, node.position))
        for seq in (*node.junctions, *node.guards):
            junction = graph.junctions[seq]
            assert all(later > seq for later in (*junction.feeds, junction.parent or seq + 1))
            for position in expand(junction.releases):
                assert position > node.position
                assert all(later > seq for later in graph.nodes[position].junctions)


@given(definitions())
@examples(80)
def test_each_task_is_decided_on_in_one_place(drawn):
    graph = compile_definition(drawn)
    released = [p for start in graph.starts for p in expand(start.spans)]
    released += [p for junction in graph.junctions for p in expand(junction.releases)]
    assert sorted(released) == list(range(len(graph.nodes)))
    assert sorted(graph.file_order) == list(range(len(graph.nodes)))
    counted = [seq for node in graph.nodes for seq in (*node.junctions, *node.guards)]
    counted += [seq for junction in graph.junctions for seq in junction.feeds]
    counted += [junction.parent for junction in graph.junctions if junction.parent is not None]
    assert [counted.count(junction.seq) for junction in graph.junctions] == [j.total for j in graph.junctions]


@given(definitions())
@examples(80)
def test_every_upstream_is_drawn(drawn):
    graph = compile_definition(drawn)
    edges = {(end, head) for ends, heads in boundaries(graph) for end in ends for head in heads}
    assert edges == {(end, node.position) for node in graph.nodes for end in node.upstream}
    lines = list(mermaid(graph))
    assert len([line for line in lines if re.fullmatch(r'  t\d+\[".*"\]', line)]) == len(graph.nodes)


def test_a_shared_set_of_needs_is_one_junction():
    names = [f"A{n}" for n in range(50)]
    steps = [step(name, needs=()) for name in names]
    heads = [step(f"B{n}", needs=tuple(names)) for n in range(50)]
    graph = compile_definition(definition("a.b", *steps, *heads))
    assert [junction.total for junction in graph.gates] == [50, 50]
    assert graph.nodes[50].upstream is graph.nodes[99].upstream


def test_no_name_sets_options_of_a_mermaid_picture():
    graph = compile_definition(definition("a.b", step('%%{init: {"securityLevel": "loose"}}%%')))
    assert "%" not in "".join(mermaid(graph))
