"""Workflows as steps: how child runs start, end, are stopped, resumed and waited for."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from django_director import engine
from django_director.definitions import Concurrency, TaskStep
from django_director.engine import parking, pausing, stopping
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.concurrency import admission
from django_director.engine.steps import child_workflows
from django_director.engine.supervisor import audit, leases, publishing, retention, timeouts
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.status import RunStatus, Stop, TaskStatus
from tests.factories import chain, child, definition, group, make_user, make_workflow, step

from . import driver

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "fast": {"type": "boolean", "default": False}},
    "required": ["order"],
}


def make_child(*tasks: Any, name: str = "test.CHILD", **fields: Any) -> None:
    make_workflow(definition(name, *(tasks or ("X", "Y")), **fields))


def started(*tasks: Any, payload: Any = None, **fields: Any) -> Run:
    """A run of ``SHIP``, a child run, then ``AFTER``; the child has been started and its step waits."""
    run = driver.start(*(tasks or (child("SHIP", "test.CHILD"), "AFTER")), payload=payload, **fields)
    take_up(run)
    return run


def take_up(run: Run, step_id: str = "SHIP") -> None:
    driver.end(driver.claim(run, step_id), lambda claimed: None)


def with_commit(work: Any) -> None:
    """Do ``work`` and what follows its commit, which the test's transaction never makes."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        work()


def fail_in(run: Run, step_id: str = "X") -> None:
    driver.fail(run, step_id)


def error_of(run: Run, step_id: str = "SHIP") -> str:
    return str(run.tasks.get(step=step_id).error)


# Start


def test_the_step_waits_without_a_worker_for_one_child():
    make_child()
    user = make_user()
    make_workflow(definition("test.FLOW", child("SHIP", "test.CHILD"), "AFTER"))
    run = engine.start("test.FLOW", user=user)
    take_up(run)
    task, made = run.tasks.get(step="SHIP"), Run.objects.get(workflow__name="test.CHILD")
    assert (task.status, task.claim, task.lease_until, task.child_run) == ("waiting", None, None, made.pk)
    assert (made.parent_task_id, made.trigger, made.user, made.status) == (task.pk, "workflow", user, "running")
    assert driver.statuses(made) == {"X": "queued", "Y": "pending"}


def test_the_payload_is_evaluated_and_completed_by_the_schema_of_the_child():
    make_child(schema=SCHEMA)
    ship = child("SHIP", "test.CHILD", payload={"order": "${{ tasks.FETCH.result + payload.base }}"})
    run = driver.start("FETCH", ship, payload={"base": 40})
    driver.succeed(run, "FETCH", 2)
    take_up(run)
    assert driver.child_of(run, "SHIP").payload == {"order": 42, "fast": False}


def test_when_is_asked_before_anything_starts():
    make_child()
    run = started(child("SHIP", "test.CHILD", when="payload.ship"), "AFTER", payload={"ship": False})
    assert not Run.objects.filter(parent_task__isnull=False).exists()
    assert driver.statuses(run) == {"SHIP": "skipped", "AFTER": "queued"}


UNSTARTED = "ChildNotStarted: “test.CHILD” can't be started: "


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"order": "seven"}, UNSTARTED + 'invalid payload: $.order: "seven" is not an integer'),
        ({}, UNSTARTED + 'invalid payload: $: "order" is a required property'),
        (
            {"order": "${{ payload.none }}"},
            "ExpressionError: `payload.none`, column 12: `payload` has no `none`; there is nothing",
        ),
    ],
)
def test_a_payload_that_does_not_fit_fails_the_step(payload, error):
    make_child(schema=SCHEMA)
    run = started(child("SHIP", "test.CHILD", payload=payload))
    assert run.tasks.get().failures == 1
    assert error_of(run) == error
    assert Run.objects.count() == 1


def test_a_child_that_is_not_there_fails_the_step():
    make_workflow(definition("test.CHILD2"))
    run = started()
    assert error_of(run) == UNSTARTED + "unknown workflow “test.CHILD” (did you mean “test.CHILD2”?)"


def test_a_child_that_has_left_the_files_fails_the_step():
    make_workflow(definition("test.CHILD"), is_active=False)
    run = started()
    assert error_of(run) == UNSTARTED + (
        "workflow “test.CHILD” has left the workflow files and can't be started any more"
    )


