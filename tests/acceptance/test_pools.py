"""The three pools; the supervisor beside each; how a worker comes to its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_director.models import Lease
from django_director.status import RunStatus, TaskStatus

from . import checker
from .conftest import Site
from .harness import Worker, is_alive, manage, wait_for

pytestmark = pytest.mark.worker


@pytest.fixture(autouse=True)
def _checked(checked: Site) -> None:
    """Every test is checked at its end."""


@pytest.fixture
def prefork(site: Site) -> Worker:
    """A prefork worker that has a supervisor; the module's tests share it for as long as it lives."""
    return shared(site, "prefork")


@pytest.fixture
def alone(site: Site) -> Iterator[Site]:
    """No process of another test, before and after."""
    site.kill()
    yield site
    site.check()
    site.kill()


def shared(site: Site, pool: str) -> Worker:
    for program in site.programs:
        if isinstance(program, Worker) and program.pool == pool and is_alive(program.pid):
            return program
    site.kill()
    return site.worker(pool=pool)


def supervisor_pid() -> int:
    """The process that holds the supervisor's lease."""
    lease = wait_for(lambda: Lease.objects.filter(name="supervisor").first(), what="somebody supervises")
    return int(lease.holder.rpartition(":")[2])


@pytest.mark.parametrize("pool", ["threads", "solo", "prefork"])
def test_each_pool_runs_workflows_and_supervises(site: Site, pool: str):
    worker = shared(site, pool)
    runs = [
        site.start("example.NESTED", {"value": 5}),
        site.start("celery.BOUND", {"failures": 1, "countdown": 1}),
    ]
    site.wait(runs)
    assert [run.status for run in runs] == [RunStatus.SUCCESS] * 2
    pid = supervisor_pid()
    if pool == "prefork":
        assert pid in worker.children()
    else:
        assert pid == worker.pid


def test_a_killed_supervisor_is_started_again(site: Site, prefork: Worker):
    site.expected |= {"The supervisor has died"}
    old, before = supervisor_pid(), prefork.children()
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not is_alive(old), 5, "the old one is gone")
    wait_for(lambda: prefork.children() - before, 5, "there is a new one")
    # The lease of the dead one need not be waited for: this test is about the process.
    Lease.objects.all().delete()
    wait_for(lambda: Lease.objects.filter(name="supervisor").exists(), 15, "it works")
    assert supervisor_pid() in prefork.children() - before


@pytest.mark.fault(21)
@pytest.mark.slow
def test_of_two_supervisors_one_works(site: Site, prefork: Worker):
    holder = supervisor_pid()
    second = site.worker(queues="special")
    runs = [site.start("celery.BOUND", {"failures": 1, "countdown": 1}) for _ in range(3)]
    site.wait(runs)
    assert supervisor_pid() == holder
    assert len(second.children()) == 3
    assert holder not in second.children()
    second.kill()


def test_the_supervisor_ends_with_a_killed_worker(prefork: Worker):
    supervisor = supervisor_pid()
    assert supervisor in prefork.children()
    os.kill(prefork.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(supervisor), 10, "the supervisor follows its worker")


@pytest.mark.fault(5)
def test_sigterm_lets_a_task_finish_and_counts_no_crash(alone: Site, trace: Path):
    worker = alone.worker(concurrency=1, prefetch=1)
    run = alone.start("fault.RUN", {"trace": str(trace), "seconds": 0.6})
    wait_for(trace.exists, what="a task works")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.process is not None
    assert worker.process.wait(20) == 0
    assert run.tasks.filter(status=TaskStatus.SUCCESS).exists()
    assert not run.tasks.running().exists()
    alone.worker()
    run.wait(30)
    assert run.status == RunStatus.SUCCESS
    assert {(task.crashes, task.attempts.count()) for task in run.tasks.all()} == {(0, 0)}
    assert set(checker.executions(trace).values()) == {1}


@pytest.mark.fault(5)
@pytest.mark.slow
def test_sigterm_to_the_whole_group_hands_the_task_back(alone: Site, trace: Path):
    # As a terminal, systemd or a container does: the pool's processes get the signal too, in the middle of a task.
    alone.expected |= {"Task handler raised error", "exited with 'exitcode 15'"}
    worker = alone.worker(concurrency=1, prefetch=1)
    run = alone.start("fault.RUN", {"trace": str(trace), "seconds": 3})
    wait_for(trace.exists, what="a task works")
    worker.signal(signal.SIGTERM)
    assert worker.process is not None
    worker.process.wait(30)
    assert not run.tasks.running().exists()
    assert not run.tasks.failed().exists()
    alone.worker()
    run.wait(60)
    assert run.status == RunStatus.SUCCESS
    assert {(task.crashes, task.failures) for task in run.tasks.all()} == {(0, 0)}


@pytest.mark.slow
@pytest.mark.fault(5)
def test_sigquit_hands_the_task_back(alone: Site, trace: Path):
    alone.expected |= {
        "Task handler raised error",
        "exited with 'exitcode 15'",
        "Cold shutdown",
        "WorkerTerminate",
    }
    worker = alone.worker(concurrency=1, prefetch=1)
    run = alone.start("fault.RUN", {"trace": str(trace), "seconds": 3})
    wait_for(trace.exists, what="a task works")
    os.kill(worker.pid, signal.SIGQUIT)
    assert worker.process is not None
    worker.process.wait(30)
    alone.worker()
    run.wait(60)
    assert run.status == RunStatus.SUCCESS
    assert {(task.crashes, task.failures) for task in run.tasks.all()} == {(0, 0)}


@pytest.mark.fault(21)
@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_says_that_no_supervisor_works(alone: Site, pool: str):
    worker = alone.worker(pool=pool, DIRECTOR_TEST_SUPERVISOR="process")
    wait_for(lambda: "No supervisor has worked for 3 s" in worker.text(), 15, "it says so")
    assert worker.text().count("No supervisor has worked") == 1


@pytest.mark.fault(21)
@pytest.mark.slow
def test_a_supervisor_apart(alone: Site):
    worker = alone.worker(DIRECTOR_TEST_SUPERVISOR="process")
    assert len(worker.children()) == 3, "the pool, and who writes its signs of life"
    assert not Lease.objects.filter(name="supervisor").exists(), "nobody supervises"
    run = alone.start("celery.BOUND", {"failures": 1, "countdown": 1})
    wait_for(lambda: run.tasks.waiting().exists(), what="the task waits for its retry")

    def once() -> bool:
        done = manage(alone.broker, "superviseworkflows", "--once")
        assert done.returncode == 0, done.stderr
        run.refresh_from_db()
        return run.is_finished

    wait_for(once, 30, "superviseworkflows --once does what is due")
    assert run.status == RunStatus.SUCCESS
