"""Pause and resume: starts are held back, nothing is spent, nothing is forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

import django_director
from django_director import engine
from django_director.db.functions import later
from django_director.dispatch import publisher
from django_director.dispatch.messages import Publication
from django_director.engine import parking
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.supervisor import audit, backlog, publishing, timeouts
from django_director.engine.supervisor.loop import Supervisor
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import group, step

from . import driver

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"


@pytest.fixture
def published(monkeypatch):
    sent: list[publisher.Message] = []
    monkeypatch.setattr(publisher, "publish", lambda messages: sent.extend(messages) or Publication(sent=messages))
    publisher.breaker.reset()
    return sent


def resume(run: Run, callbacks) -> None:
    with callbacks(execute=True):
        engine.resume(run)


def test_a_pause_is_no_time_in_the_queue(published, django_capture_on_commit_callbacks):
    run = driver.start("A")
    engine.pause(run)
    assert claims.claim(driver.ticket(run.tasks.get()), "tests") is None
    run.tasks.update(queued_at=PAST)
    resume(run, django_capture_on_commit_callbacks)
    driver.claim(run, "A")
    # Else what is lost behind it in the same queue would be put off as if the queue took that long.
    assert all(wait.present < 60 for wait in backlog.waits().values())


def test_the_names_of_the_package():
    assert (django_director.pause, django_director.resume) == (engine.pause, engine.resume)


def test_a_paused_run_starts_nothing_and_what_runs_goes_on(published, django_capture_on_commit_callbacks):
    run = driver.start("A", group("G", "X", "Y"), "Z")
    first = driver.claim(run, "A")
    assert engine.pause(run).shown_status == "paused"
    assert finish.finish(first, 1)
    before = list(run.tasks.filter(step__in="XY").values("sequence", "attempt", "failures", "crashes", "status"))
    for name in ("X", "Y"):
        assert claims.claim(driver.ticket(run.tasks.get(step=name)), "tests") is None
    assert parking.parked().count() == 2
    Task.objects.waiting().update(not_before=PAST)
    published.clear()
    assert (publishing.publish_due(), publishing.wake(), published) == (0, 0, [])
    assert audit.audit() == 0
    after = list(run.tasks.filter(step__in="XY").values("sequence", "attempt", "failures", "crashes", "status"))
    assert before == after, "something was spent"
    resume(run, django_capture_on_commit_callbacks)
    assert run.shown_status == "running"
    assert parking.parked().count() == 0
    assert publishing.publish_due() == 2
    assert driver.drain(run) == 3
    assert run.status == RunStatus.SUCCESS


def test_the_supervisor_parks_what_is_due_and_publishes_the_rest(published):
    held = driver.start(group("G", "X", "Y"))
    other = driver.start("A", name="test.OTHER")
    engine.pause(held)
    Task.objects.queued().update(next_dispatch_at=PAST)
    assert publishing.publish_due() == 1
    assert {message.run_id for message in published} == {other.pk}
    assert parking.parked().count() == 2
    assert publishing.publish_due() == 0


def test_waits_go_on_and_hooks_run(published, django_capture_on_commit_callbacks):
    run = driver.start("A", hooks={"success": (step("HOOK"),)})
    assert finish.retry_later(driver.claim(run, "A"), Failure(error="no"), 60)
    engine.pause(run)
    run.tasks.update(not_before=PAST)
    assert publishing.wake() == 1
    assert (publishing.publish_due(), parking.parked().count()) == (0, 1)
    resume(run, django_capture_on_commit_callbacks)
    last = driver.claim(run, "A")
    engine.pause(run)
    assert finish.finish(last, 1)
    run.refresh_from_db()
    assert (run.status, run.shown_status) == (RunStatus.SUCCESS, "success")
    driver.succeed(run, "HOOK")


def test_a_paused_run_that_fails_fast_goes_on_with_what_is_spared_when_it_is_resumed(
    published, django_capture_on_commit_callbacks
):
    run = driver.start("A", "B", step("LAST", trigger_rule="always"), fail_fast=True)
    claimed = driver.claim(run, "A")
    engine.pause(run)
    assert finish.fail(claimed, Failure(error="no"))
    assert audit.close_stopped() == 0
    assert driver.statuses(run) == {"A": "failed", "B": "upstream_failed", "LAST": "queued"}
    assert claims.claim(driver.ticket(run.tasks.get(step="LAST")), "tests") is None
    assert parking.parked().count() == 1
    run.refresh_from_db()
    assert run.shown_status == "paused"
    resume(run, django_capture_on_commit_callbacks)
    assert publishing.publish_due() == 1
    assert driver.drain(run) == 1
    assert (run.status, run.error) == (RunStatus.FAILED, "A: no")


def test_the_pause_does_not_count_for_the_runs_timeout(django_capture_on_commit_callbacks):
    run = driver.start("A", timeout=3600)
    deadline = run.deadline_at
    engine.pause(run)
    Run.objects.update(deadline_at=PAST)
    assert timeouts.stop_overdue_runs() == 0
    Run.objects.update(deadline_at=deadline, paused_at=later(-600))
    resume(run, django_capture_on_commit_callbacks)
    moved = run.deadline_at - deadline
    assert timedelta(seconds=600) <= moved < timedelta(seconds=660)
    assert run.paused_at is None


def test_without_a_timeout_there_is_no_deadline():
    run = driver.start("A")
    engine.pause(run)
    assert engine.resume(run).deadline_at is None


@pytest.mark.parametrize("state", ["finished", "canceling", "paused"])
def test_pause_in_a_wrong_state_is_a_conflict(state: str):
    run = driver.start("A")
    if state == "finished":
        driver.drain(run)
        state = "success"
    elif state == "canceling":
        driver.claim(run, "A")
        engine.cancel(run)
    else:
        engine.pause(run)
    with pytest.raises(Conflict, match=f"can't be paused: its status is {state}"):
        engine.pause(run)


def test_resume_in_a_wrong_state_is_a_conflict():
    run = driver.start("A")
    with pytest.raises(Conflict, match="can't be resumed: its status is running"):
        engine.resume(run)
    engine.pause(run)
    engine.cancel(run)
    with pytest.raises(Conflict, match="can't be resumed: its status is cancel"):
        engine.resume(run)


def test_a_paused_run_can_be_canceled_and_retried():
    run = driver.start("A", "B")
    engine.pause(run)
    assert claims.claim(driver.ticket(run.tasks.get(step="A")), "tests") is None
    engine.cancel(run)
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert engine.retry(run).shown_status == "running"
    assert driver.drain(run) == 2


def test_what_is_parked_after_the_resume_is_found_by_the_supervisor(published):
    """Somebody has read that the run is paused, and parks its task when it is not any more."""
    run = driver.start("A")
    engine.pause(run)
    assert parking.defer_ids([run.tasks.get().pk]) == 1
    Run.objects.update(paused_at=None)
    assert parking.defer_ids([run.tasks.get().pk]) == 0
    supervisor = Supervisor("one")
    assert supervisor.tick().resumed == 1
    assert supervisor.tick().published == 1
    held = driver.start("A", name="test.OTHER")
    engine.pause(held)
    parking.defer_ids([held.tasks.get().pk])
    assert parking.release_forgotten() == 0


def test_a_duplicate_of_a_running_run_parks_nothing():
    run = driver.start("A")
    ticket = driver.ticket(run.tasks.get())
    claimed = claims.claim(ticket, "tests")
    assert claims.claim(ticket, "tests") is None
    assert finish.requeue(claimed)
    assert claims.claim(ticket, "tests") is None
    assert parking.parked().count() == 0
    assert run.tasks.get().status == TaskStatus.QUEUED


def test_pausing_costs_the_same_whatever_the_size(django_assert_max_num_queries):
    run = driver.start(group("G", *(f"A{n}" for n in range(300))))
    with driver.queries(2):
        engine.pause(run)
    with driver.queries(2):
        engine.resume(run)
