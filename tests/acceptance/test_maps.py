"""A map over many items with real workers, of which one is killed in the middle."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_director import engine
from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import mapped, step

from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow]

ITEMS = 10_000
PARALLEL = 50
FLAT_MEGABYTES = 20
"""What a process of the pool may grow by between a tenth of the items and all of them."""
LONG = 100_000
LOST = 30_000
LONG_MEGABYTES = 25
"""What a process may need more for a list of 100,000 items, which has 10 MB, than for one of 1,000."""
SQLITE_MEGABYTES = 20
"""What SQLite needs besides: it unpacks the list in the process itself."""
SLOWER = 2.5
"""How much longer one of the last items may take than one of the first."""


@pytest.fixture(autouse=True)
def _checked(checked: Site) -> None:
    """Every run of these tests is checked at its end."""


class Watch:
    """What is seen of a run while it goes on."""

    def __init__(self, run: Run) -> None:
        self.tasks = run.tasks.filter(map_index__gte=0)
        self.most = 0

    def ended(self) -> int:
        """How many items have ended; notes how many are in work."""
        self.most = max(self.most, self.tasks.active().exclude(status="pending").count())
        return int(self.tasks.finished().count())

    def reaches(self, number: int) -> None:
        wait_for(lambda: self.ended() >= number, 600, f"{number} items have ended")


@pytest.mark.timeout(1200)
def test_a_map_over_ten_thousand_items(site: Site, record_property: Any):
    each = mapped(
        "M", step("M", task="GIVEN", kwargs={"n": "${{ item }}"}), over=f"range({ITEMS})", max_parallel=PARALLEL
    )
    site.define("map.LARGE", each, result="len(tasks.M.result)")
    victim = site.worker(concurrency=2, prefetch=16, DIRECTOR_TEST_HISTORY="")
    run = site.start("map.LARGE")
    watch = Watch(run)
    watch.reaches(ITEMS // 10)
    began, early = time.monotonic(), watch.ended()
    before = resident(victim)
    watch.reaches(3 * ITEMS // 10)
    pace = (time.monotonic() - began) / (watch.ended() - early)
    grown = resident(victim) - before
    watch.reaches(ITEMS // 2)
    victim.kill()
    site.worker(concurrency=2, prefetch=16, DIRECTOR_TEST_HISTORY="")
    watch.reaches(7 * ITEMS // 10)
    began, early = time.monotonic(), watch.ended()
    watch.reaches(9 * ITEMS // 10)
    last = (time.monotonic() - began) / (watch.ended() - early)
    while not run.is_finished:
        watch.ended()
        time.sleep(0.1)
        run.refresh_from_db()
    assert run.status == RunStatus.SUCCESS
    assert run.result == ITEMS
    assert 0 < watch.most <= PARALLEL
    record_property("items", f"{1 / pace:.0f}/s, then {1 / last:.0f}/s; {grown:.0f} MB more")
    print(f"{1 / pace:.0f}/s, then {1 / last:.0f}/s; {grown:.0f} MB more; at most {watch.most} in work")
    assert grown < FLAT_MEGABYTES
    assert last < SLOWER * pace, "the last items took longer than the first"


@pytest.mark.timeout(600)
def test_a_hundred_thousand_items_from_a_task(site: Site, tmp_path: Path, record_property: Any):
    # A worker of the test before would take the map from the one that is to die.
    site.kill()
    # One item at a time, and for a queue of nobody: the rest of its time a worker does nothing.
    each = mapped("M", step("M", task="NOOP", queue="nobody"), over="tasks.L.result", max_parallel=1)
    site.define("map.LONG", step("L", task="LONG_LIST", queue="special"), each)
    site.worker(concurrency=1, queues="special", DIRECTOR_TEST_HISTORY="")
    victim = site.worker(concurrency=1, queues="celery", DIRECTOR_TEST_HISTORY="")
    expanded(site.start("map.LONG", {"size": 1_000}))
    before = resident(victim)
    began = time.monotonic()
    large = site.start("map.LONG", {"size": LONG})
    expanded(large)
    seconds, grown = time.monotonic() - began, resident(victim, "VmHWM") - before
    record_property("expansion", f"{seconds:.1f} s, {grown:.0f} MB more")
    print(f"{LONG:,} items: {seconds:.1f} s, {grown:.0f} MB more")
    assert grown < LONG_MEGABYTES + SQLITE_MEGABYTES * (connection.vendor == "sqlite")
    assert large.tasks.filter(map_index__gte=0).count() == LONG
    victim.kill()
    passed = tmp_path / "passed"
    fault = {"DIRECTOR_FAULT": "map.inserted:kill9", "DIRECTOR_FAULT_ONCE": str(passed)}
    victim = site.worker(pool="solo", concurrency=1, queues="celery", DIRECTOR_TEST_HISTORY="", **fault)
    lost = site.start("map.LONG", {"size": LOST})
    wait_for(passed.exists, 60, "the worker dies before its commit")
    assert victim.process is not None
    assert victim.process.wait(10) == -signal.SIGKILL
    assert not lost.tasks.filter(map_index__gte=0).exists()
    site.worker(concurrency=1, queues="celery", DIRECTOR_TEST_HISTORY="")
    expanded(lost)
    row = lost.tasks.get(step="M", map_index=-1)
    assert (row.map_count, row.crashes) == (LOST, 1)
    assert lost.tasks.filter(map_index__gte=0).count() == LOST
    for run in site.runs:
        engine.cancel(run)
    site.wait(site.runs)


def expanded(run: Run) -> None:
    """Wait until a map has its items."""
    wait_for(
        lambda: run.tasks.waiting().filter(step="M", map_index=-1).exists(), 120, "the map waits for its items"
    )


def resident(worker: Worker, what: str = "VmRSS") -> float:
    """Megabytes of the largest process of a pool: ``VmRSS`` now, ``VmHWM`` at the peak."""
    return max(_resident(pid, what) for pid in worker.children())


def _resident(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024
