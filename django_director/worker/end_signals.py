"""Whether a signal came to a process of the pool because its worker ends.

Celery ends a task by a signal to its process in a cold shutdown, and when it cancels a message that it will get
again. A service manager signals the whole process group. The signal itself does not tell its reason: a task may
signal itself, and a person may kill a single process. So the main process of the worker says when it ends, in a
page of memory that it shares with the processes that it forks.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Any, Final
from zlib import crc32

from celery import bootsteps, signals
from celery.app.task import Context

from django_director.common import shutdown

from .protocols import Worker

PATIENCE: Final = 2.0
"""Seconds that a worker has to say that it ends: a signal to the group may reach its pool's processes first."""
PAUSE: Final = 0.005
_WIDTH: Final = 4
_SLOTS: Final = mmap.PAGESIZE // _WIDTH
"""How many canceled messages are remembered."""


class _Page:
    """The shared memory in which a worker names the messages that it has canceled."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._owner = os.getpid()
        self._canceled = 0

    @property
    def is_own(self) -> bool:
        """Whether this process is the worker itself."""
        return os.getpid() == self._owner

    def say_canceled(self, message_id: str) -> None:
        """Note that the worker has canceled this message."""
        start = self._canceled % _SLOTS * _WIDTH
        self._memory[start : start + _WIDTH] = _digest(message_id)
        self._canceled += 1

    def is_canceled(self, message_id: str) -> bool:
        """Whether the worker has canceled this message lately."""
        wanted = _digest(message_id)
        places = range(0, _SLOTS * _WIDTH, _WIDTH)
        return any(self._memory[start : start + _WIDTH] == wanted for start in places)


_page: _Page | None = None


def _digest(message_id: str) -> bytes:
    return crc32(message_id.encode()).to_bytes(_WIDTH, "little")


def prepare() -> None:
    """Make the shared page; a worker calls this before it makes its pool."""
    global _page
    _page = _Page()
    shutdown.forget()
    signals.worker_shutting_down.connect(shutdown.begin, weak=False)


def is_expected(message_id: str) -> bool:
    """Whether the worker of this process ends, or has canceled the task of this message.

    It waits up to ``PATIENCE`` seconds for the worker to say so. A process that was not forked can't know.
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
    """Whether the worker that this process is, or belongs to, has said that it ends."""
    if shutdown.has_begun() or (_page is not None and not _page.is_own):
        return shutdown.has_begun()
    from celery.worker import state  # only workers should import it

    wishes: Any = (state.should_stop, state.should_terminate)
    # Celery sets these to an exit code, which may be 0.
    return any(wish is not None and wish is not False for wish in wishes)


@signals.task_retry.connect(weak=False)
def _say_canceled(request: Context, einfo: object = None, **_: object) -> None:
    # In the worker's main process this signal, without an error, means: Celery has canceled the task, because the
    # broker will deliver its message again.
    page = _own_page()
    if einfo is None and page is not None:
        page.say_canceled(str(request.id))


def _own_page() -> _Page | None:
    return _page if _page is not None and _page.is_own else None


class FarewellStep(bootsteps.StartStopStep):
    """Notes the end of a worker that no signal handler notes, for example when the worker restarts itself."""

    label = "Farewell"

    def close(self, worker: Worker) -> None:
        """Note that the worker ends; Celery calls this before it stops any part of the worker."""
        shutdown.begin()
