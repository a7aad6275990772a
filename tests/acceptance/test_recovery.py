"""Killed workers, frozen workers, emptied brokers: every run has its outcome, every task commits once."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path

import pytest

from django_director.models import Lease, Run
from django_director.status import RunStatus
from tests.factories import group, step

from . import checker
from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(180)]

RUNS = 12
CONCURRENCY = 2
UNKNOWN_TASK_TTL = 3
GRACE = 2
"""Seconds, as in the settings of the acceptance tests."""
#: A supervisor that was killed with its worker keeps its lease for a moment.
TAKEOVER = 90


@pytest.fixture(scope="module")
def standing(site: Site) -> Worker:
    """The worker that tests share, and that supervises when they kill others."""
    worker = site.worker(queues="celery", concurrency=CONCURRENCY)
    wait_for(lambda: Lease.objects.exists(), what="somebody supervises")
    return worker


@pytest.fixture(autouse=True)
def _standing(standing: Worker, checked: Site) -> None:
    """Every test has it, and is checked at its end."""


def start_many(site: Site, trace: Path, name: str = "fault.RUN") -> list[Run]:
    return [site.start(name, {"trace": str(trace), "seconds": 0.05}) for _ in range(RUNS)]


def wait_for_the_middle(trace: Path, runs: list[Run]) -> None:
    """Until about a third of the tasks has run."""
    total = sum(run.tasks.count() for run in runs)
    wait_for(lambda: checker.executions(trace).total() > total / 3, what="a third of the tasks has run")
    assert checker.executions(trace).total() < total, "too late to harm anything"


def assert_all_succeeded(site: Site, runs: list[Run], trace: Path, *, again: int) -> None:
    """All runs succeed, every task of theirs ran; at most ``again`` executions were in vain."""
    site.wait(runs, TAKEOVER)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    committed = {str(task.pk) for run in runs for task in run.tasks.all()}
    executed = checker.executions(trace)
    assert set(executed) == committed
    assert executed.total() - len(committed) <= again


@pytest.mark.fault(10)
def test_the_broker_emptied(site: Site, trace: Path):
    runs = start_many(site, trace)
    wait_for_the_middle(trace, runs)
    site.empty_broker()
    assert_all_succeeded(site, runs, trace, again=0)


def test_a_backlog_that_moves_is_not_published_again(site: Site, trace: Path):
    size = 100
    site.define("size.BACKLOG", group("G", *(step(f"M{number}", task="TRACE") for number in range(size))))
    for _ in range(3):
        run = site.start("size.BACKLOG", {"trace": str(trace), "seconds": 0.16})
        assert run.wait(TAKEOVER) == RunStatus.SUCCESS
        starts = sorted(task.started_at for task in run.tasks.all())
        # A machine that stands still for a grace looks as if nothing moved: that proves nothing.
        if max(later - earlier for earlier, later in pairwise(starts)).total_seconds() < GRACE / 2:
            break
    waited = [task.started_at - task.queued_at for task in run.tasks.all()]
    late = [seconds for seconds in waited if seconds.total_seconds() > 2 * GRACE]
    assert len(late) > size / 4, "else nothing was due again"
    assert run.tasks.filter(dispatches__gt=0).count() < len(late) / 2


@pytest.mark.fault(4)
@pytest.mark.slow
def test_a_frozen_worker_is_fenced_when_it_comes_back(site: Site, trace: Path):
    frozen = site.worker(queues="victim", concurrency=1)
    run = site.start("fault.VICTIM", {"trace": str(trace), "seconds": 1})
    wait_for(trace.exists, what="a task works")
    frozen.signal(signal.SIGSTOP)
    helper = site.worker(queues="victim", concurrency=1)
    wait_for(lambda: len(trace.read_text().splitlines()) > 1, 30, "another worker has taken it")
    frozen.signal(signal.SIGCONT)
    run.wait(30)
    task = run.tasks.get(step="TRACE")
    assert run.status == RunStatus.SUCCESS
    assert (task.worker, task.crashes, task.attempt) == (helper.hostname, 1, 2)
    assert "gave no sign" in task.attempts.get().error
    assert checker.executions(trace) == {str(task.pk): 2, str(run.tasks.get(step="TRACE-2").pk): 1}


@pytest.mark.fault(23)
@pytest.mark.slow
def test_an_unknown_task_fails_with_a_clear_text(site: Site):
    site.expected |= {"Received unregistered task"}
    site.define("fault.UNKNOWN", "NOBODY_KNOWS", "NOOP")
    run = site.run("fault.UNKNOWN")
    assert run.status == RunStatus.FAILED
    assert "no worker has known the task “NOBODY_KNOWS” for 3 s" in run.error


@pytest.mark.fault(23)
@pytest.mark.slow
def test_a_worker_with_old_code_beside_one_with_new(site: Site, trace: Path):
    """Many are offered to the wrong one first, some for longer than the time after which an unknown task fails."""
    site.expected |= {"Received unregistered task"}
    old = site.worker(queues="special", DIRECTOR_TEST_CODE="old")
    new = site.worker(queues="special", concurrency=1)
    runs = [site.start("fault.NEW", {"trace": str(trace), "seconds": 0.05}) for _ in range(6)]
    assert_all_succeeded(site, runs, trace, again=0)
    assert old.text().count("Received unregistered task") > 1
    old.kill()
    new.kill()


@pytest.mark.fault(23)
@pytest.mark.slow
def test_a_task_that_only_a_busy_worker_knows_waits_for_it(site: Site, trace: Path):
    site.expected |= {"Received unregistered task"}
    new = site.worker(queues="special", concurrency=1, prefetch=1)
    busy = site.start("fault.BUSY", {"trace": str(trace), "seconds": 5 * UNKNOWN_TASK_TTL})
    wait_for(trace.exists, what="it is busy")
    old = site.worker(queues="special", prefetch=16, DIRECTOR_TEST_CODE="old")
    run = site.start("fault.NEW", {"trace": str(trace)})
    site.wait([busy, run], 120)
    assert (busy.status, run.status) == (RunStatus.SUCCESS, RunStatus.SUCCESS)
    assert run.tasks.get(step="NEW").worker == new.hostname
    assert "Received unregistered task" in old.text()
    old.kill()
    new.kill()


@pytest.mark.fault(3)
@pytest.mark.slow
def test_a_worker_killed_with_prefetched_messages(site: Site, trace: Path):
    worker = site.worker(queues="victim", concurrency=1, prefetch=16)
    run = site.start("fault.WIDE", {"trace": str(trace), "seconds": 0.3})
    wait_for(lambda: checker.executions(trace).total() >= 2, what="some have run")
    worker.kill()
    assert run.tasks.queued().count() > 3, "it had more in its hands"
    site.worker(queues="victim")
    # After the grace, not after the broker's visibility time-out of an hour.
    assert_all_succeeded(site, [run], trace, again=1)


@pytest.mark.fault(2)
def test_kill_9_of_the_whole_worker(site: Site, standing: Worker, trace: Path):
    site.kill()
    worker = site.worker(concurrency=CONCURRENCY)
    runs = start_many(site, trace)
    wait_for_the_middle(trace, runs)
    worker.kill()
    assert Run.objects.active().filter(pk__in=[run.pk for run in runs]).exists()
    site.worker(concurrency=CONCURRENCY)
    assert_all_succeeded(site, runs, trace, again=CONCURRENCY)
