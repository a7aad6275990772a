"""Whether this worker is going down: told once by its main process, known at once in all its processes.

A pool's process hears nothing of a warm shutdown: Celery waits until its task has ended. A task that waits for a
database which does not answer would hold the whole worker up, so its patience ends with the worker.
"""

from __future__ import annotations

import contextlib
import logging
import math
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from .process_signs import page

logger = logging.getLogger(__name__)

GRACE: Final = 5.0
"""Seconds for which the engine still waits for the database in a shutdown."""
PERIOD: Final = 1.0
"""Seconds between two looks whether something hangs."""
EXIT_CODE: Final = 75
"""EX_TEMPFAIL."""

_TIME: Final = struct.Struct("d")
#: Shared with the processes that are forked from this one: zero, or the moment of the monotonic clock, which
#: is one clock for all processes of a machine.
_began: Final = mmap.mmap(-1, _TIME.size)


def begin(**_: Any) -> None:
    """Note that this worker goes down, for all its processes; the first call counts."""
    if not has_begun():
        _TIME.pack_into(_began, 0, time.monotonic())


def forget() -> None:
    """Begin anew: a worker starts in this process."""
    _TIME.pack_into(_began, 0, 0.0)


def has_begun() -> bool:
    """Whether this worker goes down."""
    return _start() > 0


def ends_patience_of(began: float) -> float:
    """When somebody who waits since ``began`` has to give up, both by the monotonic clock; else infinity.

    A task may go on for long in a warm shutdown: who begins to wait after that has the same grace.
    """
    start = _start()
    return max(start, began) + GRACE if start else math.inf


def _start() -> float:
    return float(_TIME.unpack_from(_began)[0])


class Watch:
    """Ends a process that is to go down and hangs: all its tasks are in statements that no database answers.

    No signal and no exception reaches a thread in there. The leases tell of the tasks.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        self._working: set[int] = set()
        self._waiting: dict[int, float] = {}

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Count this thread's task in."""
        self._ensure_thread()
        thread = threading.get_ident()
        self._working.add(thread)
        try:
            yield
        finally:
            self._working.discard(thread)

    @contextlib.contextmanager
    def waiting(self, began: float | None) -> Iterator[None]:
        """Note since when this thread waits for the database; ``None``: it does something else."""
        thread = threading.get_ident()
        outer = self._waiting.get(thread, math.inf)
        self._waiting[thread] = math.inf if began is None else began
        try:
            yield
        finally:
            self._waiting[thread] = outer

    def hangs(self) -> bool:
        """Whether nothing moves any more in a process that is to go down."""
        now = time.monotonic()
        waiting = [self._waiting.get(thread, math.inf) for thread in tuple(self._working)]
        return bool(waiting) and all(now > ends_patience_of(began) + PERIOD for began in waiting)

    def _ensure_thread(self) -> None:
        # After a fork the thread is gone.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._reset()
            threading.Thread(target=self._run, name="director-shutdown", daemon=True).start()

    def _run(self) -> None:
        while not (has_begun() and self.hangs()):
            page.move()
            time.sleep(PERIOD)
        logger.warning("The database does not answer, and the worker is to end: this process is ended.")
        os._exit(EXIT_CODE)


watch = Watch()
