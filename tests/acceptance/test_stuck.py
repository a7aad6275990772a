"""One locked row, one frozen process: whoever has nothing to do with it must not notice."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_director import engine
from django_director.db.functions import Now
from django_director.models import Lease, Run, Task, Workflow
from django_director.models import Worker as WorkerRow
from django_director.status import RunStatus, TaskStatus
from tests.factories import child, step, wait

from .conftest import Site
from .harness import Worker, is_alive, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(240), pytest.mark.thorough]

needs_row_locks = pytest.mark.skipif(connection.vendor == "sqlite", reason="skipped: SQLite locks no rows")
REAL = {"DIRECTOR_TEST_TIMES": "real"}
"""Leases and periods as sites have them."""
SLACK = 5.0
"""Seconds by which what has nothing to do with a trouble may be late."""
FOUND = 30.0
"""Seconds in which a lost worker is found with the default settings."""


@pytest.fixture
def alone(checked: Site) -> Iterator[Site]:
    """The site without the workers of other tests."""
    checked.kill()
    yield checked
    checked.kill()


@contextlib.contextmanager
def locked(*querysets: Any) -> Iterator[None]:
    """Hold a lock on these rows, as an open `psql` would, until the block ends."""
    ready, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            for rows in querysets:
                assert list(rows.select_for_update().values_list("pk"))
            ready.set()
            release.wait(120)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        release.set()
        thread.join()


def supervisor_pid() -> int:
    """The process that holds the supervisor's lease."""
    lease = wait_for(
        lambda: Lease.objects.filter(name="supervisor").exclude(holder="").first(), what="somebody supervises"
    )
    return int(lease.holder.rpartition(":")[2])


def run_with_a_wait_and_a_retry(site: Site) -> float:
    """Seconds that such a run takes."""
    site.define("stuck.FREE", step("A", task="NOOP"), wait("W", 1), step("B", task="BOUND"))
    began = time.monotonic()
    run = site.start("stuck.FREE", {"failures": 1, "countdown": 1})
    assert run.wait(60) == RunStatus.SUCCESS
    return time.monotonic() - began


@needs_row_locks
@pytest.mark.fault(33)
@pytest.mark.slow
def test_with_the_defaults_locked_rows_make_nobody_late(alone: Site):
    alone.worker(**REAL)
    undisturbed = run_with_a_wait_and_a_retry(alone)
    alone.define("stuck.LOCKED", wait("W", 0.5))
    first, second = alone.start("stuck.LOCKED"), alone.start("stuck.LOCKED")
    wait_for(lambda: Task.objects.filter(run__in=[first, second]).waiting().count() == 2, what="both wait")
    with locked(Task.objects.filter(run=first), Run.objects.filter(pk=second.pk)):
        assert run_with_a_wait_and_a_retry(alone) < undisturbed + SLACK
        assert not Run.objects.filter(pk__in=[first.pk, second.pk]).finished().exists()
    alone.wait([first, second], 40)
    assert any("has locked one of its rows" in program.text() for program in alone.programs)


@needs_row_locks
@pytest.mark.fault(33)
@pytest.mark.parametrize("what", ["task", "run"])
def test_a_process_does_not_stay_with_a_task_that_has_ended_on_a_locked_row(alone: Site, trace: Path, what: str):
    """With one process all that is unrelated would stand."""
    worker = alone.worker(concurrency=1)
    undisturbed = run_with_a_wait_and_a_retry(alone)
    run = alone.start("fault.LONG", {"trace": str(trace), "seconds": 1})
    wait_for(trace.exists, what="it works")
    with locked(Task.objects.filter(run=run) if what == "task" else Run.objects.filter(pk=run.pk)):
        assert run_with_a_wait_and_a_retry(alone) < undisturbed + 1 + SLACK
        assert "what came of its task" in worker.text()
        # Longer than its lease.
        wait_for(lambda: Task.objects.filter(run=run, lease_until__lt=Now()).exists())
    assert run.wait(40) == RunStatus.SUCCESS
    assert run.tasks.get().crashes == 0
    assert len(trace.read_text().splitlines()) == 1


