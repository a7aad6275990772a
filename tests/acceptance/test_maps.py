"""A map over many items with real workers, of which one is killed in the middle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

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


def resident(worker: Worker) -> float:
    """Megabytes of the largest process of a pool."""
    return max(_resident(pid) for pid in worker.children())


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
