"""A process of the pool is killed when it is frozen and its claim is gone, and for no lesser reason."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from django.db import OperationalError

from django_director.common import shutdown
from django_director.common.process_signs import SLOTS, Page, Sign
from django_director.worker import frozen_processes
from django_director.worker.frozen_processes import FROZEN_LOOKS, Watcher

TASK = UUID(int=7)
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="skipped: needs Linux's /proc")


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    shutdown.forget()
    yield
    shutdown.forget()


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def pid(page: Page) -> Iterator[int]:
    """A process at place 3 that has shown a claim once and does nothing."""
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        page.take(3)
        page.show_claim(TASK, 42)
        os.write(done, b".")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    yield child
    if not has_ended(child):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def ends_soon(child: int) -> bool:
    deadline = time.monotonic() + 5
    while not has_ended(child):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def look(watcher: Watcher, times: int = FROZEN_LOOKS + 1) -> None:
    for _ in range(times):
        watcher.check()


def held(*tokens: int) -> Callable[[Iterable[Sign], bool], set[int]]:
    return lambda signs, is_leased: set(tokens)


def test_what_a_process_shows_is_seen_by_others(page: Page, pid: int):
    assert page.signs() == {3: Sign(pid, 1, TASK.bytes, 42)}
    assert page.signs()[3].task_id == TASK


def test_a_place_that_is_taken_over_shows_nothing_of_the_last_process(page: Page, pid: int):
    page.take(3)
    assert page.signs() == {3: Sign(os.getpid(), 1, bytes(16), 0)}


def test_a_process_without_a_place_shows_nothing(page: Page):
    page.take(SLOTS)
    page.move()
    page.show_claim(TASK, 42)
    page.hide_claim()
    assert page.signs() == {}


def test_a_frozen_process_whose_claim_is_gone_is_killed(page: Page, pid: int):
    watcher = Watcher(page)
    look(watcher, FROZEN_LOOKS)
    watcher.kill_lost(held())
    assert not has_ended(pid), "it has had no time"
    look(watcher, 1)
    watcher.kill_lost(held())
    assert ends_soon(pid)


def test_one_with_its_claim_is_left_alone(page: Page, pid: int):
    watcher = Watcher(page)
    look(watcher)
    watcher.kill_lost(held(42))
    assert not has_ended(pid)


def test_one_that_moves_is_left_alone(page: Page):
    page.take(0)
    page.show_claim(TASK, 42)
    watcher = Watcher(page)
    for _ in range(2 * FROZEN_LOOKS):
        page.move()
        watcher.check()
    watcher.kill_lost(held())


def test_one_that_moves_again_while_the_database_answers_is_left_alone(page: Page):
    page.take(0)
    page.show_claim(TASK, 42)
    watcher = Watcher(page)
    look(watcher)

    def slowly(signs: Iterable[Sign], is_leased: bool) -> set[int]:
        page.move()
        return set()

    watcher.kill_lost(slowly)


def test_while_the_database_is_away_nothing_is_killed(page: Page, pid: int):
    def away(signs: Iterable[Sign], is_leased: bool) -> set[int]:
        raise OperationalError("away")

    watcher = Watcher(page)
    look(watcher)
    with pytest.raises(OperationalError):
        watcher.kill_lost(away)
    assert not has_ended(pid)


def test_the_database_is_asked_of_what_is_frozen_only(page: Page):
    page.take(0)
    watcher = Watcher(page)
    look(watcher)
    watcher.kill_lost(lambda signs, is_leased: pytest.fail("nothing works on a claim"))


def test_leases_count_when_the_worker_goes(page: Page, pid: int):
    asked = []

    def note(signs: Iterable[Sign], is_leased: bool) -> set[int]:
        asked.append(is_leased)
        return {42}

    watcher = Watcher(page)
    look(watcher)
    watcher.kill_lost(note)
    shutdown.begin()
    watcher.kill_lost(note)
    assert asked == [False, True]


def test_the_process_of_another_group_is_left_alone(page: Page, monkeypatch: pytest.MonkeyPatch, pid: int):
    """Another program may have got the number of a process that is gone."""
    monkeypatch.setattr("django_director.worker.frozen_processes.os.getpgrp", lambda: 1)
    watcher = Watcher(page)
    look(watcher)
    watcher.kill_lost(held())
    assert not has_ended(pid)


@needs_proc
def test_a_stopped_process_is_killed_when_the_worker_goes(page: Page, pid: int):
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    assert frozen_processes.is_stopped(pid)
    watcher = Watcher(page)
    look(watcher)
    assert not has_ended(pid), "nobody goes"
    shutdown.begin()
    look(watcher, FROZEN_LOOKS)
    assert not has_ended(pid), "it has had no time"
    look(watcher, 1)
    assert ends_soon(pid)


def test_one_that_is_busy_is_not_killed_for_the_end_of_its_worker(page: Page, pid: int):
    shutdown.begin()
    look(Watcher(page))
    assert not has_ended(pid)
