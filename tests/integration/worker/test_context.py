"""`django_director.context()`: what a running task knows of itself."""

from __future__ import annotations

from typing import Any

import pytest
from celery import shared_task
from django.db import connection
from django.test.utils import CaptureQueriesContext

import django_director
from django_director import engine, testing
from django_director.definitions import Retry
from django_director.models import Run, Task
from django_director.status import Stop, TaskStatus
from django_director.worker import context as context_module
from django_director.worker import local
from tests.factories import definition, make_workflow, mapped, step

pytestmark = pytest.mark.django_db
SEEN: list[dict[str, Any]] = []


@shared_task(name="tests.context.LOOK")
def look(failures: int = 0) -> None:
    running = django_director.context()
    assert running is not None
    SEEN.append({key: getattr(running, key) for key in ("run_id", "task_id", "attempt", "idempotency_key")})
    if running.attempt <= failures:
        raise ValueError("not yet")


@pytest.fixture(autouse=True)
def _nothing_seen():
    SEEN.clear()


def run(**fields: Any) -> Run:
    make_workflow(definition("test.FLOW", step("A", task="tests.context.LOOK", **fields)))
    return testing.run_workflow("test.FLOW")


def test_outside_a_run_there_is_none():
    assert django_director.context() is None

    @shared_task(name="tests.context.OUTSIDE")
    def outside() -> None:
        SEEN.append({"context": django_director.context()})

    outside.apply(throw=True)
    outside()
    assert SEEN == [{"context": None}] * 2


def test_who_it_is():
    finished = run()
    task = finished.tasks.get()
    (seen,) = SEEN
    assert (seen["run_id"], seen["task_id"], seen["attempt"]) == (finished.pk, task.pk, 1)


def test_attempts_are_counted_and_the_key_stays():
    run(kwargs={"failures": 2}, retry=Retry(max=2))
    assert [seen["attempt"] for seen in SEEN] == [1, 2, 3]
    assert len({seen["idempotency_key"] for seen in SEEN}) == 1


def test_the_key_stays_when_a_failed_task_is_retried_and_changes_when_a_successful_one_runs_again():
    finished = run(kwargs={"failures": 1})
    assert finished.tasks.get().status == TaskStatus.FAILED
    Task.objects.update(failures=1)
    engine.retry(finished)
    local.run_to_end(finished)
    first, second = (seen["idempotency_key"] for seen in SEEN)
    assert first == second
    SEEN.clear()
    done = run()
    engine.rerun(done.tasks.get())
    local.run_to_end(done)
    first, second = (seen["idempotency_key"] for seen in SEEN)
    assert first != second


def test_each_item_has_a_key_of_its_own():
    make_workflow(
        definition(
            "test.FLOW", mapped("M", step("T", task="tests.context.LOOK", kwargs={"failures": 0}), over=[1, 2])
        )
    )
    testing.run_workflow("test.FLOW")
    assert len({seen["idempotency_key"] for seen in SEEN}) == len({seen["task_id"] for seen in SEEN}) == 2


def test_canceled_reads_the_row_at_most_once_a_second(monkeypatch):
    now = [100.0]
    answers = []
    statements: list[int] = []

    @shared_task(name="tests.context.LOOP")
    def loop() -> None:
        running = django_director.context()
        assert running is not None
        with monkeypatch.context() as patch, CaptureQueriesContext(connection) as captured:
            patch.setattr(context_module.time, "monotonic", lambda: now[0])
            for number in range(40):
                answers.append(running.canceled)
                now[0] += 0.125
                if number == 9:
                    Run.objects.update(stop=Stop.CANCEL)
        statements.append(len(captured))

    make_workflow(definition("test.FLOW", step("A", task="tests.context.LOOP")))
    testing.run_workflow("test.FLOW")
    # Asked at once, after one second and after two: by then it was canceled, which no further answer changes.
    assert answers == [False] * 16 + [True] * 24
    assert statements == [3 + 1]
