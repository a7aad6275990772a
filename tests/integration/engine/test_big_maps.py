"""Maps over long lists: what only a map reads may be large, and is read, shown and changed in parts."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.common import failpoints
from django_director.definitions import TaskStep
from django_director.engine import outbox, stopping
from django_director.engine.steps import stored_items
from django_director.exceptions import InvalidItems
from django_director.models import Run
from django_director.presentation.serializers import task_as_json
from django_director.status import RunStatus
from django_director.worker import own_steps
from tests.factories import approval, chain, group, mapped, step, with_tasks

from . import driver

pytestmark = pytest.mark.django_db

OVER = "tasks.A.result"
ODD = [
    *(0, -1, 2.5, 0.1 + 0.2, 12_345_678_901_234_567, None, True, False),
    *("", 'a"b\\', "é\U0001f600", "[1,2]", "a, b]"),
    *([], {}, [1, [2, "]"]], {"a": {"b": [1]}, "c,": "}"}),
]


def start(*tasks: Any, given: Any, **fields: Any) -> Run:
    """A run whose first task, `A`, has ended with the result ``given``."""
    run = driver.start("A", *tasks, **fields)
    driver.end(driver.claim(run, "A"), lambda claimed: given)
    return run


def items_of(run: Run) -> list[Any]:
    return list(run.tasks.filter(map_index__gte=0).order_by("map_index").values_list("item", flat=True))


@pytest.fixture(params=[1, 2, 3, 7, 1_000])
def piece(request, monkeypatch) -> int:
    """How many characters of a list are read at a time."""
    monkeypatch.setattr(stored_items, "PIECE", request.param)
    return int(request.param)


def test_a_list_is_read_in_pieces(piece):
    run = start(mapped("M", over=OVER), given=ODD)
    claimed = driver.claim(run, "M")
    assert claimed.upstream is None
    assert claimed.values is None
    assert own_steps.perform(claimed) is own_steps.HELD
    assert json.dumps(items_of(run)) == json.dumps(ODD)
    driver.drain(run, lambda claimed: claimed.upstream)
    assert (run.status, run.result) == (RunStatus.SUCCESS, ODD)
    driver.check_gates(run)


def test_a_list_under_keys_is_read_in_pieces(piece):
    run = start(mapped("M", over="tasks.A.result.found.rows"), given={"n": 1, "found": {"rows": ODD, "z": [0]}})
    driver.expand(run, "M")
    assert json.dumps(items_of(run)) == json.dumps(ODD)


def test_an_empty_list_is_a_success(piece):
    run = start(mapped("M", over=OVER), mapped("N", over="tasks.A.result"), given=[])
    driver.drain(run)
    assert (run.status, run.result) == (RunStatus.SUCCESS, [])


@pytest.mark.parametrize(
    ("over", "result", "error"),
    [
        ("tasks.A.result", 5, "InvalidItems: `over` must give a list, and gives a number"),
        ("tasks.A.result", "[1,2]", "InvalidItems: `over` must give a list, and gives text"),
        ("tasks.A.result", None, "InvalidItems: `over` must give a list, and gives null"),
        ("tasks.A.result", {"a": [1]}, "InvalidItems: `over` must give a list, and gives a mapping"),
        ("tasks.A.result.a", {"a": "[1,2]"}, "InvalidItems: `over` must give a list, and gives text"),
        ("tasks.A.result.a", {"a": None}, "InvalidItems: `over` must give a list, and gives null"),
        ("tasks.A.result.a", {"b": []}, "ExpressionError: `tasks.A.result.a`, column 15: "),
        ("tasks.A.result.a", [{"a": [1]}], "ExpressionError: `tasks.A.result.a`, column 15: "),
        ("tasks.A.result.a", None, "ExpressionError: `tasks.A.result.a`, column 15: "),
    ],
)
def test_what_is_no_list_fails_the_map(over, result, error):
    run = start(mapped("M", over=over), given=result)
    driver.drain(run)
    assert run.tasks.get(step="M").error.startswith(error)
    assert run.status == RunStatus.FAILED


@pytest.mark.parametrize(
    ("over", "result"),
    [
        ("tasks.A.result[1]", [[1], [2, 3]]),
        ('tasks.A.result["0"]', {"0": [2, 3]}),
        ('tasks.A.result["a.b"]', {"a.b": [2, 3], "a": {"b": [5]}}),
        ('tasks.A.result["é"]', {"é": [2, 3]}),
        ("default(tasks.A.result.b, tasks.A.result.a)", {"a": [2, 3]}),
    ],
)
def test_other_expressions_are_evaluated(over, result):
    run = start(mapped("M", over=over), given=result)
    driver.expand(run, "M")
    assert items_of(run) == [2, 3]


def test_a_list_that_passes_an_approval_or_comes_from_a_map():
    run = start(approval("OK"), mapped("M", over="tasks.OK.result"), mapped("N", over="tasks.M.result"), given=[1])
    driver.end(driver.claim(run, "OK"), lambda claimed: None)
    engine.approve(run.tasks.get(step="OK"))
    driver.drain(run, lambda claimed: claimed.upstream + 1)
    assert (run.status, run.result) == (RunStatus.SUCCESS, [3])


# What only maps read may be large

LARGE = ["x" * 90] * 5
"""More than the ``MAX_RESULT`` of these tests."""
READERS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "another step by its place": ((mapped("M", over=OVER), step("B", needs=("A",))), {}),
    "a step that waits for a group": (
        (chain("C", mapped("M", over=OVER)), step("B", needs=("A", "C"))),
        {},
    ),
    "another step by its arguments": (
        (mapped("M", over=OVER), step("B", kwargs={"x": "${{ tasks.A.result[0] }}"})),
        {},
    ),
    "a task in the map": ((mapped("M", step("B", kwargs={"x": "${{ len(tasks.A.result) }}"}), over=OVER),), {}),
    "the map's own condition": ((mapped("M", over=OVER, when="tasks.A.result"),), {}),
    "an expression over it": ((mapped("M", over=OVER), mapped("N", over="default(tasks.A.result, [])")), {}),
    "the run's result": ((mapped("M", over=OVER),), {"result": "len(tasks.A.result)"}),
    "a hook": (
        (mapped("M", over=OVER),),
        {"hooks": {"success": (TaskStep(id="hooks.success", task="H", kwargs={"x": "${{ tasks.A.result }}"}),)}},
    ),
}


@pytest.fixture
def small_limits(settings):
    settings.DIRECTOR = {"MAX_RESULT": 200, "MAX_INPUT": 1_000}


@pytest.mark.usefixtures("small_limits")
def test_a_list_that_only_maps_read_may_be_as_large_as_an_input():
    body = (mapped("M", over=OVER), mapped("N", over=OVER), group("G", "B", "C"))
    run = start(*body, given=LARGE)
    driver.drain(run, lambda claimed: 1)
    assert run.status == RunStatus.SUCCESS
    assert run.tasks.filter(step__in="MN", map_index__gte=0).count() == 10


@pytest.mark.usefixtures("small_limits")
def test_it_has_a_limit_too():
    run = start(mapped("M", over=OVER), given=LARGE * 3)
    error = run.tasks.get(step="A").error
    assert error.startswith("InvalidResult: the task's result can't be stored: it has 1,396 bytes as JSON")
    assert "the limit is 1,000" in error


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("reader", READERS)
def test_what_something_else_reads_too_may_not(reader):
    tasks, fields = READERS[reader]
    run = start(*tasks, given=LARGE, **fields)
    assert "it has 466 bytes as JSON, the limit is 200" in run.tasks.get(step="A").error


@pytest.mark.usefixtures("small_limits")
def test_the_last_step_gives_the_result_of_the_run():
    run = driver.start(mapped("M", over=OVER, needs=("A",)), step("A", needs=()))
    driver.end(driver.claim(run, "A"), lambda claimed: LARGE)
    assert "the limit is 200" in run.tasks.get(step="A").error


@pytest.mark.usefixtures("small_limits")
def test_an_item_is_not_larger_than_a_result():
    run = start(mapped("M", over=OVER), given=["é" * 99, "x", "é" * 100])
    driver.drain(run)
    error = 'InvalidItems: item 2 of `over`: it has 202 bytes as JSON, the limit is 200 (DIRECTOR["MAX_RESULT"])'
    assert run.tasks.get(step="M").error == error
    assert not items_of(run)


def test_too_many_items_are_refused_before_any_is_inserted(settings):
    settings.DIRECTOR = {"MAX_TASKS_PER_RUN": 10}
    run = start(mapped("M", "B", "C", over=OVER), given=list(range(5)))
    driver.drain(run)
    assert run.tasks.get(step="M").error == (
        "InvalidItems: with 10 tasks for 5 items the run would have 12 tasks, the limit is 10 "
        '(DIRECTOR["MAX_TASKS_PER_RUN"])'
    )
    assert not items_of(run)


def test_a_list_that_is_gone_is_no_shorter_list():
    with pytest.raises(InvalidItems, match="is not there any more"):
        list(stored_items.elements(["[1, 2", ", 3"]))


# In parts


def test_the_number_of_statements_does_not_follow_from_that_of_the_items():
    counts = []
    for size in (300, 1_500):
        run = start(mapped("M", over=OVER), given=list(range(size)), name=f"test.N{size}")
        with CaptureQueriesContext(connection) as captured:
            driver.expand(run, "M")
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("point", ["hold.updated", "map.inserted"])
def test_a_worker_that_dies_in_the_middle_leaves_nothing_and_the_next_begins_anew(monkeypatch, tmp_path, point):
    run = start(mapped("M", "B", "C", over=OVER), given=list(range(300)))
    claimed = driver.claim(run, "M")
    monkeypatch.setattr(failpoints, "_ARMED", f"{point}:raise")
    with pytest.raises(failpoints.InjectedFault):
        own_steps.perform(claimed)
    monkeypatch.setattr(failpoints, "_ARMED", "")
    assert not items_of(run)
    row = run.tasks.get(step="M", map_index=-1)
    assert (row.status, row.map_count) == ("running", None)
    assert own_steps.perform(claimed) is own_steps.HELD
    assert items_of(run) == [*range(300), *[None] * 300] or sorted(filter(None, items_of(run))) == list(
        range(1, 300)
    )
    assert run.tasks.filter(map_index__gte=0).count() == 600
    assert run.tasks.filter(map_index__gte=0).values("position", "map_index").distinct().count() == 600


def ended(run: Run, *indexes: int) -> None:
    for index in indexes:
        driver.succeed(run, "M", index, index=index)


def test_a_reset_in_chunks(monkeypatch):
    monkeypatch.setattr(outbox, "CHUNK", 3)
    run = start(mapped("M", "M", "C", over=OVER), given=list(range(10)))
    driver.expand(run, "M")
    ended(run, 0, 4)
    driver.succeed(run, "C", "kept", index=4)
    driver.fail(run, "M", index=2)
    engine.cancel(run)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    engine.retry(run)
    driver.check_gates(run)
    driver.drain(run, lambda claimed: claimed.upstream)
    assert (run.status, run.result) == (RunStatus.SUCCESS, [*range(4), "kept", *range(5, 10)])
    driver.check_gates(run)
    assert run.tasks.get(step="M", map_index=0).reruns == 0
    engine.rerun(run.tasks.get(step="A"))
    assert not run.tasks.filter(map_index__gte=0).exists()
    driver.end(driver.claim(run, "A"), lambda claimed: [7])
    driver.drain(run, lambda claimed: claimed.upstream)
    assert run.result == [7]


def test_a_stopped_map_reads_no_statuses_while_its_items_run():
    run = start(mapped("M", over=OVER), given=list(range(5)), fail_fast=True)
    driver.expand(run, "M")
    running = [driver.claim(run, "M", index) for index in (0, 1)]
    driver.fail(run, "M", index=2)
    stopping.continue_stop(run.pk)
    with CaptureQueriesContext(connection) as captured:
        stopping.continue_stop(run.pk)
    read = [query["sql"] for query in captured if "map_index" in query["sql"].partition(" FROM ")[0]]
    assert not read
    for claimed in running:
        driver.end(claimed, lambda claimed: 1)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.tasks.get(step="M", map_index=-1).status == "failed"
    driver.check_gates(run)


# What people see


@pytest.mark.usefixtures("small_limits")
def test_lists_of_tasks_leave_a_long_list_out():
    run = start(mapped("M", over=OVER), given=LARGE)
    (listed, _) = with_tasks(run, with_payload=True)["tasks"]
    assert (listed["step"], listed["result"]) == ("A", None)
    assert task_as_json(run.tasks.get(step="A"), with_payload=True)["result"] == LARGE
    short = start(mapped("M", over=OVER), given=["x"], name="test.SHORT")
    (listed, _) = with_tasks(short, with_payload=True)["tasks"]
    assert listed["result"] == ["x"]


def test_the_progress_of_a_map():
    run = start(mapped("M", over=OVER), group("G", mapped("N", over=[])), "Z", given=list(range(130)))
    row = run.tasks.get(step="M", map_index=-1)
    assert task_as_json(row, with_payload=False)["progress"] is None
    driver.expand(run, "M")
    ended(run, 0, 64, 129)
    row.refresh_from_db()
    progress = {"done": 3, "total": 130, "message": ""}
    assert task_as_json(row, with_payload=False)["progress"] == progress
    listed = {task["label"]: task["progress"] for task in with_tasks(run, with_payload=False)["tasks"]}
    assert listed.pop("M") == progress
    assert set(listed.values()) == {None}
    assert "3 of 130 items have ended" in shown(run)
    driver.drain(run, lambda claimed: claimed.upstream)
    row.refresh_from_db()
    assert task_as_json(row, with_payload=False)["progress"] == {"done": 130, "total": 130, "message": ""}
    assert "items have ended" not in shown(run)


def shown(run: Run) -> str:
    out = io.StringIO()
    call_command("showrun", str(run.pk), stdout=out)
    return out.getvalue()


def test_the_progress_on_the_page_of_a_map(admin_client):
    run = start(mapped("M", over=OVER), "Z", given=list(range(70)))
    driver.expand(run, "M")
    ended(run, 1, 2)
    row = run.tasks.get(step="M", map_index=-1)
    page = admin_client.get(f"/admin/django_director/task/{row.pk}/change/")
    assert "2 of 70" in page.content.decode()
    driver.drain(run)
    page = admin_client.get(f"/admin/django_director/task/{row.pk}/change/")
    assert "70 of 70" in page.content.decode()