def test_a_child_that_is_too_large_fails_the_step(settings):
    make_child("X", "Y", "Z")
    settings.DIRECTOR = {"MAX_TASKS_PER_RUN": 2}
    run = started()
    assert error_of(run).startswith(UNSTARTED + "“test.CHILD” has 3 tasks, the limit is 2")


def test_a_recursion_that_came_after_the_start_fails_the_step():
    make_child(child("BACK", "test.FLOW"))
    run = started()
    made = driver.child_of(run, "SHIP")
    take_up(made, "BACK")
    expected = "“test.FLOW” can't be started: the workflow would start itself: test.FLOW → test.CHILD → test.FLOW"
    assert error_of(made, "BACK") == f"ChildNotStarted: {expected}"
    assert Run.objects.count() == 2


def test_the_current_version_of_the_child_is_started():
    make_child("OLD")
    run = driver.start(child("SHIP", "test.CHILD"))
    make_child("NEW")
    take_up(run)
    assert driver.statuses(driver.child_of(run, "SHIP")) == {"NEW": "queued"}


def test_a_claim_that_was_lost_starts_nothing():
    make_child()
    run = driver.start(child("SHIP", "test.CHILD"))
    lost = driver.claim(run, "SHIP")
    Task.objects.update(lease_until=PAST)
    assert leases.expire_leases() == 1
    assert child_workflows.start_or_resume(lost, {}) is None
    assert Run.objects.count() == 1
    take_up(run)
    assert Run.objects.count() == 2
    assert child_workflows.start_or_resume(lost, {}) is None
    assert Run.objects.count() == 2


def test_an_error_in_between_leaves_neither_a_child_nor_a_waiting_step(monkeypatch):
    make_child()
    run = driver.start(child("SHIP", "test.CHILD"))
    claimed = driver.claim(run, "SHIP")

    def die(name: str) -> None:
        if name == "child.inserted":
            raise RuntimeError(name)

    with monkeypatch.context() as patch:
        patch.setattr("django_director.common.failpoints.point", die)
        with pytest.raises(RuntimeError), transaction.atomic():
            child_workflows.start_or_resume(claimed, {})
    assert (Run.objects.count(), run.tasks.get().status) == (1, TaskStatus.RUNNING)


# Ends


def test_a_success_and_its_result_go_up():
    make_child()
    ship = child("SHIP", "test.CHILD")
    run = started(ship, step("AFTER", kwargs={"it": "${{ tasks.SHIP.result }}"}), result="tasks.SHIP.result")
    seen = []

    def body(claimed):
        seen.append((claimed.node.step.id, claimed.upstream))
        return {"from": claimed.node.step.id}

    driver.drain_all(body)
    run.refresh_from_db()
    assert seen == [("X", None), ("Y", {"from": "X"}), ("AFTER", {"from": "Y"})]
    assert (run.status, run.result) == (RunStatus.SUCCESS, {"from": "Y"})
    assert not Run.objects.filter(is_awaited=True).exists()
    driver.check_gates(run)


def test_a_child_without_tasks_ends_at_once():
    make_workflow(definition("test.CHILD", group("G")))
    run = started()
    assert driver.child_of(run, "SHIP").status == RunStatus.SUCCESS
    assert child_workflows.report_all(10) == 1
    assert driver.statuses(run) == {"SHIP": "success", "AFTER": "queued"}
    assert run.tasks.get(step="SHIP").result == []


def test_a_failure_goes_up_and_names_the_child_and_its_error():
    make_child()
    run = started()
    made = driver.child_of(run, "SHIP")
    fail_in(made)
    driver.drain_all()
    run.refresh_from_db()
    error = f"ChildFailed: run {made.pk} of “test.CHILD” failed: X: ValueError: no"
    assert (run.status, run.error) == (RunStatus.FAILED, f"SHIP: {error}")
    assert driver.statuses(run) == {"SHIP": "failed", "AFTER": "upstream_failed"}


def test_a_child_that_somebody_cancels_fails_the_step():
    make_child()
    run = started()
    made = driver.child_of(run, "SHIP")
    engine.cancel(made, user=make_user("ann"))
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, run.stop) == (RunStatus.FAILED, Stop.NONE)
    assert error_of(run) == f"ChildCanceled: run {made.pk} of “test.CHILD” was canceled"


