"""The thread that renews leases: it meets long tasks only, and all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from django_director.models import Task
from django_director.worker.leases import Keeper
from tests.integration.engine import driver

pytestmark = pytest.mark.django_db(transaction=True)


def wait_for(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def switches(thread: threading.Thread) -> int:
    """How often a thread went to sleep."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


def lease(run) -> object:
    return Task.objects.values_list("lease_until", flat=True).get(run=run)


@pytest.fixture
def thread_of():
    known = set(threading.enumerate())

    def find() -> threading.Thread:
        (found,) = set(threading.enumerate()) - known
        return found

    return find


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="skipped: needs Linux's /proc")
def test_short_tasks_do_not_wake_it(thread_of):
    keeper, claimed = Keeper(), driver.claim(driver.start("A"), "A")
    with keeper.keep(claimed):
        pass
    thread = thread_of()
    wait_for(lambda: switches(thread) > 0)
    before = switches(thread)
    for _ in range(100):
        with keeper.keep(claimed):
            # A task that waits for a server lets other threads work.
            time.sleep(0.001)
    assert switches(thread) - before <= 10


def test_a_task_is_met_whatever_ended_before_it(settings):
    settings.DIRECTOR = {"RENEW": 0.2}
    run = driver.start("A")
    keeper, claimed = Keeper(), driver.claim(run, "A")
    with keeper.keep(claimed):
        pass
    for _ in range(2):
        before = lease(run)
        with keeper.keep(claimed):
            wait_for(lambda before=before: lease(run) > before)
        # Nothing to do: it has gone to sleep for good.
        wait_for(lambda: keeper._wakes_at == float("inf"))


def test_a_shorter_period_wakes_it(settings):
    run = driver.start("A")
    keeper, claimed = Keeper(), driver.claim(run, "A")
    with keeper.keep(claimed):
        pass
    settings.DIRECTOR = {"RENEW": 0.05}
    before = lease(run)
    with keeper.keep(claimed):
        wait_for(lambda: lease(run) > before)
