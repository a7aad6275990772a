"""Whether this worker is shutting down: its main process says so once, and all its processes know it at once.

Celery does not tell the processes of a pool of a warm shutdown: it waits until their tasks have ended. A task that
waits for a database which does not answer would hold up the end of the whole worker. So once a worker is shutting
down, the engine waits for a database only a short time.
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
from typing import Final

from .process_signs import page

logger = logging.getLogger(__name__)

GRACE: Final = 5.0
"""Seconds for which the engine still waits for the database in a shutdown."""
PERIOD: Final = 1.0
"""Seconds between two checks whether this process hangs."""
EXIT_CODE: Final = 75
"""The exit code of a process that is ended because it hangs: EX_TEMPFAIL of ``sysexits.h``."""

_TIME: Final = struct.Struct("d")
#: Memory shared with the processes that are forked from this one. It holds zero, or the moment at which the
#: shutdown began by the monotonic clock, which all processes of a machine have in common.
_began: Final = mmap.mmap(-1, _TIME.size)


def begin(**_: object) -> None:
    """Note for all processes of this worker that it is shutting down; only the first call counts."""
    if not has_begun():
        _TIME.pack_into(_began, 0, time.monotonic())


def forget() -> None:
    """Forget an earlier shutdown: a new worker starts in this process."""
    _TIME.pack_into(_began, 0, 0.0)


def has_begun() -> bool:
    """Whether this worker is shutting down."""
    return _start() > 0


def give_up_time(began: float) -> float:
    """Return when a thread that has waited since ``began`` must give up; infinity if there is no shutdown.

    Both are times of the monotonic clock. A task may run on for long in a warm shutdown: a thread that begins to
    wait during the shutdown has the full ``GRACE`` from then on.
    """
    start = _start()
    return max(start, began) + GRACE if start else math.inf


def _start() -> float:
    return float(_TIME.unpack_from(_began)[0])


class Watch:
    """Ends a process that hangs in a shutdown: all its tasks wait for statements that no database answers.

    No signal and no exception reaches a thread that waits so. When the leases of the tasks expire, the supervisor
    finds them.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        self._working: set[int] = set()
        self._waiting: dict[int, float] = {}

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Count this thread among those that have a task, until the block ends."""
        self._ensure_thread()
        thread = threading.get_ident()
        self._working.add(thread)
        try:
            yield
        finally:
            self._working.discard(thread)

    @contextlib.contextmanager
    def waiting(self, began: float | None) -> Iterator[None]:
        """Note for this block since when this thread waits for the database; ``None``: it does not wait."""
        thread = threading.get_ident()
        outer = self._waiting.get(thread, math.inf)
        self._waiting[thread] = math.inf if began is None else began
        try:
            yield
        finally:
            self._waiting[thread] = outer

    def hangs(self) -> bool:
        """Whether all tasks of this process wait for a database longer than a shutdown allows."""
        now = time.monotonic()
        waiting = [self._waiting.get(thread, math.inf) for thread in tuple(self._working)]
        return bool(waiting) and all(now > give_up_time(began) + PERIOD for began in waiting)

    def _ensure_thread(self) -> None:
        # A forked process does not have the threads of its parent.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._reset()
            threading.Thread(target=self._run, name="director-shutdown", daemon=True).start()

    def _run(self) -> None:
        while not (has_begun() and self.hangs()):
            page.move()
            time.sleep(PERIOD)
        logger.warning("The worker is shutting down, but its database does not answer: this process is ended.")
        os._exit(EXIT_CODE)


watch = Watch()