def test_a_result_over_the_limit_fails_the_step_and_says_what_to_do(settings):
    settings.DIRECTOR = {"MAX_RESULT": 100}
    make_child(group("G", "X", "Y"))
    run = started()
    made = driver.child_of(run, "SHIP")
    driver.drain_all(lambda claimed: "x" * 80)
    error = f"InvalidResult: the result of run {made.pk} of “test.CHILD” can't be passed on: "
    assert error_of(run).startswith(error)
    assert error_of(run).endswith("; let its definition say `result:`")


def test_a_result_that_can_not_be_evaluated_fails_the_step():
    make_child(result="tasks.X.result.none")
    run = started()
    driver.drain_all()
    assert error_of(run).startswith(
        f"InvalidResult: run {driver.child_of(run, 'SHIP').pk} of “test.CHILD” has no "
    )
    assert "result: `tasks.X.result.none`" in error_of(run)


def test_nothing_waits_for_the_hooks_of_the_child():
    make_child(hooks={"success": (TaskStep(id="hooks.success", task="HOOK"),)})
    run = started()
    made = driver.child_of(run, "SHIP")
    for name in ("X", "Y"):
        driver.succeed(made, name)
    child_workflows.report_all(10)
    assert made.tasks.get(is_hook=True).status == TaskStatus.QUEUED
    assert driver.statuses(run) == {"SHIP": "success", "AFTER": "queued"}


def test_a_report_is_made_once():
    make_child("X")
    run = started()
    made = driver.child_of(run, "SHIP")
    driver.succeed(made, "X")
    assert [child_workflows.report(made.pk), child_workflows.report(made.pk)] == [True, False]
    assert run.tasks.get(step="AFTER").sequence == 1


def test_children_of_children():
    make_child(child("INNER", "test.INNER"), "Y")
    make_child("DEEP", name="test.INNER")
    run = started()
    driver.drain_all()
    run.refresh_from_db()
    assert run.status == RunStatus.SUCCESS
    assert driver.child_of(driver.child_of(run, "SHIP"), "INNER").result == "DEEP"


# Stops


def test_cancel_goes_down_and_waits_for_what_runs():
    make_child(group("G", "X", "Y"))
    run = started(child("SHIP", "test.CHILD"), step("AFTER", trigger_rule="always"))
    made = driver.child_of(run, "SHIP")
    running = driver.claim(made, "X")
    with_commit(lambda: engine.cancel(run, user=make_user("ann")))
    made.refresh_from_db()
    assert (made.stop, driver.statuses(made)) == (Stop.CANCEL, {"X": "running", "Y": "canceled"})
    assert driver.statuses(run) == {"SHIP": "waiting", "AFTER": "canceled"}
    assert run.shown_status == "canceling"
    finish.finish(running, 1)
    driver.drain_all()
    made.refresh_from_db()
    run.refresh_from_db()
    assert (run.status, made.status) == (RunStatus.CANCELED, RunStatus.CANCELED)
    shipped = run.tasks.get(step="SHIP")
    assert (shipped.status, shipped.reason) == (TaskStatus.CANCELED, "canceled by ann")
    assert made.tasks.get(step="Y").reason == "canceled by ann"


def test_a_forced_cancel_goes_down_as_one():
    make_child(child("INNER", "test.INNER"))
    make_child("X", name="test.INNER")
    run = started()
    made = driver.child_of(run, "SHIP")
    take_up(made, "INNER")
    inner = driver.child_of(made, "INNER")
    driver.claim(inner, "X")
    with_commit(lambda: engine.cancel(run))
    assert driver.statuses(inner) == {"X": "running"}
    with_commit(lambda: engine.cancel(run, force=True))
    driver.drain_all()
    assert driver.statuses(inner) == {"X": "canceled"}
    for one in (run, made, inner):
        one.refresh_from_db()
        assert one.status == RunStatus.CANCELED


