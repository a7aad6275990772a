"""Maps: one instance of what stands in them for each item of a list."""

from __future__ import annotations

from typing import Any

import pytest

from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import mapped

from . import driver

pytestmark = pytest.mark.django_db


def doubled(claimed: Any) -> Any:
    return claimed.upstream * 2 if isinstance(claimed.upstream, int) else claimed.upstream


def start(*tasks: Any, items: Any, **fields: Any) -> Run:
    return driver.start(*tasks, payload={"items": items}, **fields)


def of_items(run: Run) -> dict[str, str]:
    return {task.label: str(task.status) for task in run.tasks.filter(map_index__gte=0)}


def test_one_instance_for_each_item():
    run = start("A", mapped("M", "T"), "Z", items=[1, 2, 3])
    received = {}

    def body(claimed):
        received[claimed.node.step.id, claimed.map_index] = claimed.upstream
        return doubled(claimed)

    driver.drain(run, body)
    assert received == {
        ("A", -1): None,
        ("T", 0): 1,
        ("T", 1): 2,
        ("T", 2): 3,
        ("Z", -1): [2, 4, 6],
    }
    assert run.status == RunStatus.SUCCESS
    assert run.result == [2, 4, 6]
    driver.check_gates(run)


@pytest.mark.parametrize("items", [[], [None], [{"a": [1]}, 'x\\" \u00e9 \U0001f600', None, 2.5, True, [1, [2]]]])
def test_items_are_what_json_has(items):
    run = start(mapped("M"), items=items)
    driver.drain(run, lambda claimed: claimed.upstream)
    assert (run.status, run.result) == (RunStatus.SUCCESS, items)
    driver.check_gates(run)


def test_sizes_around_the_arity_of_a_counter():
    for size in (1, 63, 64, 65, 4097):
        run = start(mapped("M"), name=f"test.N{size}", items=list(range(size)))
        driver.drain(run, lambda claimed: claimed.upstream if claimed.map_index != 3 else None)
        assert run.status == RunStatus.SUCCESS
        assert run.result == [n if n != 3 else None for n in range(size)]
        driver.check_gates(run)
