"""`retry`, `timeout`, hooks, pause and log lines with real workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_director import engine
from django_director.definitions import Retry
from django_director.status import RunStatus, TaskStatus
from tests.factories import step

from .conftest import Site
from .harness import wait_for

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module", params=["prefork", pytest.param("threads", marks=pytest.mark.slow)])
def working(site: Site, request: pytest.FixtureRequest) -> Iterator[Site]:
    """One worker of each kind for the module."""
    site.kill()
    # A thread goes on after its time, and is in nobody's way.
    site.worker(pool=request.param, concurrency=4 if request.param == "threads" else 2)
    # A prefork worker's limit is an error in its log.
    site.expected |= {
        "Hard time limit",
        "TimeLimitExceeded",
        "exited with 'signal 9 (SIGKILL)'",
        "raised unexpected",
        "Task handler raised error",
    }
    yield site
    site.kill()


@pytest.fixture(autouse=True)
def _checked(working: Site) -> Iterator[None]:
    """Every test is checked at its end."""
    yield
    working.check()


def test_an_attempt_that_takes_too_long_is_ended_and_tried_again(working: Site):
    working.define(
        "policy.SLOW", step("NAP", timeout=1, retry=Retry(max=1, delay=0.1, only=("TimeLimitExceeded",)))
    )
    run = working.run("policy.SLOW", {"seconds": 6}, timeout=40)
    assert run.status == RunStatus.FAILED
    task = run.tasks.get()
    assert (task.attempt, task.failures, task.crashes) == (2, 2, 0)
    assert task.error == "TimeLimitExceeded: it ran longer than 1 s"
    assert [attempt.outcome for attempt in task.attempts.all()] == ["timed_out"]


def test_a_run_that_takes_too_long_ends_failed_with_its_hooks(working: Site):
    hooks = {"failure": (step("hooks.failure", task="HOOK"),), "always": (step("hooks.always", task="HOOK"),)}
    working.define("policy.LATE", step("NAP"), step("NAP-2", task="NAP"), timeout=2.5, hooks=hooks)
    run = working.start("policy.LATE", {"seconds": 4})
    run.wait(30)
    assert (run.status, run.stop) == (RunStatus.FAILED, "timeout")
    assert run.error.startswith("TimeLimitExceeded")
    assert run.tasks.get(step="NAP").status == TaskStatus.SUCCESS
    assert run.tasks.get(step="NAP-2").status == TaskStatus.CANCELED
    wait_for(lambda: run.tasks.hooks().finished().count() == 2, 20, "both hooks have run")


def test_a_paused_run_waits_and_goes_on(working: Site):
    working.define("policy.PAUSED", step("NAP"), step("NAP-2", task="NAP"))
    run = working.start("policy.PAUSED", {"seconds": 1})
    wait_for(lambda: run.tasks.running().exists(), what="the first task works")
    engine.pause(run)
    second = run.tasks.filter(step="NAP-2")
    far = wait_for(lambda: second.queued().filter(next_dispatch_at__year__gt=2500).first(), 20, "it is parked")
    assert (far.attempt, far.status) == (0, TaskStatus.QUEUED)
    engine.resume(run)
    run.wait(20)
    assert run.status == RunStatus.SUCCESS


def test_the_log_lines_of_a_task_are_kept(working: Site):
    lines = [["shop", "of the library"], ["celery.task", "of Celery's logger"]]
    working.define("policy.LOGS", step("LOGGING", kwargs={"lines": lines, "level": "WARNING"}))
    run = working.run("policy.LOGS")
    assert run.status == RunStatus.SUCCESS
    text = run.tasks.get().logs.get().text
    assert "WARNING shop: of the library" in text
    assert "WARNING celery.task: of Celery's logger" in text