def test_the_time_out_of_the_parent_goes_down():
    make_child()
    run = started(timeout=60)
    made = driver.child_of(run, "SHIP")
    Run.objects.filter(pk=run.pk).update(deadline_at=PAST)
    assert timeouts.stop_overdue_runs() == 1
    audit.close_stopped()
    driver.drain_all()
    run.refresh_from_db()
    made.refresh_from_db()
    assert (run.status, made.status) == (RunStatus.FAILED, RunStatus.CANCELED)
    assert run.error == "TimeLimitExceeded: the run took longer than 60 s"
    shipped = run.tasks.get(step="SHIP")
    assert (shipped.status, shipped.reason) == (TaskStatus.CANCELED, "the run's time was up")


def test_a_child_that_started_while_its_parent_was_canceled_is_canceled():
    make_child()
    run = driver.start(child("SHIP", "test.CHILD"))
    claimed = driver.claim(run, "SHIP")
    with_commit(lambda: engine.cancel(run))
    with_commit(lambda: driver.end(claimed, lambda claimed: None))
    made = driver.child_of(run, "SHIP")
    assert made.status == RunStatus.CANCELED
    driver.drain_all()
    made.refresh_from_db()
    run.refresh_from_db()
    assert (run.status, made.status) == (RunStatus.CANCELED, RunStatus.CANCELED)
    assert driver.statuses(made) == {"X": "canceled", "Y": "canceled"}


def test_a_running_child_goes_on_under_fail_fast():
    make_child("X")
    run = driver.start(group("G", child("SHIP", "test.CHILD"), "B", chain("C", "D", "E")), fail_fast=True)
    take_up(run)
    with_commit(lambda: fail_in(run, "B"))
    assert driver.statuses(run) == {"SHIP": "waiting", "B": "failed", "D": "canceled", "E": "canceled"}
    made = driver.child_of(run, "SHIP")
    assert made.stop == Stop.NONE
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "B: ValueError: no")
    assert run.tasks.get(step="SHIP").result == "X"


def test_a_child_that_fails_lets_its_parent_fail_fast():
    make_child("X")
    run = driver.start(group("G", child("SHIP", "test.CHILD"), chain("C", "D", "E")), fail_fast=True)
    take_up(run)
    fail_in(driver.child_of(run, "SHIP"))
    with_commit(lambda: child_workflows.report_all(10))
    assert driver.statuses(run) == {"SHIP": "failed", "D": "canceled", "E": "canceled"}


def test_the_children_of_many_steps_are_stopped_in_chunks(monkeypatch):
    monkeypatch.setattr(stopping, "CHUNK", 2)
    monkeypatch.setattr(stopping, "CHILDREN_AT_ONCE", 1)
    make_child("X")
    names = [f"S{number}" for number in range(5)]
    run = driver.start(group("G", *(child(name, "test.CHILD") for name in names)))
    for name in names:
        take_up(run, name)
    with_commit(lambda: engine.cancel(run))
    assert Run.objects.filter(stop=Stop.CANCEL).count() == 6
    # What is left is the supervisor's.
    assert Run.objects.active().filter(parent_task__isnull=False).count() == 4
    audit.close_stopped()
    driver.drain_all()
    assert not Run.objects.active().exists()


# Time


def overdue(run: Run) -> None:
    assert Run.objects.active().filter(pk=run.pk, deadline_at__isnull=False).update(deadline_at=PAST) == 1
    assert timeouts.stop_overdue_runs() == 1


@pytest.mark.parametrize(("own", "steps", "limit"), [(None, 60, 60), (90, 60, 60), (30, 60, 30), (30, None, 30)])
def test_the_time_counts_from_the_creation_of_the_child(own, steps, limit):
    make_child(timeout=own)
    made = driver.child_of(started(child("SHIP", "test.CHILD", timeout=steps)), "SHIP")
    assert (made.deadline_at - made.created_at).total_seconds() == pytest.approx(limit, abs=0.01)


def test_a_timeout_cancels_the_child_and_fails_the_step_at_once():
    make_child()
    run = started(child("SHIP", "test.CHILD", timeout=60), "AFTER")
    made = driver.child_of(run, "SHIP")
    running = driver.claim(made, "X")
    overdue(made)
    audit.close_stopped()
    error = f"TimeLimitExceeded: run {made.pk} of “test.CHILD” took longer than 60 s"
    assert error_of(run) == error
    assert driver.statuses(run) == {"SHIP": "failed", "AFTER": "upstream_failed"}
    assert driver.statuses(made) == {"X": "running", "Y": "canceled"}
    made.refresh_from_db()
    assert made.shown_status == "canceling"
    finish.finish(running, 1)
    driver.drain_all()
    made.refresh_from_db()
    expected = ("canceled", "TimeLimitExceeded: the time of the step that started it was up")
    assert (made.status, made.error) == expected
    assert not Run.objects.filter(is_awaited=True).exists()


