"""Retry, rerun and skip where there are maps: only what they are about runs again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_director import engine
from django_director.definitions import Concurrency
from django_director.engine import stopping
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.exceptions import Conflict, UnknownTask
from django_director.models import Attempt, Run, Task
from django_director.presentation import lookups
from django_director.status import RunStatus
from tests.factories import definition, mapped, step

from . import driver
from .lockstep import Lockstep

pytestmark = pytest.mark.django_db


def ran(*tasks: Any, items: Any, failing: str = "", **fields: Any) -> Run:
    """A run that has ended; the tasks with the labels in ``failing`` have failed."""
    run = driver.start(*tasks, payload={"items": items}, **fields)
    drain(run, failing)
    return run


def drain(run: Run, failing: str = "") -> list[str]:
    order: list[str] = []

    def body(claimed: Any) -> Any:
        index = claimed.map_index
        label = claimed.node.step.id + (f"[{index}]" if index >= 0 else "")
        order.append(label)
        if label in failing.split():
            raise ValueError("broken")
        return claimed.upstream

    driver.drain(run, body)
    return order


def task(run: Run, name: str, index: int = -1) -> Task:
    return run.tasks.select_related("run__version").get(step=name, map_index=index)


def waiting(run: Run, name: str) -> bool:
    return bool(task(run, name).status == "waiting")


def test_the_time_before_a_retry_is_no_part_of_a_maps_duration():
    run = ran(mapped("M", "S"), items=[1, 2], failing="S[1]")
    began = run.started_at - timedelta(hours=1)
    run.tasks.filter(step="M").update(started_at=began)
    engine.retry(run)
    drain(run)
    assert task(run, "M").duration < 600


def test_a_retry_resets_the_failed_items_only():
    run = ran("A", mapped("M", "S", "T"), "Z", items=[1, 2, 3], failing="T[1] S[2]")
    assert run.status == RunStatus.FAILED
    kept = list(run.tasks.filter(map_index=0).values())
    engine.retry(run)
    assert waiting(run, "M")
    driver.check_gates(run)
    assert sorted(drain(run)) == ["S[2]", "T[1]", "T[2]", "Z"]
    assert run.status == RunStatus.SUCCESS
    assert run.result == [1, 2, 3]
    assert list(run.tasks.filter(map_index=0).values()) == kept
    assert Attempt.objects.filter(task__run=run).count() == 2
    assert task(run, "M").error == ""
    driver.check_gates(run)


def test_a_retry_keeps_to_max_parallel():
    run = ran(mapped("M", "S", "T", max_parallel=2), items=list(range(6)), failing="S[0] T[1] S[3] T[4] S[5]")
    engine.retry(run)
    queued = [row.label for row in run.tasks.queued().order_by("map_index")]
    assert queued == ["S[0]", "T[1]"]
    driver.check_gates(run)
    driver.succeed(run, "T", index=1)
    assert [row.label for row in run.tasks.queued().order_by("map_index")] == ["S[0]", "S[3]"]
    driver.succeed(run, "S", index=0)
    driver.succeed(run, "T", index=0)
    assert [row.label for row in run.tasks.queued().order_by("map_index")] == ["S[3]", "T[4]"]
    driver.check_gates(run)
    drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_retry_of_what_is_before_a_map_expands_anew():
    run = ran("A", step("B", needs=("A",)), mapped("M", "S", over="tasks.B.result"), items=[], failing="B")
    engine.retry(run)
    driver.succeed(run, "B", [1, 2])
    drain(run)
    assert run.result == [1, 2]
    first = set(run.tasks.filter(map_index__gte=0).values_list("pk", "reruns"))
    engine.rerun(task(run, "A"))
    assert not run.tasks.filter(map_index__gte=0).exists()
    assert task(run, "M").map_count is None
    driver.check_gates(run)
    driver.succeed(run, "A")
    driver.succeed(run, "B", [1, 2, 3])
    drain(run)
    assert run.result == [1, 2, 3]
    again = set(run.tasks.filter(map_index__gte=0).values_list("pk", "reruns"))
    # The ids are the same, the idempotency keys are not.
    assert {pk for pk, _ in first} < {pk for pk, _ in again}
    assert not first & again


def test_a_message_of_an_earlier_expansion_is_dropped():
    run = ran(mapped("M"), items=[1])
    old = driver.ticket(task(run, "M", 0))
    engine.rerun(task(run, "M", -1))
    driver.expand(run, "M")
    assert claims.claim(old, "tests") is None
    drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_map_whose_list_could_not_be_had_is_tried_again():
    run = driver.start("A", mapped("M", over="tasks.A.result"))
    driver.succeed(run, "A", 7)
    driver.drain(run)
    assert run.status == RunStatus.FAILED
    engine.retry(run)
    assert task(run, "M").status == "queued"


def test_a_rerun_of_one_item():
    run = ran(mapped("M", "S", "T"), "Z", items=[1, 2])
    engine.rerun(task(run, "S", 1))
    assert waiting(run, "M")
    driver.check_gates(run)
    assert drain(run) == ["S[1]", "T[1]", "Z"]
    assert run.status == RunStatus.SUCCESS
    assert task(run, "S", 1).reruns == 1


def test_a_preview_names_items():
    run = ran(mapped("M", "S", "T"), "Z", items=[1, 2, 3], failing="S[1]")
    preview = engine.preview_retry(run)
    assert [(name, status) for _, name, status in preview.again] == [
        ("S[1]", "failed"),
        ("T[1]", "upstream_failed"),
        ("Z", "upstream_failed"),
    ]
    assert [(own.step, own.number, own.items, own.total) for own in preview.steps_again] == [
        ("S", 1, [1], 3),
        ("T", 1, [1], 3),
        ("Z", 1, [], 0),
    ]
    assert [(own.step, own.number, own.items) for own in preview.steps_kept] == [
        ("S", 2, [0, 2]),
        ("T", 2, [0, 2]),
    ]
    assert (preview.runs, preview.kept, preview.broken) == (3, 4, 0)
    assert [name for _, name, _ in preview.stays] == ["S[0]", "T[0]", "S[2]", "T[2]"]
    preview = engine.preview_skip(task(run, "S", 1))
    assert preview.skipped is not None
    assert preview.skipped[1] == "S[1]"


def test_a_rerun_of_what_would_not_run_is_refused():
    run = ran(mapped("M", "S", "T"), items=[1], failing="S[0]")
    with pytest.raises(Conflict, match=r"task “T\[0\]” .* what is before it for its item did not succeed"):
        engine.rerun(task(run, "T", 0))


def test_a_skip_of_one_item():
    run = ran(mapped("M", "S", "T"), "Z", items=[1, 2], failing="S[1]")
    engine.skip(task(run, "S", 1), comment="not needed")
    assert drain(run) == ["T[1]", "Z"]
    assert run.status == RunStatus.SUCCESS
    assert run.result == [1, None]
    assert task(run, "S", 1).reason == "skipped: not needed"
    driver.check_gates(run)


def test_a_skip_of_the_last_failed_task_ends_the_map():
    run = ran(mapped("M"), "Z", items=[1, 2], failing="M[1]")
    with pytest.raises(Conflict, match="only failed and canceled tasks can"):
        engine.skip(task(run, "M", 0))
    engine.skip(task(run, "M", 1))
    assert task(run, "M").status == "success"
    assert drain(run) == ["Z"]
    assert run.result == [1, None]
    driver.check_gates(run)


def test_a_skip_of_a_map_removes_its_items():
    run = ran(mapped("M"), "Z", items=[1, 2], failing="M[1]")
    engine.skip(task(run, "M"))
    assert drain(run) == ["Z"]
    assert (run.status, run.result) == (RunStatus.SUCCESS, None)
    assert run.tasks.count() == 2
    driver.check_gates(run)


def test_a_retry_after_a_cancel():
    run = driver.start(mapped("M", max_parallel=2), "Z", payload={"items": [1, 2, 3]})
    driver.expand(run, "M")
    driver.succeed(run, "M", 1, index=0)
    claimed = driver.claim(run, "M", 1)
    engine.cancel(run)
    assert finish.finish(claimed, 2)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    engine.retry(run)
    assert waiting(run, "M")
    assert drain(run) == ["M[2]", "Z"]
    assert run.result == [1, 2, 3]
    driver.check_gates(run)


def test_a_retry_after_a_cancel_that_let_all_items_end():
    run = driver.start(mapped("M"), payload={"items": [1]})
    driver.expand(run, "M")
    claimed = driver.claim(run, "M", 0)
    engine.cancel(run)
    assert finish.finish(claimed, 2)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    engine.retry(run)
    run.refresh_from_db()
    assert (run.status, run.result) == (RunStatus.SUCCESS, [2])
    driver.check_gates(run)


def test_a_retry_after_fail_fast():
    run = driver.start(mapped("M", max_parallel=1), "Z", payload={"items": [1, 2, 3]}, fail_fast=True)
    drain(run, "M[1]")
    assert run.status == RunStatus.FAILED
    engine.retry(run)
    assert drain(run) == ["M[1]", "M[2]", "Z"]
    assert run.result == [1, 2, 3]
    driver.check_gates(run)


@pytest.mark.django_db(transaction=True)
def test_a_retry_waits_for_its_slot(published):
    run = ran(mapped("M", max_parallel=2), items=[1, 2, 3], failing="M[0] M[1] M[2]", concurrency=Concurrency())
    other = engine.start("test.FLOW", {"items": []})
    engine.retry(run)
    run.refresh_from_db()
    assert run.status == RunStatus.PENDING
    assert waiting(run, "M")
    driver.check_gates(run)
    driver.drain(other)
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING
    assert [row.label for row in run.tasks.queued().order_by("map_index")] == ["M[0]", "M[1]"]
    drain(run)
    assert run.status == RunStatus.SUCCESS


def test_tasks_are_found_by_index():
    run = ran(mapped("M"), mapped("N", "S"), items=[1, 2])
    assert lookups.find_task(f"{run.pk}:M").map_index == -1
    assert lookups.find_task(f"{run.pk}:M:1").label == "M[1]"
    assert lookups.find_task(f"{run.pk}:S:0").label == "S[0]"
    with pytest.raises(UnknownTask, match="several tasks"):
        lookups.find_task(f"{run.pk}:S")


def test_a_skip_of_what_an_earlier_task_of_the_item_keeps_from_running_is_refused():
    run = driver.start(mapped("M", "S", "T", max_parallel=1), "Z", payload={"items": [1, 2]}, fail_fast=True)
    drain(run, "S[0]")
    assert (task(run, "S", 1).status, task(run, "T", 1).status) == ("canceled", "canceled")
    with pytest.raises(Conflict, match="what is before it for its item did not succeed; skip that"):
        engine.skip(task(run, "T", 1))


def test_a_map_of_which_nothing_failed_but_a_stop_has_left_something_is_canceled():
    run = driver.start(mapped("M", "S", "T", max_parallel=1), "Z", payload={"items": [1, 2]}, fail_fast=True)
    drain(run, "S[0]")
    engine.skip(task(run, "S", 0))
    assert drain(run) == ["T[0]"]
    assert (task(run, "M").status, task(run, "M").error) == ("canceled", "")
    assert (run.status, task(run, "Z").status) == (RunStatus.FAILED, "upstream_failed")
    driver.check_gates(run)
    engine.retry(run)
    assert drain(run) == ["S[1]", "T[1]", "Z"]
    assert run.status == RunStatus.SUCCESS


def fast_map(*body: Any, items: int, max_parallel: int | None = None) -> Lockstep:
    """A run that fails fast and whose map has its items, beside the reference's."""
    over = [f"item {n}" for n in range(items)]
    played = Lockstep(
        definition("test.FAST", mapped("M", *body, over=over, max_parallel=max_parallel), fail_fast=True)
    )
    played.start("M")
    return played


