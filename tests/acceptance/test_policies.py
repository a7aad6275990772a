"""`retry`, `timeout`, hooks, pause and log lines with real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from django_director import engine
from django_director.definitions import Retry
from django_director.models import TaskLog
from django_director.status import RunStatus, TaskStatus
from django_director.worker.log_lines import MAX_BYTES
from tests.factories import step

from .conftest import Site
from .harness import wait_for

pytestmark = [pytest.mark.worker, pytest.mark.thorough]


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


def test_log_lines_are_seen_while_the_task_runs(working: Site, tmp_path: Path):
    """And they are the beginning and the end of what a task says at length, before and after it has ended."""
    end = tmp_path / "end"
    lines = [["shop", "line {number} " + "x" * 1_000]]
    called = {"lines": lines, "times": 2_000, "level": "WARNING", "until": str(end)}
    working.define("policy.TALK", step("LOGGING", kwargs=called))
    run = working.start("policy.TALK")
    logs = TaskLog.objects.filter(task__run=run)
    text = wait_for(lambda: logs.values_list("text", flat=True).first(), 20, "there are lines")
    assert run.tasks.get().status == TaskStatus.RUNNING
    wait_for(lambda: "line 1999 " in logs.get().text, 20, "the last line is there")
    end.touch()
    run.wait(20)
    text = logs.get().text
    assert "line 0 " in text
    assert "line 1999 " in text
    assert "lines were dropped here" in text
    assert len(text) <= MAX_BYTES + 200


def test_a_lost_worker_leaves_the_lines_that_were_seen(site: Site, working: Site, tmp_path: Path):
    end = tmp_path / "end"
    called = {"lines": [["shop", "attempt {attempt}"]], "level": "WARNING", "until": str(end)}
    site.define("policy.LOST", step("LOGGING", kwargs=called, queue="victim"))
    victim = site.worker(queues="victim", concurrency=1)
    run = site.start("policy.LOST")
    logs = TaskLog.objects.filter(task__run=run)
    wait_for(logs.exists, 20, "there are lines")
    victim.kill()
    end.touch()
    site.worker(queues="victim", concurrency=1)
    run.wait(60)
    assert [text.rpartition(" ")[2] for text in logs.order_by("sequence").values_list("text", flat=True)] == [
        "1\n",
        "2\n",
    ]