def test_the_time_of_its_own_definition_fails_the_child():
    make_child(timeout=60)
    run = started(child("SHIP", "test.CHILD", timeout=90))
    made = driver.child_of(run, "SHIP")
    overdue(made)
    driver.drain_all()
    made.refresh_from_db()
    assert made.status == RunStatus.FAILED
    error = f"ChildFailed: run {made.pk} of “test.CHILD” failed: TimeLimitExceeded: the run took longer than 60 s"
    assert error_of(run) == error


def test_a_timeout_that_a_crash_interrupted_is_told_by_the_end():
    make_child("X")
    run = started(child("SHIP", "test.CHILD", timeout=60))
    made = driver.child_of(run, "SHIP")
    overdue(made)
    # The process dies here; the child's last task may end before a supervisor looks.
    stopping.sweep(Run.objects.stopping(), made.pk)
    assert stopping.close_if_idle(made.pk)
    assert child_workflows.report_all(10) == 1
    assert error_of(run).startswith("TimeLimitExceeded: ")


# Retry


def retried(run: Run) -> Run:
    run.refresh_from_db()
    engine.retry(run)
    return run


def test_a_retry_resumes_the_child():
    make_child()
    run = started()
    made = driver.child_of(run, "SHIP")
    driver.succeed(made, "X")
    fail_in(made, "Y")
    driver.drain_all()
    retried(run)
    take_up(run)
    assert driver.child_of(run, "SHIP") == made
    made.refresh_from_db()
    assert (made.status, made.generation, made.is_awaited) == (RunStatus.RUNNING, 1, True)
    assert driver.statuses(made) == {"X": "success", "Y": "queued"}
    assert driver.statuses(run) == {"SHIP": "waiting", "AFTER": "pending"}
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, Run.objects.count()) == (RunStatus.SUCCESS, 2)
    driver.check_gates(made)


def test_a_retry_goes_down_to_children_of_children():
    make_child(child("INNER", "test.INNER"))
    make_child("X", name="test.INNER")
    run = started()
    made = driver.child_of(run, "SHIP")
    take_up(made, "INNER")
    inner = driver.child_of(made, "INNER")
    fail_in(inner)
    driver.drain_all()
    retried(run)
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, Run.objects.count()) == (RunStatus.SUCCESS, 3)
    assert set(Run.objects.values_list("generation", flat=True)) == {1}


def test_a_retry_after_a_cancel_resumes_the_child():
    make_child()
    run = started()
    made = driver.child_of(run, "SHIP")
    driver.succeed(made, "X")
    with_commit(lambda: engine.cancel(run))
    driver.drain_all()
    retried(run)
    driver.drain_all()
    run.refresh_from_db()
    made.refresh_from_db()
    assert (run.status, made.status, Run.objects.count()) == (RunStatus.SUCCESS, RunStatus.SUCCESS, 2)
    assert made.tasks.get(step="X").reruns == 0


def test_a_retry_takes_the_result_of_a_child_that_has_succeeded_all_the_same():
    make_child("X")
    run = started()
    made = driver.child_of(run, "SHIP")
    running = driver.claim(made, "X")
    finish.finish(running, {"done": 1})
    Run.objects.filter(pk=made.pk).update(is_awaited=False)
    with_commit(lambda: engine.cancel(run))
    Task.objects.filter(pk=run.tasks.get(step="SHIP").pk).update(status="canceled", finished_at=PAST)
    driver.drain_all()
    retried(run)
    take_up(run)
    assert run.tasks.get(step="SHIP").result == {"done": 1}
    assert Run.objects.count() == 2


def test_a_step_that_had_succeeded_starts_a_new_child():
    make_child("X")
    run = driver.start("FETCH", child("SHIP", "test.CHILD", trigger_rule="always"))
    fail_in(run, "FETCH")
    driver.drain_all()
    first = driver.child_of(run, "SHIP")
    assert driver.statuses(run) == {"FETCH": "failed", "SHIP": "success"}
    retried(run)
    driver.drain_all()
    second = driver.child_of(run, "SHIP")
    assert (first.status, first.generation, second.status) == (RunStatus.SUCCESS, 0, RunStatus.SUCCESS)
    assert second != first
    assert run.tasks.get(step="SHIP").reruns == 1


