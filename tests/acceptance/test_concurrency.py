"""`concurrency` with real workers and many processes that start runs at once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from django_director import engine
from django_director.definitions import Concurrency
from django_director.models import Run, Task
from django_director.status import RunStatus
from tests.factories import approval, step

from .conftest import Site
from .harness import ROOT, environment, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(240), pytest.mark.thorough]

COUNTS = pytest.mark.parametrize(("processes", "number"), [(4, 40), pytest.param(8, 100, marks=pytest.mark.slow)])
ORDERS = 3
COMMIT = 1.0
"""Seconds that the transaction of a start may take."""
STARTER = """
import sys, time
from pathlib import Path
import django
django.setup()
from django_director import engine
gate, first, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
Path(f"{gate}-{first}").touch()
while not gate.exists():
    time.sleep(0.005)
for order in range(first, first + number):
    engine.start(sys.argv[4], {"order": order % int(sys.argv[5])})
"""


@pytest.fixture(scope="module")
def working(site: Site) -> Iterator[Site]:
    site.worker(concurrency=2)
    yield site
    site.kill()


@pytest.fixture(autouse=True)
def _checked(working: Site) -> Iterator[None]:
    yield
    working.check()


def start_from_processes(site: Site, folder: Path, name: str, processes: int, number: int) -> None:
    """Start ``number`` runs from so many processes at once."""
    gate = folder / "gate"
    share = -(-number // processes)
    firsts = range(0, number, share)
    arguments = [(str(first), str(min(share, number - first)), name, str(ORDERS)) for first in firsts]
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(gate), *given],
            cwd=ROOT,
            env=environment(site.broker),
            stderr=subprocess.PIPE,
            text=True,
        )
        for given in arguments
    ]
    wait_for(lambda: len(list(folder.glob("gate-*"))) == len(firsts), 60, "all starters are ready")
    gate.touch()
    for process in starters:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def keyed(name: str) -> list[list[Run]]:
    """The runs of a workflow by key, each key's in the order in which they wanted their slots."""
    runs = Run.objects.filter(workflow__name=name).select_related("version").order_by("created_at", "pk")
    keys = Counter(run.concurrency_key for run in runs)
    return [[run for run in runs if run.concurrency_key == key] for key in keys]


def check_order(found: list[Run]) -> None:
    """Oldest first: a run that began before an older one did so before the older one could be seen."""
    for older, newer in pairwise(found):
        if newer.started_at < older.started_at:
            between = newer.started_at - older.created_at
            assert between.total_seconds() < COMMIT, f"{newer.pk} has overtaken {older.pk} by {between}"


@COUNTS
def test_many_runs_from_many_processes_never_two_of_one_key(working, tmp_path, processes, number):
    name = f"limits.ORDER_{number}"
    working.define(name, "NOOP", step("NOOP-2", task="NOOP"), concurrency=Concurrency(key="payload.order"))
    start_from_processes(working, tmp_path, name, processes, number)
    runs = [run for found in keyed(name) for run in found]
    working.runs += runs
    working.wait(runs, 120)
    assert len(runs) == number
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    by_key = keyed(name)
    assert len(by_key) == ORDERS
    for found in by_key:
        for earlier, later in pairwise(sorted(found, key=lambda run: run.started_at)):
            assert earlier.finished_at <= later.started_at
        check_order(found)


def test_a_limit_of_three_is_used_and_kept(working: Site):
    working.define("limits.THREE", approval("OK"), "NOOP", concurrency=Concurrency(limit=3))
    runs = [working.start("limits.THREE") for _ in range(9)]
    decided: list[Task] = []
    for _ in range(3):
        # What is decided goes on being asked until a worker has taken it.
        asked = Task.objects.asked().filter(run__in=runs).exclude(pk__in=[task.pk for task in decided])
        wait_for(lambda asked=asked: asked.count() == 3, what="three run at once")
        assert Run.objects.filter(pk__in=[run.pk for run in runs], status=RunStatus.RUNNING).count() == 3
        decided += [engine.approve(task) for task in asked]
    working.wait(runs)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}


def test_what_runs_is_canceled_for_the_newest(working: Site):
    working.define(
        "limits.NEWEST",
        step("NAP"),
        step("NAP-2", task="NAP"),
        concurrency=Concurrency(on_conflict="cancel_running"),
    )
    first = working.start("limits.NEWEST", {"seconds": 1})
    wait_for(lambda: first.tasks.running().exists(), what="the first works")
    second = working.start("limits.NEWEST", {"seconds": 0})
    third = working.start("limits.NEWEST", {"seconds": 0})
    working.wait([first, second, third])
    assert [run.status for run in (first, second, third)] == [
        RunStatus.CANCELED,
        RunStatus.CANCELED,
        RunStatus.SUCCESS,
    ]
    assert third.started_at >= first.finished_at


@pytest.mark.slow
def test_a_worker_that_dies_holds_nobody_up(site: Site, working: Site):
    victim = site.worker(queues="victim", concurrency=1)
    site.define("limits.DEAD", step("NAP", queue="victim"), concurrency=Concurrency())
    first = site.start("limits.DEAD", {"seconds": 30})
    second = site.start("limits.DEAD", {"seconds": 0})
    wait_for(lambda: first.tasks.running().exists(), what="the first works")
    victim.kill()
    engine.cancel(first)
    wait_for(lambda: Run.objects.get(pk=first.pk).is_finished, 30, "the lost run is closed")
    site.worker(queues="victim", concurrency=1)
    second.wait(30)
    assert second.status == RunStatus.SUCCESS
