"""`retry` of a step, through the tasks' own code."""

from __future__ import annotations

from typing import Any

import pytest

from django_director import testing
from django_director.definitions.model import Retry
from django_director.models import Task
from django_director.status import RunStatus, TaskStatus
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
    from django_director import engine, local

    make_workflow(definition("test.FLOW", step("ASKING", kwargs={"failures": 2}, retry=Retry(max=2, delay=0.01))))
    started = engine.start("test.FLOW", publish=False)
    assert local.run_to_end(started, timeout=20).status == RunStatus.SUCCESS