def test_a_rerun_of_a_success_starts_a_new_child_and_one_of_a_failure_resumes():
    make_child()
    run = started()
    first = driver.child_of(run, "SHIP")
    fail_in(first, "X")
    driver.drain_all()
    engine.rerun(run.tasks.get(step="SHIP"))
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, driver.child_of(run, "SHIP")) == (RunStatus.SUCCESS, first)
    engine.rerun(run.tasks.get(step="SHIP"))
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, driver.child_of(run, "SHIP") == first, Run.objects.count()) == (
        RunStatus.SUCCESS,
        False,
        3,
    )


def test_a_step_that_is_skipped_leaves_its_child_as_it_is():
    make_child()
    run = started()
    fail_in(driver.child_of(run, "SHIP"))
    driver.drain_all()
    engine.skip(run.tasks.get(step="SHIP"), user=make_user("ann"))
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, Run.objects.count()) == (RunStatus.SUCCESS, 2)
    assert driver.child_of(run, "SHIP").status == RunStatus.FAILED


def test_a_retry_with_another_payload_starts_a_new_child():
    make_child("X")
    ship = child("SHIP", "test.CHILD", trigger_rule="always", payload={"got": "${{ tasks.FETCH.result }}"})
    run = driver.start("FETCH", ship)
    fail_in(run, "FETCH")
    take_up(run)
    first = driver.child_of(run, "SHIP")
    fail_in(first)
    driver.drain_all()
    retried(run)
    driver.drain_all()
    run.refresh_from_db()
    assert run.status == RunStatus.SUCCESS
    second = driver.child_of(run, "SHIP")
    assert (first.payload, second.payload) == ({"got": None}, {"got": "FETCH"})
    first.refresh_from_db()
    assert first.status == RunStatus.FAILED


def test_a_retry_waits_until_the_child_that_ran_too_long_has_ended():
    make_child("X")
    run = started(child("SHIP", "test.CHILD", timeout=60))
    made = driver.child_of(run, "SHIP")
    running = driver.claim(made, "X")
    overdue(made)
    audit.close_stopped()
    retried(run)
    take_up(run)
    task = run.tasks.get(step="SHIP")
    assert (task.status, task.not_before is not None, task.failures) == (TaskStatus.WAITING, True, 0)
    assert finish.fail(running, Failure(error="ValueError: no"))
    audit.close_stopped()
    child_workflows.report_all(10)
    Task.objects.waiting().update(not_before=PAST)
    publishing.wake()
    take_up(run)
    made.refresh_from_db()
    assert (made.status, made.generation, made.stop) == (RunStatus.RUNNING, 1, Stop.NONE)
    assert (made.deadline_at - task.started_at).total_seconds() > 50
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, Run.objects.count()) == (RunStatus.SUCCESS, 2)


# Steering


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (engine.pause, "paused"),
        (engine.resume, "resumed"),
        (engine.retry, "retried"),
        (engine.preview_retry, "retried"),
    ],
)
def test_a_child_is_steered_through_its_root(operation, what):
    make_child(child("INNER", "test.INNER"))
    make_child("X", name="test.INNER")
    run = started()
    made = driver.child_of(run, "SHIP")
    take_up(made, "INNER")
    inner = driver.child_of(made, "INNER")
    with pytest.raises(Conflict) as raised:
        operation(inner)
    expected = f"run {inner.pk} can't be {what}: run {inner.pk} is a child run, steer its root, run {run.pk}"
    assert str(raised.value) == expected


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (engine.rerun, "rerun"),
        (engine.preview_rerun, "rerun"),
        (engine.skip, "skipped"),
        (engine.preview_skip, "skipped"),
    ],
)
def test_and_so_are_its_tasks(operation, what):
    make_child()
    run = started()
    made = driver.child_of(run, "SHIP")
    fail_in(made)
    with pytest.raises(Conflict) as raised:
        operation(made.tasks.get(step="X"))
    expected = (
        f"task “X” of run {made.pk} can't be {what}: run {made.pk} is a child run, steer its root, run {run.pk}"
    )
    assert str(raised.value) == expected


