"""`retry` of a step, through the tasks' own code."""

from __future__ import annotations

from typing import Any

import pytest
from celery import signals
from django.utils import timezone

from django_director import engine, testing
from django_director.definitions import Retry, read_files
from django_director.models import Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import local
from tests.factories import definition, make_workflow, step

pytestmark = pytest.mark.django_db


def run(name: str, retry: Retry | None = None, **kwargs: Any) -> Task:
    make_workflow(definition("test.FLOW", step(name, kwargs=kwargs, retry=retry)))
    finished = testing.run_workflow("test.FLOW")
    task: Task = finished.tasks.get()
    assert (finished.status == RunStatus.SUCCESS) == (task.status == TaskStatus.SUCCESS)
    return task


@pytest.mark.parametrize(("name", "most"), [("FLAKY", 3), ("ASKING", 3), ("AUTORETRY", 3)])
def test_further_attempts(name: str, most: int):
    """One counter for exceptions, `self.retry` and `autoretry_for`; it replaces the task's own `max_retries`."""
    retry = Retry(max=most)
    if name == "AUTORETRY":
        # It fails by the payload, and its own limit is 2.
        make_workflow(definition("test.FLOW", step(name, retry=retry)))
        passed, failed = (testing.run_workflow("test.FLOW", {"failures": n}).tasks.get() for n in (most, most + 1))
    else:
        passed, failed = run(name, retry, failures=most), run(name, retry)
    assert (passed.status, passed.attempt, passed.failures) == (TaskStatus.SUCCESS, most + 1, most)
    assert [a.outcome for a in passed.attempts.all()] == ["failed"] * most
    assert (failed.status, failed.attempt, failed.failures) == (TaskStatus.FAILED, most + 1, most + 1)


@pytest.mark.parametrize("how", ["exc", "bare", "later"])
def test_each_way_to_ask_for_a_retry(how: str):
    task = run("ASKING", Retry(max=2), failures=2, how=how)
    assert (task.result, task.attempt) == (3, 3)
    assert [attempt.error for attempt in task.attempts.all()] == ["ValueError: not yet"] * 2
    assert run("ASKING", Retry(max=2, only=("KeyError",)), failures=2, how=how).attempt == 1


def test_a_max_of_zero_retries_nothing():
    for name in ("FLAKY", "ASKING"):
        assert run(name, Retry(max=0)).attempt == 1


def test_without_retry_the_task_decides():
    assert run("FLAKY").attempt == 1
    assert run("ASKING").attempt == 2


def test_only_and_never():
    assert run("FLAKY", Retry(max=2, only=("OSError",)), error="ConnectionError").attempt == 3
    assert run("FLAKY", Retry(max=2, only=("OSError",)), error="ValueError").attempt == 1
    assert run("FLAKY", Retry(max=2, never=("builtins.OSError",)), error="TimeoutError").attempt == 1
    assert run("FLAKY", Retry(max=2, never=("builtins.OSError",)), error="KeyError").attempt == 3


@pytest.mark.parametrize(
    ("name", "kwargs", "text"),
    [
        ("SET", {}, "can't be stored"),
        ("IGNORE", {}, "can't raise Ignore"),
        ("REJECT", {}, "can't raise Reject"),
        ("REPLACING", {}, "does not work inside a run"),
        ("FLAKY", {"unknown": 1}, "unknown"),
    ],
)
def test_what_would_fail_again_is_not_retried(name: str, kwargs: dict[str, Any], text: str):
    task = run(name, Retry(max=3), **kwargs)
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert text in task.error


def test_the_delay_is_the_steps_and_not_the_tasks():
    """ASKING asks for an hour."""
    make_workflow(definition("test.FLOW", step("ASKING", kwargs={"failures": 2}, retry=Retry(max=2, delay=0.01))))
    started = engine.start("test.FLOW", publish=False)
    assert local.run_to_end(started, timeout=20).status == RunStatus.SUCCESS


