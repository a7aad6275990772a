"""A worker whose clock is wrong by hours beside one whose clock is right: only the database's time counts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from django.db import connection

from django_director.db.functions import Now
from django_director.models import Lease, Run, Task
from django_director.status import RunStatus
from tests.services import unmet

from . import checker
from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.fault(18), pytest.mark.timeout(480)]

LEASE = 3.0
"""Seconds, as in the settings of the acceptance tests."""
HOURS = 2 * 3600


@pytest.fixture
def library() -> Path:
    """What gives a process another time."""
    if connection.vendor == "sqlite":
        pytest.skip("skipped: SQLite has no clock but its processes'")
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        unmet("no libfaketime")
    assert found is not None
    return found


@pytest.fixture
def clocks(checked: Site) -> Site:
    """The site, without the processes of another test."""
    checked.kill()
    return checked


def database_time() -> datetime:
    now: datetime = Task.objects.annotate(now=Now()).values_list("now", flat=True)[0]
    return now


@pytest.mark.parametrize("sign", ["+", "-"], ids=["fast", "slow"])
def test_the_clock_of_a_worker_is_of_no_effect(clocks: Site, library: Path, trace: Path, sign: str):
    wrong = clocks.worker(
        queues="victim",
        # Timers of a machine whose clock was set wrong go right.
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
        FAKETIME=f"{sign}2h",
        LD_PRELOAD=str(library),
    )
    wait_for(lambda: supervisor_pid() in wrong.children(), what="its supervisor works")
    right = clocks.worker(queues="victim")
    runs = [clocks.start("fault.CLOCK", {"trace": str(trace), "seconds": 0.2}) for _ in range(10)]
    runs += [clocks.start("fault.VICTIM", {"trace": str(trace), "seconds": 1.5 * LEASE}) for _ in range(4)]
    runs += [clocks.start("fault.AGAIN", {"failures": 1, "countdown": 1}) for _ in range(4)]
    clocks.wait(runs, 90)
    assert {(run.status, run.error) for run in runs} == {(RunStatus.SUCCESS, "")}
    assert set(checker.executions(trace).values()) == {1}
    tasks = Task.objects.filter(run__in=runs)
    assert {task.worker for task in tasks} == {wrong.hostname, right.hostname}
    assert {task.crashes for task in tasks} == {0}
    assert_times(runs, wrong, HOURS if sign == "+" else -HOURS)
    assert supervisor_pid() in wrong.children()
    # Each is the last to see the other's lease end.
    lose(clocks, trace, right, wrong)
    lose(clocks, trace, wrong, clocks.worker(queues="victim"))


def supervisor_pid() -> int:
    """The process that supervises; 0: none."""
    lease = Lease.objects.first()
    return int(lease.holder.rpartition(":")[2]) if lease is not None else 0


def assert_times(runs: list[Run], wrong: Worker, shift: float) -> None:
    """What the rows say is the database's time, although the clock was wrong indeed."""
    now = database_time()
    clocks = 0
    for run in runs:
        for task in run.tasks.all():
            assert run.created_at <= task.queued_at <= task.started_at <= task.finished_at <= now
            if task.step == "CLOCK":
                expected = task.started_at.timestamp() + (shift if task.worker == wrong.hostname else 0)
                assert abs(task.result - expected) < 60
                clocks += task.worker == wrong.hostname
        assert run.finished_at <= now
    assert clocks


def lose(site: Site, trace: Path, victim: Worker, heir: Worker) -> None:
    """Kill a worker in the middle of its task: the other takes it over as soon as its lease has ended."""
    before = len(trace.read_text().splitlines())
    # More than one worker can have in its hands.
    runs = [site.start("fault.VICTIM", {"trace": str(trace), "seconds": 2}) for _ in range(4)]
    wait_for(lambda: len(trace.read_text().splitlines()) >= before + 4, what="all work")
    victim.kill()
    lost = {str(task.pk) for task in Task.objects.running().filter(run__in=runs, worker=victim.hostname)}
    assert lost
    site.wait(runs, 90)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    tasks = list(Task.objects.filter(run__in=runs))
    assert {str(task.pk) for task in tasks if task.crashes} == lost
    assert {task.worker for task in tasks if task.crashes} == {heir.hostname}
    for attempt in Task.objects.get(pk=min(lost)).attempts.all():
        assert 0 <= (attempt.finished_at - attempt.started_at).total_seconds() < 10 * LEASE