def test_a_relaunch_of_a_child_is_a_run_of_its_own():
    make_child()
    made = driver.child_of(started(), "SHIP")
    again = engine.relaunch(made)
    assert (again.parent_task_id, again.is_awaited, again.relaunched_from) == (None, False, made)


def test_a_pause_holds_back_what_the_children_would_start():
    make_child(child("INNER", "test.INNER"), timeout=600)
    make_child("X", "Y", name="test.INNER", timeout=600)
    run = started()
    made = driver.child_of(run, "SHIP")
    take_up(made, "INNER")
    inner = driver.child_of(made, "INNER")
    with_commit(lambda: engine.pause(run))
    assert not Run.objects.filter(paused_at=None).exists()
    publishing.publish_due()
    assert driver.claims.claim(driver.ticket(inner.tasks.get(step="X")), "tests") is None
    assert parking.parked().count() == 1
    Run.objects.update(paused_at=PAST)
    with_commit(lambda: engine.resume(run))
    assert not Run.objects.filter(paused_at__isnull=False).exists()
    assert parking.parked().count() == 0
    before = inner.deadline_at
    inner.refresh_from_db()
    assert inner.deadline_at > before
    driver.drain_all()
    run.refresh_from_db()
    assert run.status == RunStatus.SUCCESS


def test_a_child_that_starts_while_its_parent_is_paused_is_paused():
    make_child()
    run = driver.start(child("SHIP", "test.CHILD"))
    claimed = driver.claim(run, "SHIP")
    engine.pause(run)
    with_commit(lambda: driver.end(claimed, lambda claimed: None))
    assert driver.child_of(run, "SHIP").shown_status == "paused"


def test_a_pause_that_a_crash_interrupted_reaches_the_children_and_so_does_its_end():
    make_child()
    run = started()
    made = driver.child_of(run, "SHIP")
    engine.pause(run)
    made.refresh_from_db()
    assert made.paused_at is None
    assert pausing.follow_parents() == 1
    made.refresh_from_db()
    assert made.paused_at is not None
    engine.resume(run)
    assert pausing.follow_parents() == 1
    assert pausing.follow_parents() == 0
    made.refresh_from_db()
    assert made.paused_at is None


# Retention


def test_children_go_with_their_root_and_are_not_counted(settings):
    settings.DIRECTOR = {"RETENTION": {"offset": 1}}
    make_child("X")
    roots = []
    for _ in range(2):
        make_workflow(definition("test.FLOW", child("SHIP", "test.CHILD")))
        roots.append(engine.start("test.FLOW"))
        take_up(roots[-1])
        driver.drain_all()
    assert Run.objects.count() == 4
    assert retention.clean() == {"test.FLOW": 1}
    left = Run.objects.order_by("pk").values_list("workflow__name", flat=True)
    assert list(left) == ["test.FLOW", "test.CHILD"]
    assert Run.objects.roots().get() == roots[1]


# Concurrency of the child


def keyed(on_conflict: str = "queue", **fields: Any) -> Run:
    """Make a child workflow of which one run at a time is let; return the one that has the slot."""
    make_child("X", concurrency=Concurrency(on_conflict=on_conflict), **fields)
    return engine.start("test.CHILD")


def admit() -> None:
    """What follows the commits that a test's transaction never makes."""
    Run.objects.filter(status=RunStatus.PENDING).update(next_admission_at=PAST)
    admission.admit_due()


def test_a_child_waits_for_its_slot_and_its_step_for_the_child():
    make_child("X", concurrency=Concurrency())
    first = engine.start("test.CHILD")
    admit()
    run = started()
    admit()
    made = driver.child_of(run, "SHIP")
    assert (made.status, driver.statuses(run)["SHIP"]) == (RunStatus.PENDING, "waiting")
    engine.cancel(first)
    driver.drain_all()
    admit()
    driver.drain_all()
    run.refresh_from_db()
    assert run.status == RunStatus.SUCCESS


