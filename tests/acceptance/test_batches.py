"""Batches with real workers: what is done is committed soon, and a worker that dies loses nothing else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Q

from django_director import engine
from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from tests.factories import group, mapped, step

from . import checker
from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(120), pytest.mark.thorough]

SOON = 20


@pytest.fixture(autouse=True)
def _checked(checked: Site) -> None:
    """Every test has workers of its own, and is checked at its end."""
    checked.kill()
    checked.expected |= {"exited with 'signal 9 (SIGKILL)'", "Task handler raised error", "Hard time limit"}


def define(site: Site, name: str, task: str, items: int, **fields: Any) -> None:
    body = step("M", task=task, kwargs=fields.pop("kwargs", {}), retry=fields.pop("retry", None))
    site.define(name, mapped("M", body, over=f"range({items})", **fields))


def items_of(run: Run) -> Any:
    return run.tasks.filter(map_index__gte=0)


def test_a_map_in_batches(site: Site):
    site.worker()
    define(site, "batch.MANY", "GIVEN", 1_000, batch=50, kwargs={"n": "${{ item }}"})
    run = site.run("batch.MANY", timeout=3 * SOON)
    assert [found["n"] for found in run.result] == list(range(1_000))
    assert {task.attempt for task in items_of(run)} == {1}


def test_a_group_in_batches(site: Site):
    site.worker()
    members = [step(f"S{n}", task="GIVEN", kwargs={"n": n}) for n in range(100)]
    site.define("batch.GROUP", "NOOP", group("G", *members, batch=30), "ECHO")
    run = site.run("batch.GROUP", timeout=SOON)
    assert [found["n"] for found in run.result["args"][0]] == list(range(100))


def test_what_is_done_is_committed_while_the_next_item_works(site: Site, trace: Path):
    site.worker(concurrency=1)
    define(site, "batch.SLOW", "NAP_AT", 8, batch=8, kwargs={"item": "${{ item }}", "at": 2, "seconds": 6})
    run = site.start("batch.SLOW")
    wait_for(lambda: items_of(run).finished().count() == 2, 4, "both are committed while the third works")
    # The others do not wait for it: they are given back.
    wait_for(lambda: items_of(run).queued().count() == 5, 4, "what has not begun is given back")
    assert items_of(run).running().count() == 1
    run.wait(SOON)
    assert run.status == RunStatus.SUCCESS
    assert {task.attempt for task in items_of(run)} == {1}


@pytest.mark.parametrize("whole", [False, True], ids=["process", "worker"])
def test_a_worker_dies_within_a_batch(site: Site, trace: Path, whole: bool):
    victim = site.worker(concurrency=1)
    site.define("batch.DIES", mapped("M", step("M", task="TRACE_ITEM"), over="range(200)", batch=100))
    run = site.start("batch.DIES", {"trace": str(trace), "seconds": 0.02})
    wait_for(lambda: items_of(run).finished().count() >= 20, SOON, "some are committed")
    if whole:
        victim.kill()
        site.worker(concurrency=2)
    else:
        os.kill(int(trace.read_text().splitlines()[-1].split()[2]), signal.SIGKILL)
    run.wait(3 * SOON)
    assert run.status == RunStatus.SUCCESS
    assert run.result == list(range(200))
    ran = checker.executions(trace)
    again = [number for number in ran.values() if number > 1]
    # A few that were done and not committed, and the one that ran.
    assert max(ran.values()) <= 2
    assert len(again) <= 15
    lost = items_of(run).filter(~Q(crashes=0)).count()
    assert lost >= len(again)
    if not whole:
        assert lost <= 15, "what had not begun is not to blame"


def test_one_that_always_kills_its_process_fails_alone(site: Site):
    site.worker(concurrency=2)
    define(site, "batch.POISON", "ABORT_AT", 60, batch=30, kwargs={"item": "${{ item }}", "at": 7})
    site.expected |= {"signal 6"}
    run = site.start("batch.POISON")
    run.wait(3 * SOON)
    assert run.status == RunStatus.FAILED
    failed = items_of(run).failed().get()
    assert (failed.map_index, failed.crashes) == (7, 3)
    assert items_of(run).filter(status=TaskStatus.SUCCESS).count() == 59


def test_a_forced_cancel_kills_the_item_in_work(site: Site):
    site.worker(concurrency=1)
    define(site, "batch.FORCED", "NAP_AT", 4, batch=4, kwargs={"item": "${{ item }}", "at": 1, "seconds": 60})
    run = site.start("batch.FORCED")
    wait_for(lambda: items_of(run).finished().count() == 1, SOON, "the first has ended")
    engine.cancel(run, force=True)
    run.wait(SOON)
    assert run.status == RunStatus.CANCELED
    # The process was killed, so the worker takes the next task at once.
    assert site.run("example.ETL", timeout=SOON).result == 60


def test_retries_within_batches(site: Site):
    site.worker()
    define(site, "batch.RETRY", "BOUND", 20, batch=10)
    run = site.start("batch.RETRY", {"failures": 2, "countdown": 0.1})
    run.wait(2 * SOON)
    assert [found["retries"] for found in run.result] == [2] * 20


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools(site: Site, pool: str):
    site.worker(pool=pool)
    define(site, "batch.POOL", "GIVEN", 100, batch=20, max_parallel=2, kwargs={"n": "${{ item }}"})
    run = site.run("batch.POOL", timeout=SOON)
    assert [found["n"] for found in run.result] == list(range(100))


def test_max_parallel_of_batches(site: Site, trace: Path):
    site.worker(concurrency=4)
    site.define(
        "batch.LANES", mapped("M", step("M", task="TRACE_SPAN"), over="range(120)", batch=10, max_parallel=2)
    )
    run = site.start("batch.LANES", {"trace": str(trace), "seconds": 0.01})
    run.wait(SOON)
    assert run.status == RunStatus.SUCCESS
    spans = [tuple(map(float, line.split())) for line in trace.read_text().splitlines()]
    moments = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    assert most <= 2
    assert len(spans) == 120


def test_a_worker_stops_in_good_order_within_a_batch(site: Site, trace: Path):
    victim: Worker = site.worker(concurrency=1)
    site.define("batch.STOP", mapped("M", step("M", task="TRACE_ITEM"), over="range(100)", batch=100))
    run = site.start("batch.STOP", {"trace": str(trace), "seconds": 0.1})
    wait_for(lambda: items_of(run).finished().count() >= 3, SOON, "some are committed")
    began = time.monotonic()
    victim.process.send_signal(signal.SIGTERM)
    assert victim.process.wait(SOON) == 0
    assert time.monotonic() - began < 5
    assert not items_of(run).running().exists()
    site.worker(concurrency=4)
    run.wait(2 * SOON)
    assert run.result == list(range(100))
    assert set(checker.executions(trace).values()) == {1}
