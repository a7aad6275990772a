"""What a worker evaluates before a task, by the tasks' own code: `when`, `with`, `result`, and their errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from django_director import engine, testing
from django_director.engine.attempts import claim as claims
from django_director.models import Run
from django_director.presentation import serializers
from django_director.status import RunStatus, TaskStatus
from django_director.worker import local
from tests.factories import chain, definition, group, make_workflow, step
from tests.integration.engine import driver

pytestmark = pytest.mark.django_db

GIVE = {"payload": {"value": {"images": [{"url": "a.png"}, {"url": "b.png"}]}}}


def run(*tasks: Any, payload: Any = None, **fields: Any) -> Run:
    make_workflow(definition("test.FLOW", *tasks, **fields))
    return testing.run_workflow("test.FLOW", payload)


def result_of(finished: Run, name: str) -> Any:
    return finished.tasks.get(step=name).result


def test_with_fills_in_what_its_expressions_give():
    given = {
        "url": "${{ tasks.GIVE.result.images[1].url }}",
        "text": "order ${{ payload.order }} of ${{ run.workflow }}",
        "all": ["${{ tasks.GIVE.result }}"],
        "quoted": '${{ "${{" }}',
        "plain": 7,
    }
    finished = run(
        step("GIVE", task="RETURN", kwargs=GIVE), step("ECHO", task="GIVEN", kwargs=given), payload={"order": 5}
    )
    value = GIVE["payload"]["value"]
    assert result_of(finished, "ECHO") == {
        "args": [value],
        "payload": {"order": 5},
        "workflow_id": str(finished.pk),
        "url": "b.png",
        "text": "order 5 of test.FLOW",
        "all": [value],
        "quoted": "${{",
        "plain": 7,
    }


def test_expressions_know_results_and_statuses_of_containers():
    given = {
        "group": "${{ tasks.G.result }}",
        "statuses": [
            "${{ tasks.G.status }}",
            "${{ tasks.C.status }}",
            "${{ tasks.F.status }}",
            "${{ tasks.S.status }}",
        ],
        "skipped": "${{ tasks.S.result }}",
        "empty": ["${{ tasks.E.result }}", "${{ tasks.E.status }}"],
        "head": ["${{ tasks.H.result }}", "${{ tasks.H.status }}"],
    }
    finished = run(
        group("E"),
        group("G", step("A", task="NOOP"), chain("C", step("F", task="ERROR", continue_on_error=True))),
        group("H", step("B", task="NOOP"), when=False),
        step("S", task="NOOP", when=False),
        step("ECHO", task="GIVEN", kwargs=given),
    )
    echoed = result_of(finished, "ECHO")
    assert echoed["group"] == [result_of(finished, "A"), None]
    assert echoed["statuses"] == ["success", "success", "failed", "skipped"]
    assert (echoed["skipped"], echoed["empty"], echoed["head"]) == (None, [[], "success"], [None, "skipped"])


def test_run_names():
    given = {name: f"${{{{ run.{name} }}}}" for name in ("id", "workflow", "trigger", "scheduled_for")}
    finished = run(step("ECHO", task="GIVEN", kwargs=given))
    echoed = result_of(finished, "ECHO")
    assert {name: echoed[name] for name in given} == {
        "id": str(finished.pk),
        "workflow": "test.FLOW",
        "trigger": "manual",
        "scheduled_for": None,
    }


def test_the_slot_of_a_schedule_is_a_text():
    make_workflow(definition("test.FLOW", step("ECHO", task="GIVEN", kwargs={"slot": "${{ run.scheduled_for }}"})))
    slot = datetime(2026, 11, 25, 7, tzinfo=UTC)
    started = engine.start("test.FLOW", trigger="schedule", schedule="s", scheduled_for=slot, publish=False)
    given = local.run_to_end(started).result
    assert datetime.fromisoformat(given["slot"]) == slot


@pytest.mark.parametrize(
    ("step_of", "given"),
    [
        (step("A", task="NOOP"), [None, "success", 7]),
        (step("A", task="ERROR", continue_on_error=True), [None, "failed", 7]),
        (step("A", task="NOOP", when=False), [None, "skipped", 7]),
        (group("A"), [[], "success", []]),
        (chain("A"), [None, "success", 7]),
    ],
)
def test_what_a_step_gives_that_has_no_result(step_of, given):
    wanted = ["${{ tasks.A.result }}", "${{ tasks.A.status }}", "${{ default(tasks.A.result, 7) }}"]
    finished = run(step_of, step("ECHO", task="GIVEN", kwargs={"all": wanted}, needs=("A",)))
    assert result_of(finished, "ECHO")["all"] == given


def test_a_hook_knows_how_the_run_has_ended():
    given = {"how": "${{ run.status }}: ${{ run.error }}", "a": "${{ tasks.A.status }}"}
    hooks = {"failure": (step("hooks.failure", task="GIVEN", kwargs=given, when='run.status == "failed"'),)}
    finished = run(step("A", task="ERROR"), hooks=hooks)
    assert finished.status == RunStatus.FAILED
    hook = finished.tasks.hooks().get()
    assert (hook.result["how"], hook.result["a"]) == ("failed: A: ValueError: as asked", "failed")
    hooks = {"failure": (step("hooks.failure", task="ECHO", when='run.status == "success"'),)}
    assert run(step("A", task="ERROR"), hooks=hooks).tasks.hooks().get().status == TaskStatus.SKIPPED


def test_when_decides_in_the_worker():
    finished = run(
        step("A", task="RETURN", kwargs={"payload": {"value": 3}}),
        step("B", task="ECHO", when="tasks.A.result > 2 and payload.go"),
        step("C", task="ECHO", when="${{ tasks.A.result > 5 }}"),
        group("G", step("D", task="NOOP"), when='tasks.C.status == "skipped"'),
        payload={"go": True},
    )
    assert driver.statuses(finished) == {
        "A": "success",
        "B": "success",
        "C": "skipped",
        "G": "success",
        "D": "success",
    }
    assert finished.tasks.get(step="C").reason == "`when` is false: ${{ tasks.A.result > 5 }}"


@pytest.mark.parametrize("kind", ["step", "container"])
def test_an_error_in_when_fails_its_step_at_once(kind):
    broken = (
        step("B", task="AUTORETRY", when="payload.amount > 1")
        if kind == "step"
        else group("B", "M", when="payload.amount > 1")
    )
    finished = run(step("A", task="NOOP"), broken, payload={})
    failed = finished.tasks.get(step="B")
    assert (failed.status, failed.failures, failed.attempts.count()) == (TaskStatus.FAILED, 1, 0)
    assert failed.error.startswith("ExpressionError: `payload.amount > 1`")
    assert "amount" in finished.error
    if kind == "container":
        assert finished.tasks.get(step="M").status == TaskStatus.UPSTREAM_FAILED


def test_an_error_in_with_fails_its_step_at_once():
    finished = run(step("A", task="NOOP"), step("B", task="ECHO", kwargs={"a": "${{ tasks.A.result.x }}"}))
    assert finished.tasks.get(step="B").error.startswith("ExpressionError: `tasks.A.result.x`")


def test_an_expression_that_a_release_no_longer_reads_fails_its_step():
    finished = run(
        step("A", task="NOOP", when="payload ??"), step("B", task="NOOP", when="tasks.NONE.result", needs=())
    )
    assert finished.status == RunStatus.FAILED
    assert "payload ??" in finished.tasks.get(step="A").error


def test_what_with_gives_is_bounded(settings):
    settings.DIRECTOR = {"MAX_INPUT": 1000, "MAX_RESULT": 1000, "MAX_PAYLOAD": 1000}
    many = ["${{ payload.text }}"] * 3
    finished = run(step("A", task="ECHO", kwargs={"all": many}), payload={"text": "x" * 400})
    assert "the limit is 1,000" in finished.tasks.get(step="A").error


def test_the_result_of_a_run_is_what_its_expression_gives():
    finished = run(
        step("A", task="RETURN", kwargs={"payload": {"value": 3}}),
        step("B", task="NOOP"),
        result="[tasks.A.result + payload.more, tasks.B.status, run.workflow]",
        payload={"more": 4},
    )
    assert (finished.result, finished.result_error) == ([7, "success", "test.FLOW"], "")


def test_a_result_that_fails_is_null_and_says_why():
    finished = run(step("A", task="NOOP"), result="payload.none", payload={})
    assert finished.status == RunStatus.SUCCESS
    assert finished.result is None
    assert finished.result_error.startswith("result: `payload.none`")
    assert serializers.run_as_json(finished, with_payload=True)["result"] is None


def test_only_results_that_are_used_are_read():
    """The statuses of a wide group do not bring its results along."""
    flow = driver.start(
        group("G", *(f"A{n}" for n in range(20))),
        step("Z", needs=("B",), when='tasks.G.status == "success"', kwargs={"b": "${{ tasks.B.result }}"}),
        step("B", needs=("G",)),
    )
    # The update, and one for everything else.
    for name in [*(f"A{n}" for n in range(20)), "B"]:
        driver.succeed(flow, name, name)
    ticket = driver.ticket(flow.tasks.select_related("run__version").get(step="Z"))
    with driver.queries(2):
        claimed = claims.claim(ticket, "tests")
    assert claimed.names["tasks"] == {"G": {"status": "success"}, "B": {"result": "B"}}
    assert json.dumps(claimed.names["tasks"]).count("A1") == 0


def test_heads_in_json():
    flow = driver.start("A", group("G", "M", when="payload.go"), step("Z", needs=("G", "A")), payload={"go": True})
    tasks = {task["step"]: task for task in serializers.tasks_as_json(flow, flow.tasks.all(), with_payload=True)}
    assert [(task["kind"], task["task"]) for task in tasks.values()] == [
        *(("task", "A"), ("group", None), ("task", "M"), ("task", "Z")),
    ]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "A": [],
        "G": ["A"],
        "M": ["G"],
        "Z": ["M", "A"],
    }


def test_a_start_refuses_nothing_that_can_run():
    make_workflow(definition("test.FLOW", step("A", trigger_rule="any_failed")))
    assert engine.start("test.FLOW").status == RunStatus.SUCCESS