@needs_row_locks
@pytest.mark.fault(33)
@pytest.mark.slow
def test_a_step_whose_workflow_is_locked_waits_without_a_process(alone: Site):
    alone.worker(concurrency=1)
    undisturbed = run_with_a_wait_and_a_retry(alone)
    alone.define("stuck.INNER", step("I", task="NOOP"))
    alone.define("stuck.OUTER", child("C", "stuck.INNER"))
    with locked(Workflow.objects.filter(name="stuck.INNER")):
        run = alone.start("stuck.OUTER")
        wait_for(lambda: run.tasks.exclude(worker="").exists(), what="it is claimed")
        assert run_with_a_wait_and_a_retry(alone) < undisturbed + SLACK
    assert run.wait(40) == RunStatus.SUCCESS
    assert run.tasks.get().crashes == 0


@needs_row_locks
@pytest.mark.fault(33)
@pytest.mark.slow
def test_a_worker_frozen_in_a_transaction_makes_nobody_late(alone: Site, tmp_path: Path):
    gate = tmp_path / "gate"
    gate.touch()
    frozen = alone.worker(
        queues="victim",
        concurrency=1,
        DIRECTOR_TEST_SUPERVISOR="process",
        DIRECTOR_FAULT=f"fail.updated:hold:{gate}",
    )
    alone.worker(queues="celery")
    alone.define("stuck.HELD", step("A", task="ERROR", queue="victim"), step("B", task="NOOP"))
    undisturbed = run_with_a_wait_and_a_retry(alone)
    held = alone.start("stuck.HELD")
    wait_for(lambda: held.tasks.running().exists(), what="it is claimed")
    frozen.signal(signal.SIGSTOP)
    assert run_with_a_wait_and_a_retry(alone) < undisturbed + SLACK
    gate.unlink()
    frozen.signal(signal.SIGCONT)
    assert held.wait(40) == RunStatus.FAILED


@pytest.mark.fault(45)
@pytest.mark.slow
def test_a_frozen_supervisor_is_replaced(alone: Site):
    alone.expected |= {"The supervisor gives no sign"}
    worker = alone.worker()
    frozen = supervisor_pid()
    assert frozen in worker.children()
    os.kill(frozen, signal.SIGSTOP)
    wait_for(lambda: not is_alive(frozen), 15, "its parent ends it")
    wait_for(lambda: supervisor_pid() in worker.children() - {frozen}, 15, "a new one works")
    assert run_with_a_wait_and_a_retry(alone) < 20


@pytest.mark.fault(2)
@pytest.mark.slow
def test_with_the_defaults_a_lost_worker_is_found_soon(alone: Site, trace: Path):
    victim = alone.worker(queues="victim", **REAL)
    wait_for(lambda: supervisor_pid() in victim.children(), what="the victim supervises too")
    run = alone.start("fault.VICTIM", {"trace": str(trace), "seconds": 40})
    wait_for(trace.exists, what="a task works")
    victim.kill()
    alone.worker(queues="victim,celery", **REAL)
    began = time.monotonic()
    wait_for(lambda: run.tasks.filter(crashes=1).exists(), FOUND, "the lost attempt is found")
    assert time.monotonic() - began < FOUND
    (lost,) = Task.objects.get(run=run, crashes=1).attempts.all()
    assert "gave no sign for 12 s" in lost.error
    engine.cancel(run, force=True)
    run.wait(20)


@pytest.mark.fault(15)
@pytest.mark.slow
def test_a_busy_worker_is_not_lost(alone: Site, trace: Path):
    """Its one process works for longer than its patience, its lease and its processors."""
    alone.worker(concurrency=1)
    run = alone.start("fault.LONG", {"trace": str(trace), "seconds": 8})
    assert run.wait(40) == RunStatus.SUCCESS
    assert run.tasks.get().crashes == 0


def worker_names() -> set[str]:
    return set(WorkerRow.objects.values_list("name", flat=True))


def test_a_worker_says_that_it_lives_and_that_it_ends(alone: Site, trace: Path):
    worker: Worker = alone.worker(concurrency=1, prefetch=1)
    wait_for(lambda: worker.hostname in worker_names(), what="it has said that it lives")
    row = WorkerRow.objects.get(name=worker.hostname)
    wait_for(lambda: WorkerRow.objects.get(pk=row.pk).seen_at > row.seen_at, what="and says so again")
    run = alone.start("fault.LONG", {"trace": str(trace), "seconds": 4})
    wait_for(trace.exists, what="a task works")
    assert run.tasks.get().worker_key == row.pk
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.process is not None
    # It finishes its task, for longer than its patience, and is not taken for lost meanwhile.
    assert worker.process.wait(20) == 0
    task = run.tasks.get()
    assert (task.status, task.crashes) == (TaskStatus.SUCCESS, 0)
    assert worker.hostname not in worker_names()
