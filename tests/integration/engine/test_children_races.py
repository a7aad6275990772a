"""A child run, its step and its parent, two things at once, held at each place where it could matter."""

from __future__ import annotations

from typing import Any

import pytest

from django_director import engine
from django_director.engine.attempts import failures, finish
from django_director.engine.steps import child_workflows
from django_director.engine.supervisor import audit, leases, timeouts
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.acceptance import checker
from tests.factories import child, definition, group, make_workflow

from . import driver
from .interleaving import needs_several_writers
from .test_interleavings import waiting_for

pytestmark = [pytest.mark.django_db(transaction=True), needs_several_writers]
PAST = "2026-01-01T00:00:00Z"
IN_FINISH = [
    "finish.before",
    "finish.updated",
    "finish.settled",
    "finish.committed",
    "report.before",
    "report.told",
]
IN_BEGIN = ["child.inserted", "child.committed"]


@pytest.fixture
def held(held, in_transactions):
    return held


def parent(**fields: Any) -> Run:
    make_workflow(definition("test.CHILD", "X"))
    return driver.start(child("SHIP", "test.CHILD", timeout=60), "AFTER", **fields)


def begin(run: Run) -> None:
    driver.end(driver.claim(run, "SHIP"), lambda claimed: None)


def running() -> tuple[Run, Run, Any]:
    """A parent, its child, and a claim of the child's only task."""
    run = parent()
    begin(run)
    made = driver.child_of(run, "SHIP")
    return run, made, driver.claim(made, "X")


def settle(*runs: Run) -> list[str]:
    """What the runs come to when the supervisor and a worker do all that is left."""
    for _ in range(3):
        audit.close_stopped()
        driver.drain_all()
    assert list(checker.family(Run.objects.all())) == []
    assert not Run.objects.active().exists()
    assert not Run.objects.filter(is_awaited=True).exists()
    for run in runs:
        run.refresh_from_db()
        if not run.stop:
            driver.check_gates(run)
    return [str(run.status) for run in runs]


@pytest.mark.parametrize("point", IN_FINISH)
def test_the_last_finish_of_the_child_and_a_cancel_of_the_parent(held, point):
    run, made, claimed = running()
    results = held(point, lambda: finish.finish(claimed, 1), lambda: engine.cancel(Run.objects.get(pk=run.pk)))
    assert results[0] is True
    assert not isinstance(results[1], Exception), results[1]
    outcomes = settle(run, made)
    step = driver.statuses(run)["SHIP"]
    # Whoever changes the child's row first wins, and the step ends as the child has.
    assert (*outcomes, step) in {("canceled", "success", "success"), ("canceled", "canceled", "canceled")}


@pytest.mark.parametrize("point", IN_FINISH)
def test_the_last_finish_of_the_child_and_the_time_limit_of_its_step(held, point):
    run, made, claimed = running()
    Run.objects.filter(pk=made.pk).update(deadline_at=PAST)

    def time_out() -> None:
        timeouts.stop_overdue_runs()
        audit.close_stopped()

    assert held(point, lambda: finish.finish(claimed, 1), time_out)[0] is True
    outcomes = settle(run, made)
    step = driver.statuses(run)["SHIP"]
    assert (*outcomes, step) in {("success", "success", "success"), ("failed", "canceled", "failed")}
    if step == "failed":
        assert run.error.startswith("SHIP: TimeLimitExceeded: ")


@pytest.mark.parametrize("point", IN_BEGIN)
def test_a_child_begins_while_its_parent_is_canceled(held, point):
    run = parent()
    results = held(point, lambda: begin(run), lambda: engine.cancel(Run.objects.get(pk=run.pk)))
    assert not isinstance(results[1], Exception), results[1]
    made = driver.child_of(run, "SHIP")
    assert settle(run, made) == ["canceled", "canceled"]
    assert driver.statuses(made) == {"X": "canceled"}


@pytest.mark.parametrize("point", IN_BEGIN)
def test_a_child_begins_while_its_parent_is_paused(held, point):
    run = parent()
    results = held(point, lambda: begin(run), lambda: engine.pause(Run.objects.get(pk=run.pk)))
    assert not isinstance(results[1], Exception), results[1]
    made = driver.child_of(run, "SHIP")
    assert made.shown_status == "paused"
    engine.resume(Run.objects.get(pk=run.pk))
    assert settle(run, made) == ["success", "success"]