@pytest.mark.parametrize("key", ["when", "with"])
def test_errors_of_expressions_are_not_retried(key: str):
    broken = {"when": "payload.missing"} if key == "when" else {"kwargs": {"failures": "${{ payload.missing }}"}}
    for policy in (Retry(max=3), Retry(max=3, only=("Exception",))):
        make_workflow(definition("test.FLOW", step("FLAKY", retry=policy, **broken)))
        task = testing.run_workflow("test.FLOW", {}).tasks.get()
        assert (task.status, task.attempt, task.error[:16]) == (TaskStatus.FAILED, 1, "ExpressionError:")


@pytest.mark.parametrize("name", ["REFUSING", "REPLACING"])
@pytest.mark.parametrize("retry", [None, Retry(max=3)])
def test_what_a_task_must_not_do_is_not_retried_by_autoretry_for_either(name: str, retry: Retry | None):
    task = run(name, retry)
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert {"REFUSING": "can't raise Reject", "REPLACING": "does not work inside a run"}[name] in task.error


def test_exceptions_and_asking_share_one_counter():
    """MIXED raises, asks for a retry, raises, and so on."""
    failed, passed = run("MIXED", Retry(max=3)), run("MIXED", Retry(max=3), failures=3)
    assert (failed.status, failed.attempt) == (TaskStatus.FAILED, 4)
    assert (passed.status, passed.attempt, passed.failures) == (TaskStatus.SUCCESS, 4, 3)


@pytest.fixture
def seen():
    """What receivers of Celery's signals see, in order."""
    noted = []

    def note_failure(exception: Any, **_: Any) -> None:
        noted.append(("failure", str(exception)))

    def note_retry(reason: Any, **_: Any) -> None:
        noted.append(("retry", str(reason)))

    signals.task_failure.connect(note_failure)
    signals.task_retry.connect(note_retry)
    yield noted
    signals.task_failure.disconnect(note_failure)
    signals.task_retry.disconnect(note_retry)


@pytest.mark.parametrize("name", ["FLAKY", "ASKING"])
def test_celery_sees_a_retry_and_at_last_a_failure(seen: list[Any], caplog: pytest.LogCaptureFixture, name: str):
    caplog.set_level("INFO", "celery.app.trace")
    run(name, Retry(max=2))
    tried = "Retry in 0s: attempt {} of 3 failed: ValueError: not yet"
    assert seen == [("retry", tried.format(1)), ("retry", tried.format(2)), ("failure", "not yet")]
    said = [(record.levelname, record.getMessage()) for record in caplog.records if name in record.getMessage()]
    assert [level for level, _ in said] == ["INFO", "INFO", "ERROR"]
    assert said[0][1].endswith(f"retry: {tried.format(1)}")


def test_celery_sees_a_tasks_own_retry(seen: list[Any]):
    run("ASKING", how="bare")
    assert [kind for kind, _ in seen] == ["retry", "failure"]
    assert seen[0][1] == "Retry in 3600s: attempt 1 failed: ValueError: not yet"


def test_what_asks_in_vain_for_a_retry_is_a_failure_to_celery_too(seen: list[Any]):
    run("ASKING", Retry(max=2, only=("KeyError",)))
    assert seen == [("failure", "not yet")]


def test_a_number_is_so_many_further_attempts(tmp_path):
    (tmp_path / "w.yml").write_text("a.B: {tasks: [FLAKY: {retry: 2}, FLAKY: {retry: {max: 2}}]}\n")
    first, second = read_files([tmp_path / "w.yml"]).definitions[0].tasks
    assert first.retry == second.retry == Retry(max=2, delay=0, backoff=1, max_delay=3600, jitter=False)
    assert run("FLAKY", first.retry).attempt == 3


def test_jitter_is_drawn_anew_between_half_and_the_whole():
    waits = []
    make_workflow(definition("test.FLOW", step("FLAKY", retry=Retry(max=20, delay=1000, jitter=True))))
    started = engine.start("test.FLOW", publish=False)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            local.run_to_end(started, timeout=0)
        waits.append((started.tasks.get().not_before - timezone.now()).total_seconds())
        started.tasks.update(not_before=timezone.now())
    assert all(495 < seconds <= 1000 for seconds in waits)
    assert max(waits) - min(waits) > 50
