"""`timeout` of tasks and of runs: what the supervisor does about them, and what `retry` makes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone

from django_director import engine
from django_director.db.functions import later
from django_director.definitions import Retry
from django_director.dispatch import publisher, routing
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import failures, finish
from django_director.engine.supervisor import audit, leases, publishing, timeouts
from django_director.engine.supervisor.loop import Supervisor
from django_director.models import Run, Task
from django_director.status import RunStatus, Stop, TaskStatus
from tests.factories import definition, group, make_workflow, step
from tests.testapp import tasks

from . import driver

assert tasks.hard_limit.time_limit == 1

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"
EXCEEDED = "TimeLimitExceeded: it ran longer than 60 s"


def overrun(run: Run, step_id: str = "A") -> claims.Claim:
    claimed = driver.claim(run, step_id)
    assert run.tasks.running().filter(step=step_id).update(deadline_at=PAST) == 1
    return claimed


def test_the_deadline_counts_from_the_start_of_the_attempt():
    run = driver.start(step("A", timeout=60), "B")
    assert run.tasks.get(step="A").deadline_at is None
    first = driver.claim(run, "A")
    task = run.tasks.get(step="A")
    assert (task.deadline_at - task.started_at).total_seconds() == pytest.approx(60, abs=0.01)
    assert timeouts.end_overdue_attempts() == 0
    assert finish.retry_later(first, failures.Failure(error="ValueError: no"), 0)
    assert run.tasks.get(step="A").deadline_at is None
    driver.succeed(run, "A")
    assert run.tasks.get(step="A").deadline_at is None
    driver.claim(run, "B")
    assert run.tasks.get(step="B").deadline_at is None


@pytest.mark.fault(40)
@pytest.mark.parametrize(("timeout", "limit"), [(None, 7.5), (60, 60)])
def test_a_worker_gives_the_deadline_that_the_step_does_not(timeout: float | None, limit: float):
    run = driver.start(step("A", timeout=timeout))
    claimed = claims.claim(driver.ticket(run.tasks.get()), "tests", 7.5)
    assert claimed is not None
    assert claimed.time_limit == limit
    task = run.tasks.get()
    assert (task.deadline_at - task.started_at).total_seconds() == pytest.approx(limit, abs=0.01)
    past = timedelta(hours=1)
    run.tasks.update(started_at=task.started_at - past, deadline_at=task.deadline_at - past)
    assert timeouts.end_overdue_attempts() == 1
    assert run.tasks.get().error == f"TimeLimitExceeded: it ran longer than {limit:g} s"


def test_what_nothing_kills_is_failed_by_its_deadline_and_fenced():
    run = driver.start(step("A", timeout=60), "B")
    claimed = overrun(run)
    assert timeouts.end_overdue_attempts() == 1
    assert not finish.finish(claimed, "late")
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, f"A: {EXCEEDED}")
    assert driver.statuses(run) == {"A": "failed", "B": "upstream_failed"}
    assert timeouts.end_overdue_attempts() == 0


@pytest.mark.parametrize("delay", [0, 60])
def test_a_timeout_counts_as_an_exception_for_retry(delay: float):
    run = driver.start(step("A", timeout=60, retry=Retry(max=1, delay=delay)))
    late = overrun(run)
    assert timeouts.end_overdue_attempts() == 1
    task = run.tasks.get()
    assert task.status == (TaskStatus.WAITING if delay else TaskStatus.QUEUED)
    assert (task.failures, task.crashes) == (1, 0)
    attempt = task.attempts.get()
    assert (attempt.outcome, attempt.error) == ("timed_out", EXCEEDED)
    Task.objects.waiting().update(not_before=PAST)
    publishing.wake()
    overrun(run)
    assert not finish.finish(late, "late")
    assert timeouts.end_overdue_attempts() == 1
    task.refresh_from_db()
    assert (task.status, task.failures, task.error) == (TaskStatus.FAILED, 2, EXCEEDED)


@pytest.mark.parametrize(("names", "again"), [(("TimeLimitExceeded",), True), (("OSError",), False)])
def test_the_worker_tells_of_a_process_that_its_limit_has_killed(names: tuple[str, ...], again: bool):
    run = driver.start(step("A", timeout=60, retry=Retry(max=1, only=names)))
    driver.claim(run, "A")
    task = run.tasks.get()
    assert timeouts.time_out_message(task.pk, task.sequence, 60)
    assert run.tasks.get().status == (TaskStatus.QUEUED if again else TaskStatus.FAILED)
    assert not timeouts.time_out_message(task.pk, task.sequence, 60), "the message is of the first attempt"


@pytest.fixture
def published(monkeypatch):
    """Messages that would have been sent, and the options of each."""
    sent: list[dict] = []
    monkeypatch.setattr(
        publisher, "_send", lambda message, *_: sent.append(routing.options(routing.app(), message))
    )
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    yield sent
    publisher._pool.cache_clear()


def test_each_message_carries_limit_and_priority(published, settings, django_capture_on_commit_callbacks):
    settings.DIRECTOR = {"TASK_TIME_LIMIT": 900}
    hooks = {"success": (step("HOOK", timeout=5, priority=0),)}
    # HARD_LIMIT has a limit of its own.
    steps = (step("HARD_LIMIT", timeout=60, priority=3), step("HARD_LIMIT-2", task="HARD_LIMIT"), "A")
    with django_capture_on_commit_callbacks(execute=True):
        run = driver.start(*steps, hooks=hooks)
    Task.objects.queued().update(next_dispatch_at=PAST)
    publishing.publish_due()
    task = run.tasks.select_related("run__version").get(step="HARD_LIMIT")
    with django_capture_on_commit_callbacks(execute=True):
        driver.claim(run, "HARD_LIMIT")
        leases.mark_message_lost(task.pk, task.sequence, "its process died")
        finish.retry_later(driver.claim(run, "HARD_LIMIT"), failures.Failure(error="no"), 0)
    first = [(options.get("time_limit"), options.get("priority")) for options in published]
    # Start, supervisor, lost worker, retry.
    assert first == [(60, 3)] * 4
    published.clear()
    with django_capture_on_commit_callbacks(execute=True):
        driver.drain(run)
    rest = [(options.get("time_limit"), options.get("priority")) for options in published]
    assert rest == [(1, None), (900, None), (5, 0)]


# Runs


def test_a_run_whose_time_is_up_starts_nothing_more_and_fails():
    hooks = {"failure": (step("HOOK"),)}
    run = driver.start("A", group("G", "X", "Y"), "Z", timeout=3600, hooks=hooks)
    assert (run.deadline_at - run.started_at).total_seconds() == pytest.approx(3600, abs=0.01)
    driver.succeed(run, "A")
    running = driver.claim(run, "X")
    assert timeouts.stop_overdue_runs() == 0
    Run.objects.update(deadline_at=PAST)
    assert timeouts.stop_overdue_runs() == 1
    assert timeouts.stop_overdue_runs() == 0
    assert claims.claim(driver.ticket(run.tasks.get(step="Y")), "tests") is None
    assert audit.close_stopped() == 0, "what runs is let end"
    run.refresh_from_db()
    assert (run.status, run.stop) == (RunStatus.RUNNING, Stop.TIMEOUT)
    assert driver.statuses(run) == {"A": "success", "X": "running", "Y": "canceled", "Z": "canceled"}
    assert run.tasks.get(step="Y").reason == "the run's time was up"
    assert finish.finish(running, 1)
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.error == "TimeLimitExceeded: the run took longer than 3600 s"
    assert run.tasks.hooks().get().status == TaskStatus.QUEUED


def test_a_retried_run_has_its_whole_time_again():
    run = driver.start("A", "B", timeout=3600)
    Run.objects.update(deadline_at=PAST)
    timeouts.stop_overdue_runs()
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    engine.retry(run)
    assert (run.stop, timeouts.stop_overdue_runs()) == (Stop.NONE, 0)
    assert run.deadline_at > run.started_at
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_run_that_has_ended_is_not_timed_out():
    run = driver.start("A", timeout=3600)
    driver.drain(run)
    Run.objects.update(deadline_at=PAST)
    assert timeouts.stop_overdue_runs() == 0
    other = driver.start("A", name="test.OTHER", timeout=3600)
    engine.cancel(other)
    Run.objects.update(deadline_at=PAST)
    assert timeouts.stop_overdue_runs() == 0


def test_a_delayed_start_has_its_time_from_then_on():
    make_workflow(definition("test.FLOW", "A", timeout=60))
    start_at = timezone.now() + timedelta(hours=1)
    run = engine.start("test.FLOW", not_before=start_at)
    assert (run.deadline_at - start_at).total_seconds() == 60


def test_a_tick_times_out_runs_and_attempts_after_some_quiet():
    run = driver.start(step("A", timeout=60))
    overrun(run)
    late = driver.start("A", name="test.OTHER", timeout=60)
    Run.objects.filter(pk=late.pk).update(deadline_at=later(-1))
    supervisor = Supervisor("one")
    report = supervisor.tick()
    assert (report.timed_out, report.closed) == (1, 1)
    supervisor._clock.steady_since -= timeouts.QUIET
    assert supervisor.tick().timed_out == 1
    for each in (run, late):
        each.refresh_from_db()
        assert each.status == RunStatus.FAILED


def test_what_fail_fast_spares_does_not_outlast_the_run():
    run = driver.start("A", step("LAST", trigger_rule="always"), fail_fast=True, timeout=60)
    driver.fail(run, "A")
    audit.close_stopped()
    assert driver.statuses(run)["LAST"] == "queued"
    Run.objects.update(deadline_at="2026-01-01T00:00:00Z")
    assert timeouts.stop_overdue_runs() == 1
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert (run.status, run.error) == (
        RunStatus.FAILED,
        "TimeLimitExceeded: the run took longer than 60 s",
    )
    assert driver.statuses(run)["LAST"] == "canceled"
