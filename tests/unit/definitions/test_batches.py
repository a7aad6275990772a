"""What a batch can't do for each of its tasks is refused, with the limits of the tasks themselves."""

from __future__ import annotations

from django_director.definitions import check_batches

from .helpers import read_text

LIMITS = {"SLOW": "a `time_limit`", "RARE": "a `rate_limit`"}


def test_a_task_with_a_limit_of_its_own(tmp_path):
    text = """shop.A:
  tasks:
    - M: {type: map, over: [1], task: SLOW, batch: 50}
    - G: {type: group, batch: 2, tasks: [RARE, RARE]}
    - N: {type: map, over: [1], task: FETCH, batch: 50}
    - O: {type: map, over: [1], task: SLOW}
"""
    reading = read_text(tmp_path, text)
    assert not reading.problems
    found = check_batches(reading.definitions, lambda name: LIMITS.get(name, ""))
    assert [(problem.step, problem.code, problem.place.line) for problem in found] == [
        ("M", "D214", 3),
        ("G", "D214", 4),
    ]
    assert found[0].message == "“M” has a `batch`, and its task “SLOW” has a `time_limit`"
