"""A process of the pool that dies, or runs too long, is found at once: with real times, and not by a lease."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.db import connection, connections
from django.utils import timezone

from django_director.common import ids
from django_director.engine import outbox
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus

from . import checker
from .conftest import Site
from .harness import Worker, pid_in, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(60)]

#: Seconds; a lease is 90.
SOON = 5
KILLED = "exited with 'signal 9 (SIGKILL)'"
CAN_NOT_TELL = "can't be written down yet"
needs_row_locks = pytest.mark.skipif(connection.vendor == "sqlite", reason="skipped: SQLite locks no rows")


@pytest.fixture(autouse=True)
def _checked(checked: Site) -> None:
    """Every test is checked at its end."""


@pytest.fixture(params=["early", "late"])
def worker(request: pytest.FixtureRequest, site: Site) -> Worker:
    """One with the times that sites have; of both kinds each lives as long as its tests follow one another."""
    return standing(site, request.param)


@pytest.fixture
def early(site: Site) -> Worker:
    return standing(site, "early")


def standing(site: Site, acks: str) -> Worker:
    site.expected |= {"Task handler raised error", "Hard time limit", "TimeLimitExceeded", KILLED, "signal 6"}
    for program in site.programs:
        if isinstance(program, Worker) and program.environ.get("DIRECTOR_TEST_ACKS") == acks:
            return program
    site.kill()
    return site.worker(DIRECTOR_TEST_TIMES="real", DIRECTOR_TEST_ACKS=acks)


def start_hanging(site: Site, trace: Path, name: str = "HANG_ONCE") -> tuple[Run, int]:
    """A run whose task hangs, and the process that it hangs in."""
    site.define(f"lost.{name}", name, "NOOP")
    run = site.start(f"lost.{name}", {"trace": str(trace)})
    return run, pid_in(trace)


def assert_survived(run: Run, trace: Path) -> Task:
    """It ran a second time, and was lost once, as its process told."""
    task = run.tasks.get(result="survived")
    (lost,) = task.attempts.all()
    assert (run.status, task.attempt, task.crashes, task.failures) == (RunStatus.SUCCESS, 2, 1, 0)
    assert "signal 9" in lost.error
    assert checker.executions(trace) == {str(task.pk): 2}
    return task


@contextlib.contextmanager
def locked(task_id: Any) -> Iterator[None]:
    """Another session, as an open ``psql``, has locked the row of a task."""
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            other.set_autocommit(False)
            key = Task._meta.pk.get_db_prep_value(task_id, other)
            cursor.execute(f"SELECT id FROM {Task._meta.db_table} WHERE id = %s FOR UPDATE", [key])
            assert cursor.fetchone()
        yield
        other.rollback()
    finally:
        other.close()


@pytest.mark.fault(1)
@pytest.mark.fault(41)
@pytest.mark.parametrize("name", ["HANG_ONCE", "HANG_ONCE_LATE"])
def test_a_killed_pool_process(site: Site, worker: Worker, trace: Path, name: str):
    run, pid = start_hanging(site, trace, name)
    os.kill(pid, signal.SIGKILL)
    run.wait(SOON)
    assert_survived(run, trace)


@pytest.mark.fault(49)
def test_a_revoked_message_does_not_keep_its_task(site: Site, early: Worker):
    """Celery drops what has its id for hours: the task goes under the next one. Who wants it to stop cancels."""
    site.define("lost.REVOKED", "NOOP", "BOUND")
    run = site.start("lost.REVOKED", not_before=timezone.now() + timedelta(seconds=2))
    first = run.tasks.get(step="NOOP")
    current_app.control.revoke(ids.message_id(first.pk, outbox.first_sequence(run.generation)))
    wait_for(lambda: "revoked" in early.text(), SOON, "the worker has heard of it")
    assert run.wait(4 * SOON) == RunStatus.SUCCESS
    first.refresh_from_db()
    assert (first.attempt, first.crashes, first.sequence) == (1, 0, outbox.first_sequence(run.generation) + 1)


@pytest.mark.fault(6)
def test_a_task_that_always_kills_its_process_fails(site: Site, worker: Worker):
    run = site.run("fault.ABORT", timeout=2 * SOON)
    task = run.tasks.get(step="ABORT")
    assert run.status == RunStatus.FAILED
    assert (task.status, task.crashes, task.attempt) == (TaskStatus.FAILED, 3, 3)
    assert "WorkerLost" in task.error
    assert 'DIRECTOR["MAX_CRASHES"]' in task.error
    assert run.tasks.get(step="NOOP").status == TaskStatus.UPSTREAM_FAILED
    assert site.run("example.ETL").result == 60


@pytest.mark.fault(40)
@pytest.mark.fault(41)
@pytest.mark.parametrize("name", ["HANG", "HANG_LATE", "HANG_SENT_BACK"])
def test_a_hard_time_limit(site: Site, worker: Worker, name: str):
    site.define(f"lost.{name}", name, "NOOP")
    run = site.run(f"lost.{name}", timeout=SOON)
    task = run.tasks.get(name=name)
    assert run.error == f"{name}: TimeLimitExceeded: it ran longer than 1 s"
    assert (task.attempt, task.crashes, task.attempts.count()) == (1, 0, 0)
    assert site.run("example.ETL").result == 60


@pytest.mark.fault(1)
@pytest.mark.parametrize("name", ["HANG_ONCE_OWN_BASE", "HANG_ONCE_OWN_REQUEST"])
def test_a_class_of_requests_of_the_projects_own(site: Site, early: Worker, trace: Path, name: str):
    heard = early.text().count("A request of the project's own has heard of it.")
    run, pid = start_hanging(site, trace, name)
    os.kill(pid, signal.SIGKILL)
    run.wait(SOON)
    assert_survived(run, trace)
    assert early.text().count("A request of the project's own has heard of it.") == heard + 1


def kill_unnoticed(worker: Worker, pid: int) -> None:
    """Kill a process of the pool; return when its worker has found that it can't tell."""
    before = worker.text().count(CAN_NOT_TELL)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: worker.text().count(CAN_NOT_TELL) > before, SOON, "the worker knows, and can't tell")


@needs_row_locks
@pytest.mark.fault(34)
def test_a_pool_process_dies_while_its_row_is_locked(site: Site, early: Worker, trace: Path):
    run, pid = start_hanging(site, trace)
    with locked(run.tasks.get(name="HANG_ONCE").pk):
        kill_unnoticed(early, pid)
        others = [site.start("example.ETL") for _ in range(4)]
        site.wait(others, SOON)
        assert {other.result for other in others} == {60}
        assert run.tasks.running().exists()
    run.wait(SOON)
    assert_survived(run, trace)


@needs_row_locks
@pytest.mark.fault(34)
def test_a_worker_that_can_not_tell_of_a_loss_ends(site: Site, early: Worker, trace: Path):
    # Nobody tells afterwards but a lease of 90 s: no run that the check should see.
    run, pid = start_hanging(site, trace)
    site.runs.remove(run)
    with locked(run.tasks.get(name="HANG_ONCE").pk):
        kill_unnoticed(early, pid)
        early.process.send_signal(signal.SIGTERM)
        assert early.process.wait(2 * SOON) == 0
    site.kill()
