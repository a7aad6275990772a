"""The compiled graph against a reference that knows only the rules of the language."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.definitions import Container, Definition, Step, TaskStep
from django_director.graph import ARITY, Graph, compile_definition, expand, roots_of, spans
from tests.examples import examples
from tests.factories import chain, definition, group

names = st.integers(0, 10**9).map(lambda n: TaskStep(id=f"t{n}", task="T"))


def containers(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Container]:
    return st.builds(
        lambda kind, members: Container(id="c", kind=kind, members=tuple(members)),
        st.sampled_from(["group", "chain"]),
        st.lists(steps, max_size=5),
    )


workflows = st.lists(st.recursive(names, containers, max_leaves=40), max_size=6).map(
    lambda steps: Definition(name="a.B", tasks=tuple(steps))
)


def reference(
    steps: tuple[Step, ...], before: set[int], edges: dict[int, set[int]], counter: list[int]
) -> set[int]:
    """Number the tasks of a chain in file order, note what each waits for, return the chain's ends."""
    ends: set[int] = set()
    for step in steps:
        found = reference_step(step, before, edges, counter)
        if found:
            before = ends = found
    return ends


def reference_step(step: Step, before: set[int], edges: dict[int, set[int]], counter: list[int]) -> set[int]:
    if isinstance(step, TaskStep):
        number = counter[0]
        counter[0] += 1
        edges[number] = set(before)
        return {number}
    if step.kind == "chain":
        return reference(step.members, before, edges, counter)
    return set().union(*(reference_step(member, before, edges, counter) for member in step.members))


def in_file_order(graph: Graph) -> list[int]:
    """Positions in the order of the file."""
    order = {id(step): number for number, step in enumerate(graph.definition.steps())}
    return [node.position for node in sorted(graph.nodes, key=lambda node: order[id(node.step)])]


def distinct(definition: Definition) -> Definition:
    """The same definition without shared step objects, so that each can be told apart."""
    from dataclasses import replace

    def copy(step: Step) -> Step:
        if isinstance(step, TaskStep):
            return replace(step)
        return replace(step, members=tuple(copy(member) for member in step.members))

    return replace(definition, tasks=tuple(copy(step) for step in definition.tasks))


@given(workflows)
@examples(80)
def test_upstream_equals_the_reference(workflow):
    graph = compile_definition(distinct(workflow))
    edges: dict[int, set[int]] = {}
    reference(graph.definition.tasks, set(), edges, [0])
    positions = in_file_order(graph)
    assert {positions[number]: {positions[up] for up in ups} for number, ups in edges.items()} == {
        node.position: set(node.upstream) for node in graph.nodes
    }


@given(workflows)
@examples(80)
def test_counting_junctions_releases_exactly_what_is_ready(workflow):
    """Finish tasks one by one: what a junction releases is what has all its upstream done, and once."""
    graph = compile_definition(workflow)
    counts = [0] * len(graph.junctions)
    released = set(expand(roots_of(graph)))
    done: set[int] = set()
    ended = not graph.nodes
    while released - done:
        position = max(released - done)
        done.add(position)
        seq: int | None = graph.nodes[position].junctions[0]
        while seq is not None:
            junction = graph.junctions[seq]
            counts[seq] += 1
            if counts[seq] < junction.total:
                break
            new = set(expand(junction.releases))
            assert not new & released
            assert all(set(graph.nodes[p].upstream) <= done for p in new)
            released |= new
            ended = ended or junction.is_end
            assert junction.parent is None or junction.parent > seq
            seq = junction.parent
    assert done == set(range(len(graph.nodes)))
    assert ended
    assert counts == [junction.total for junction in graph.junctions]


@given(workflows, st.data())
@examples(80)
def test_downstream_equals_the_closure_of_upstream(workflow, data):
    graph = compile_definition(workflow)
    if not graph.nodes:
        return
    chosen = data.draw(st.sets(st.sampled_from(range(len(graph.nodes))), max_size=3))
    closure = set(chosen)
    for node in graph.nodes:
        if closure & set(node.upstream):
            closure.add(node.position)
    assert graph.downstream(chosen) == closure


@given(workflows)
@examples(80)
def test_junctions_ascend_along_the_graph(workflow):
    graph = compile_definition(workflow)
    for junction in graph.junctions:
        for position in expand(junction.releases):
            assert min(graph.nodes[position].junctions) > junction.seq


@given(st.sets(st.integers(0, 50)))
def test_spans_and_expand_are_inverse(positions):
    assert set(expand(spans(positions))) == positions


def test_no_gate_is_written_by_more_than_arity():
    graph = compile_definition(definition("a.B", group("G", *(f"A{n}" for n in range(10_000))), "Z"))
    assert max(junction.total for junction in graph.junctions) <= ARITY
    assert len(graph.gates) == 157 + 3 + 1


def test_group_to_group_has_no_edges_for_pairs():
    graph = compile_definition(
        definition("a.B", group("G", *(f"A{n}" for n in range(1000))), group("H", *(f"B{n}" for n in range(1000))))
    )
    assert graph.nodes[1000].upstream is graph.nodes[1999].upstream
    assert graph.nodes[1000].shape is graph.nodes[1999].shape


@pytest.mark.slow
def test_100_000_tasks_compile_in_seconds():
    started = time.process_time()
    half = 50_000
    graph = compile_definition(
        definition("a.B", group("G", *(f"A{n}" for n in range(half))), group("H", *(f"B{n}" for n in range(half))))
    )
    assert len(graph.nodes) == 2 * half
    assert time.process_time() - started < 10


def test_results_are_put_together_as_the_file_nests():
    graph = compile_definition(
        definition("a.B", group("G", "X", chain("C", "Y1", "Y2"), group("H", "Z"), chain("E")))
    )
    results = {node.position: node.step.id.lower() for node in graph.nodes}
    assert graph.result.assemble(results) == ["x", "y2", ["z"], None]
    assert set(expand(graph.result.spans())) == {
        node.position for node in graph.nodes if node.step.id in {"X", "Y2", "Z"}
    }
