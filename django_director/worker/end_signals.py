"""Whether a signal came to a pool process because its worker goes away.

Celery ends a task by a signal to its process: at a cold shutdown, and where it cancels what it will be sent again.
A service manager signals the whole group. Nothing in the signal says so: a task that signals itself, or somebody
who kills one process, looks the same. So the worker's own process says when it goes, in a page of memory that it
shares with the processes that it forks.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Any, Final
from zlib import crc32

from celery import bootsteps, signals

from django_director.common import shutdown

PATIENCE: Final = 2.0
"""Seconds that a worker has to say that it goes: a signal to its group may reach it after its processes."""
PAUSE: Final = 0.005
_WIDTH: Final = 4
_SLOTS: Final = mmap.PAGESIZE // _WIDTH
"""How many canceled messages are remembered."""


class _Page:
    """What a worker tells the processes that it forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._owner = os.getpid()
        self._canceled = 0

    @property
    def is_own(self) -> bool:
        """Whether this process is the worker itself."""
        return os.getpid() == self._owner

    def say_canceled(self, message_id: str) -> None:
        start = self._canceled % _SLOTS * _WIDTH
        self._memory[start : start + _WIDTH] = _digest(message_id)
        self._canceled += 1

    def is_canceled(self, message_id: str) -> bool:
        wanted = _digest(message_id)
        places = range(0, _SLOTS * _WIDTH, _WIDTH)
        return any(self._memory[start : start + _WIDTH] == wanted for start in places)


_page: _Page | None = None


def _digest(message_id: str) -> bytes:
    return crc32(message_id.encode()).to_bytes(_WIDTH, "little")


def prepare() -> None:
    """Make the page; called in a worker before it has a pool."""
    global _page
    _page = _Page()
    shutdown.forget()
    signals.worker_shutting_down.connect(shutdown.begin, weak=False)


def is_expected(message_id: str) -> bool:
    """Whether this process, or the task of this message, is told to end by the worker it belongs to.

    Waits up to ``PATIENCE`` seconds for the worker's word. A process that was not forked can't know, and says no.
    """
    if _page is None or _page.is_own:
        return is_going()
    deadline = time.monotonic() + PATIENCE
    while not (shutdown.has_begun() or _page.is_canceled(message_id)):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


def is_going() -> bool:
    """Whether the worker that this process is, or belongs to, has said that it goes away."""
    if shutdown.has_begun() or (_page is not None and not _page.is_own):
        return shutdown.has_begun()
    from celery.worker import state  # what only a worker has

    wishes: Any = (state.should_stop, state.should_terminate)
    # The exit code 0 is a wish too.
    return any(wish is not None and wish is not False for wish in wishes)


@signals.task_retry.connect(weak=False)
def _say_canceled(request: Any, einfo: Any = None, **_: Any) -> None:
    # In the worker's own process, and without an error: Celery has canceled the task, and will have it run again.
    page = _own_page()
    if einfo is None and page is not None:
        page.say_canceled(str(request.id))


def _own_page() -> _Page | None:
    return _page if _page is not None and _page.is_own else None


class FarewellStep(bootsteps.StartStopStep):
    """Says that the worker goes where no signal handler does, as when it restarts itself."""

    label = "Farewell"

    def close(self, worker: Any) -> None:
        """Called before anything of the worker is stopped."""
        shutdown.begin()