def fail_the_first_of_two(played: Lockstep, name: str) -> None:
    played.start(f"{name}[0]")
    played.start(f"{name}[1]")
    played.end(f"{name}[0]", "failed")
    played.end(f"{name}[1]")


def test_a_skip_behind_a_canceled_task_of_the_item_is_refused_as_the_reference_does():
    played = fast_map("a", "b", "c", items=3, max_parallel=2)
    fail_the_first_of_two(played, "a")
    assert played.reference.known["b[2]"] == "canceled"
    assert not played.steer("skip", "b[2]")
    assert not played.steer("rerun", "c[2]")
    assert played.steer("skip", "a[2]")
    played.start("b[2]")
    played.end("b[2]")
    played.start("c[2]")
    played.end("c[2]")
    assert (played.run.status, played.run.result) == (RunStatus.FAILED, None)
    assert played.retry()


def test_a_skip_of_what_runs_although_its_item_was_canceled_lets_the_next_run():
    played = fast_map("a", step("b", trigger_rule="always"), "c", items=3, max_parallel=2)
    fail_the_first_of_two(played, "a")
    while played.queued:
        for label in played.queued:
            played.start(label)
        for label in sorted(played.running):
            played.end(label, "failed" if label == "b[2]" else "success")
    assert played.reference.known["a[2]"] == "canceled"
    assert played.steer("skip", "b[2]")
    played.start("c[2]")
    played.end("c[2]")
    assert played.run.status == RunStatus.FAILED


