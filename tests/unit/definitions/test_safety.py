"""Reading is bounded in time, whatever the file; what is large and honest is read."""

from __future__ import annotations

import time

import pytest

from tests.speed import allowed

from .helpers import codes, one, read_text

WIDE = "x-a: &a {" + ", ".join(f"k{number}: 1" for number in range(1000)) + "}\n"
REFUSED = {
    "laughs": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
    "merges": WIDE + "".join(f"x-{number}: {{<<: *a}}\n" for number in range(10_000)),
    "lists": "a: " + "[" * 500_000,
    "mappings": "a: " + "{a: " * 200_000,
    "keys": "? " * 300_000,
    "deep by alias": "".join(f"a{n}: &a{n} [[[[[{f'*a{n - 1}' if n else 'x'}]]]]]\n" for n in range(9)),
    "cycle": "shop.A: &a {tasks: [*a]}\n",
    "size": "# " + "x" * 1024 * 1024,
    "nodes": "[" + "1," * 250_000 + "1]",
    "quote": "a: '" + "x" * 1_000_000,
}


@pytest.mark.fault(27)
@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_bombs_are_refused_at_once(tmp_path, text):
    started = time.process_time()
    reading = read_text(tmp_path, text)
    assert time.process_time() - started < allowed(1.5)  # alone on a core: 0.5
    assert set(codes(reading)) <= {"D003", "D004", "D007"}
    assert len(reading.problems) == 1


def test_a_megabyte_of_steps_is_read(tmp_path):
    step = "    - STEP_{0}: {{task: TASK, queue: q, description: some words that fill, with: {{a: 1, b: {0}}}}}\n"
    text = "shop.A:\n  tasks:\n" + "".join(step.format(number) for number in range(10_000))
    assert 950_000 < len(text) < 1024 * 1024
    started = time.process_time()
    definition = one(tmp_path, text)
    assert time.process_time() - started < allowed(2.5)  # alone on a core: 1
    assert len(definition.tasks) == 10_000


def test_many_unknown_names_cost_little(tmp_path):
    text = "shop.A:\n  tasks: [A]\n  queue:\n    customs:\n" + "".join(
        f"      TASK_{n}: q\n" for n in range(20_000)
    )
    started = time.process_time()
    assert len(read_text(tmp_path, text).notes) == 20_000
    assert time.process_time() - started < allowed(3)


def test_thirty_two_levels_are_allowed(tmp_path):
    def text(levels: int) -> str:
        # A file, a workflow, its steps, a step, its options and `with` are six levels.
        return "shop.A: {tasks: [T: {with: {a: " + "[" * (levels - 6) + "]" * (levels - 6) + "}}]}\n"

    assert codes(read_text(tmp_path, text(32))) == []
    assert codes(read_text(tmp_path, text(33))) == ["D003"]


def test_a_megabyte_is_allowed(tmp_path):
    text = "shop.A: {tasks: [T]}\n# "
    assert codes(read_text(tmp_path, text + "x" * (2**20 - len(text)))) == []
    assert codes(read_text(tmp_path, text + "x" * (2**20 - len(text) + 1))) == ["D003"]


def test_200_000_nodes_are_allowed_with_aliases_expanded(tmp_path):
    def text(nodes: int) -> str:
        # The file, four keys, two lists and the workflow's four; `big` has 10,001, and stands there 19 times.
        rest = nodes - 11 - 19 * 10_001
        big = "x-big: &big [" + ",".join(["1"] * 10_000) + "]\n"
        more = "x-more: [" + ",".join(["*big"] * 18) + "]\n"
        return f"{big}{more}x-rest: [{','.join(['1'] * rest)}]\nshop.A: {{tasks: [T]}}\n"

    assert codes(read_text(tmp_path, text(200_000))) == []
    assert codes(read_text(tmp_path, text(200_001))) == ["D003"]


def test_aliases_give_values_of_their_own(tmp_path):
    text = "x-a: &a [1]\nshop.A: {tasks: [T: {with: {a: *a}}, T: {with: {a: *a}}]}\n"
    first, second = one(tmp_path, text).tasks
    assert first.kwargs == second.kwargs
    assert first.kwargs["a"] is not second.kwargs["a"]