def test_the_time_of_the_step_counts_while_the_child_waits_for_a_slot():
    keyed(timeout=3600)
    admit()
    run = started(child("SHIP", "test.CHILD", timeout=60), "AFTER")
    made = driver.child_of(run, "SHIP")
    assert made.status == RunStatus.PENDING
    assert (made.deadline_at - made.created_at).total_seconds() == pytest.approx(60, abs=0.1)
    overdue(made)
    audit.close_stopped()
    assert error_of(run) == f"TimeLimitExceeded: run {made.pk} of “test.CHILD” took longer than 60 s"
    made.refresh_from_db()
    assert made.status == RunStatus.CANCELED


@pytest.mark.parametrize(("own", "left"), [(None, 60), (3600, 60), (5, 5)])
def test_a_slot_does_not_lengthen_the_time_of_the_step(own, left):
    make_child("X", concurrency=Concurrency(), timeout=own)
    run = started(child("SHIP", "test.CHILD", timeout=60), "AFTER")
    admit()
    made = driver.child_of(run, "SHIP")
    assert made.status == RunStatus.RUNNING
    assert (made.deadline_at - made.created_at).total_seconds() == pytest.approx(left, abs=1)
    overdue(made)
    audit.close_stopped()
    driver.drain_all()
    assert ("TimeLimitExceeded: run" in error_of(run)) == (left == 60)


def test_a_child_that_is_refused_makes_the_step_skipped():
    holder = keyed("skip")
    admit()
    run = started()
    admit()
    driver.drain_all(lambda claimed: None)
    run.refresh_from_db()
    step = run.tasks.get(step="SHIP")
    made = driver.child_of(run, "SHIP")
    assert (made.status, step.status) == (RunStatus.CANCELED, TaskStatus.SKIPPED)
    assert step.reason == made.error == f"skipped: run {holder.pk} had not ended"
    assert run.status == RunStatus.SUCCESS


def test_a_child_that_may_not_go_on_makes_the_step_skipped():
    make_child("X", concurrency=Concurrency(on_conflict="skip"))
    run = started()
    admit()
    fail_in(driver.child_of(run, "SHIP"))
    driver.drain_all()
    holder = engine.start("test.CHILD")
    admit()
    retried(run)
    take_up(run)
    step = run.tasks.get(step="SHIP")
    assert (step.status, step.reason) == (TaskStatus.SKIPPED, f"skipped: run {holder.pk} had not ended")
    assert Run.objects.count() == 3


def test_a_child_that_another_run_takes_the_place_of_fails_the_step():
    make_child("X", concurrency=Concurrency(on_conflict="cancel_running"))
    run = started()
    admit()
    made = driver.child_of(run, "SHIP")
    newer = engine.start("test.CHILD")
    admit()
    driver.drain_all()
    why = f"canceled: run {newer.pk} has taken its place"
    assert error_of(run) == f"ChildCanceled: run {made.pk} of “test.CHILD” was canceled ({why})"


def test_a_failing_key_fails_the_step():
    make_child("X", concurrency=Concurrency(key="payload.none"))
    assert error_of(started()).startswith(UNSTARTED + "invalid payload: `concurrency.key` gives no value: ")


def test_a_child_that_waits_for_its_slot_can_be_resumed_after_a_pause():
    make_child("X", concurrency=Concurrency())
    run = started()
    with_commit(lambda: engine.pause(run))
    admit()
    made = driver.child_of(run, "SHIP")
    assert (made.status, made.shown_status) == (RunStatus.PENDING, "paused")
    with_commit(lambda: engine.resume(run))
    made.refresh_from_db()
    assert made.status == RunStatus.RUNNING


def test_a_retry_gives_a_child_with_a_slot_the_time_of_its_step_again():
    make_child("X", concurrency=Concurrency(), timeout=3600)
    run = started(child("SHIP", "test.CHILD", timeout=60))
    admit()
    made = driver.child_of(run, "SHIP")
    fail_in(made)
    driver.drain_all()
    Run.objects.filter(pk=made.pk).update(deadline_at=PAST)
    retried(run)
    take_up(run)
    made.refresh_from_db()
    assert made.status == RunStatus.PENDING
    resumed = run.tasks.get(step="SHIP").started_at
    assert (made.deadline_at - resumed).total_seconds() == pytest.approx(60, abs=1)
    admit()
    driver.drain_all()
    run.refresh_from_db()
    assert (run.status, Run.objects.count()) == (RunStatus.SUCCESS, 2)
