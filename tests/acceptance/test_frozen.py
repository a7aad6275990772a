"""A process of the pool that is frozen: its slot comes back, and its worker can be ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from django_director import engine
from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from tests.factories import step

from . import checker
from .conftest import Site
from .harness import Worker, pid_in, wait_for

pytestmark = [
    pytest.mark.worker,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="skipped: needs Linux's /proc"),
]
REAL = {"DIRECTOR_TEST_TIMES": "real"}
"""Leases and periods as sites have them."""


@pytest.fixture
def alone(site: Site) -> Iterator[Site]:
    """No process of another test, before and after."""
    site.kill()
    site.expected |= {"Task handler raised error", "exited with 'signal", "is ended: nobody waits for its task"}
    site.expected |= {"is ended: it is stopped, and the worker goes"}
    yield site
    site.check()
    site.kill()
    site.empty_broker()


def is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


def end(worker: Worker, seconds: float) -> None:
    """End it in good order, as a service manager does."""
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(seconds) == 0


def start(site: Site, name: str, task: str, trace: Path, **payload: object) -> Run:
    site.define(name, step(task), "NOOP")
    return site.start(name, {"trace": str(trace)} | payload)


@pytest.mark.fault(38)
def test_a_task_that_stops_its_own_process_costs_no_process(alone: Site, trace: Path):
    worker = alone.worker(concurrency=2)
    before = len(worker.children())
    run = start(alone, "frozen.STOP", "SIGNAL", trace, signal="SIGSTOP")
    run.wait(90)
    task = run.tasks.get(step="SIGNAL")
    assert (run.status, task.status, task.crashes) == (RunStatus.FAILED, TaskStatus.FAILED, 3)
    assert task.error.startswith("WorkerLost: ")
    assert checker.executions(trace) == {str(task.pk): 3}
    wait_for(lambda: not any(map(is_stopped, worker.children())), 20, "no process is stopped")
    wait_for(lambda: len(worker.children()) == before, 10, "the pool is whole")
    assert alone.run("example.ETL").result == 60
    end(worker, 20)


@pytest.mark.fault(38)
@pytest.mark.fault(5)
def test_a_worker_with_a_stopped_process_ends(alone: Site, trace: Path):
    """Its lease is of 90 seconds, and the supervisor that might take the task away ends first."""
    worker = alone.worker(concurrency=2, **REAL)
    run = start(alone, "frozen.END", "SIGNAL", trace, signal="SIGSTOP")
    wait_for(lambda: trace.exists() and is_stopped(pid_in(trace)), what="it is stopped")
    end(worker, 30)
    if connection.vendor != "sqlite":
        # The task was handed over at once, not by its lease. On SQLite the helper that is forked for it at the end
        # was seen to wait for the file until its two seconds were over.
        task = run.tasks.get(step="SIGNAL")
        assert (task.status, task.crashes) == (TaskStatus.QUEUED, 1)
    engine.cancel(run, force=True)


@pytest.mark.fault(38)
def test_a_process_that_hangs_in_c_code_is_ended_with_its_lease(alone: Site, trace: Path):
    worker = alone.worker(concurrency=1)
    run = start(alone, "frozen.HANG", "HOLD_GIL", trace, seconds=3600, once=True)
    assert run.wait(60) == RunStatus.SUCCESS
    task = run.tasks.get(step="HOLD_GIL")
    assert (task.result, task.crashes) == ("survived", 1)
    end(worker, 20)


@pytest.mark.fault(38)
def test_a_process_that_is_busy_in_c_code_is_left_alone(alone: Site, trace: Path):
    """For longer than what counts as frozen; its lease has not run out, and its worker is told to end."""
    worker = alone.worker(concurrency=1, **REAL)
    run = start(alone, "frozen.BUSY", "HOLD_GIL", trace, seconds=15)
    wait_for(trace.exists, what="it works")
    end(worker, 40)
    task = run.tasks.get(step="HOLD_GIL")
    assert (task.status, task.crashes) == (TaskStatus.SUCCESS, 0)
    alone.worker()
    assert run.wait(30) == RunStatus.SUCCESS


@pytest.mark.fault(38)
def test_a_process_that_is_stopped_from_outside_is_ended_too(alone: Site, trace: Path):
    worker = alone.worker(concurrency=1)
    run = start(alone, "frozen.OUTSIDE", "HANG_ONCE", trace)
    os.kill(pid_in(trace), signal.SIGSTOP)
    assert run.wait(60) == RunStatus.SUCCESS
    assert run.tasks.get(step="HANG_ONCE").crashes == 1
    end(worker, 20)
