"""Whether this worker is going down: told once by its main process, known at once in all its processes.

A pool's process hears nothing of a warm shutdown: Celery waits until its task has ended. A task that waits for a
database which does not answer would hold the whole worker up, so whoever waits asks here.
"""

from __future__ import annotations

import math
import mmap
import struct
import time
from typing import Any, Final

GRACE: Final = 5.0
"""Seconds for which the engine still waits for the database in a shutdown."""

_TIME: Final = struct.Struct("d")
#: Shared with the processes that are forked from this one: zero, or the moment of the monotonic clock, which
#: is one clock for all processes of a machine.
_began: Final = mmap.mmap(-1, _TIME.size)


def begin(**_: Any) -> None:
    """Note that this worker goes down, for all its processes; the first call counts."""
    if not _TIME.unpack_from(_began)[0]:
        _TIME.pack_into(_began, 0, time.monotonic())


def forget() -> None:
    """Begin anew: a worker starts in this process."""
    _TIME.pack_into(_began, 0, 0.0)


def ends_patience_of(began: float) -> float:
    """When somebody who waits since ``began`` has to give up, both by the monotonic clock; else infinity.

    A task may go on for long in a warm shutdown: who begins to wait after that has the same grace.
    """
    shutdown = float(_TIME.unpack_from(_began)[0])
    return max(shutdown, began) + GRACE if shutdown else math.inf
