"""Patience that ends with its worker, and warnings that come once."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator

import pytest

from django_director.common import shutdown
from django_director.common.throttle import Throttle


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    shutdown.forget()
    yield
    shutdown.forget()


def test_patience_is_not_bounded_while_nobody_goes_down():
    assert not shutdown.has_begun()
    assert shutdown.give_up_time(time.monotonic()) == math.inf


def test_who_begins_to_wait_in_a_shutdown_has_the_whole_grace():
    earlier = time.monotonic() - 1000
    shutdown.begin()
    now = time.monotonic()
    assert shutdown.give_up_time(earlier) == pytest.approx(now + shutdown.GRACE, abs=1)
    assert shutdown.give_up_time(now + 600) == now + 600 + shutdown.GRACE


def test_a_forked_process_hears_of_it():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        deadline = time.monotonic() + 10
        while not shutdown.has_begun() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.write(writing, b"1" if shutdown.has_begun() else b"0")
        os._exit(0)
    shutdown.begin()
    assert os.read(reading, 1) == b"1"
    os.waitpid(child, 0)


@pytest.mark.parametrize(("others", "hangs"), [([], True), ([None], False)], ids=["alone", "beside one at work"])
def test_a_process_hangs_when_all_its_tasks_wait(others: list[float | None], hangs: bool):
    watch = shutdown.Watch()
    long_ago = time.monotonic() - 100
    ready, leave = threading.Barrier(len(others) + 1), threading.Event()

    def work(began: float | None) -> None:
        with watch.working(), watch.waiting(began):
            ready.wait(10)
            leave.wait(10)

    threads = [threading.Thread(target=work, args=(began,)) for began in others]
    for thread in threads:
        thread.start()
    with watch.working(), watch.waiting(long_ago):
        ready.wait(10)
        assert not watch.hangs(), "nobody goes down"
        shutdown._TIME.pack_into(shutdown._began, 0, long_ago)
        assert watch.hangs() is hangs
    leave.set()
    for thread in threads:
        thread.join()
    assert not watch.hangs(), "nobody works"


def test_one_thing_is_said_once_in_a_while():
    throttle = Throttle(period=1000)
    assert [throttle.passes("a"), throttle.passes("a"), throttle.passes("b")] == [True, False, True]
    assert [Throttle(period=0).passes("a") for _ in range(2)] == [True, True]