def test_a_map_whose_only_failed_task_is_skipped_ends_by_what_a_stop_has_left():
    played = fast_map("a", "b", items=2)
    fail_the_first_of_two(played, "a")
    assert played.steer("skip", "a[0]")
    played.start("b[0]")
    played.end("b[0]")
    assert played.reference.known == {
        "M": "canceled",
        "a[0]": "skipped",
        "b[0]": "success",
        "a[1]": "success",
        "b[1]": "canceled",
    }


def test_a_failure_that_a_rerun_has_kept_does_not_stop_the_run_anew():
    """As that of a group's member that is kept: nothing has failed since."""
    made = mapped("M", over=["item 0", "item 1"], max_parallel=1)
    steps = (made, step("Y", trigger_rule="any_failed"), "Z")
    played = Lockstep(definition("test.FAST", *steps, fail_fast=True))
    played.start("M")
    for label, way in (("M[0]", "success"), ("M[1]", "failed"), ("Y", "success")):
        played.start(label)
        played.end(label, way)
    assert played.reference.known["Z"] == "canceled"
    assert played.steer("rerun", "M[0]")
    for label in ("M[0]", "Y", "Z"):
        played.start(label)
        played.end(label)
    assert (played.run.status, played.run.stop) == (RunStatus.FAILED, "")