@pytest.mark.parametrize("point", IN_BEGIN)
def test_a_child_begins_while_its_worker_is_believed_dead(held, point):
    run = parent()
    claimed = driver.claim(run, "SHIP")
    Task.objects.filter(pk=claimed.task_id).update(lease_until=PAST)
    held(point, lambda: child_workflows.start_or_resume(claimed, {}), leases.expire_leases)
    assert run.tasks.get(step="SHIP").status == TaskStatus.WAITING
    assert Run.objects.count() == 2
    assert settle(run) == ["success"]


def test_a_child_does_not_begin_when_its_step_was_given_to_another_worker(held):
    run = parent()
    lost = driver.claim(run, "SHIP")
    Task.objects.filter(pk=lost.task_id).update(lease_until=PAST)
    leases.expire_leases()
    again = driver.claim(run, "SHIP")
    held(
        "child.inserted",
        lambda: child_workflows.start_or_resume(again, {}),
        lambda: child_workflows.start_or_resume(lost, {}),
    )
    assert Run.objects.count() == 2
    assert settle(run) == ["success"]


@pytest.mark.parametrize("ends", ["success", "failed"])
def test_two_tell_a_step_of_the_end(ends, monkeypatch):
    run, made, claimed = running()
    with monkeypatch.context() as patch:
        patch.setattr(child_workflows, "report", lambda child_id: False)
        if ends == "success":
            finish.finish(claimed, 1)
        else:
            finish.fail(claimed, failures.Failure(error="ValueError: no"))
    told = waiting_for(Task.objects.filter(run=run, step="SHIP"), *[lambda: child_workflows.report(made.pk)] * 2)
    assert sorted(told) == [False, True]
    assert run.tasks.get(step="AFTER").sequence == (1 if ends == "success" else 0)
    assert settle(run) == [ends]


@pytest.mark.parametrize("point", IN_BEGIN)
def test_a_child_resumes_while_its_parent_is_canceled(held, point):
    run, made, claimed = running()
    finish.fail(claimed, failures.Failure(error="ValueError: no"))
    engine.retry(Run.objects.get(pk=run.pk))
    results = held(point, lambda: begin(run), lambda: engine.cancel(Run.objects.get(pk=run.pk)))
    assert not isinstance(results[1], Exception), results[1]
    assert settle(run, made) == ["canceled", "canceled"]
    made.refresh_from_db()
    assert made.generation == 1


@pytest.mark.parametrize("point", ["report.before", "report.told"])
def test_a_late_report_does_not_end_the_step_of_a_child_that_has_resumed(held, point, monkeypatch):
    run, made, claimed = running()
    with monkeypatch.context() as patch:
        patch.setattr(child_workflows, "report", lambda child_id: False)
        finish.fail(claimed, failures.Failure(error="ValueError: no"))

    def retry_by_another_supervisor() -> None:
        # The first one sleeps; in the meantime all this happens.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("django_director.common.failpoints.point", lambda name: None)
            child_workflows.report(made.pk)
            engine.retry(Run.objects.get(pk=run.pk))
            begin(run)

    held(point, lambda: child_workflows.report(made.pk), retry_by_another_supervisor)
    assert driver.statuses(run)["SHIP"] == "waiting"
    made.refresh_from_db()
    assert (made.status, made.is_awaited) == (RunStatus.RUNNING, True)
    assert settle(run, made) == ["success", "success"]


def test_transactions_of_two_families_at_once():
    """Nothing here locks two runs, so nothing here can deadlock; two ends of two children of one parent."""
    make_workflow(definition("test.CHILD", "X"))
    run = driver.start(group("G", child("ONE", "test.CHILD"), child("TWO", "test.CHILD")), "AFTER")
    claims = []
    for name in ("ONE", "TWO"):
        driver.end(driver.claim(run, name), lambda claimed: None)
        claims.append(driver.claim(driver.child_of(run, name), "X"))
    ends = waiting_for(run.gates.all(), *(lambda claimed=claimed: finish.finish(claimed, 1) for claimed in claims))
    assert ends == [True, True]
    assert run.tasks.get(step="AFTER").status == TaskStatus.QUEUED
