"""When tasks ran: each appends its start and end to one file, so that nobody has to ask a server.

Used by the tasks of every contender, also in celery-director's own environment: the standard library only.
"""

from __future__ import annotations

import os
import struct
import time
from functools import cache
from pathlib import Path

RECORD = struct.Struct("<dd")

Stamp = tuple[float, float]


def record(start: float) -> None:
    """Append the run of a task from ``start`` (``time.monotonic()``) until now. One write: the file is shared."""
    os.write(_file(os.getpid()), RECORD.pack(start, time.monotonic()))


@cache
def _file(pid: int) -> int:
    # By process: forked children open it for themselves.
    return os.open(os.environ["BENCH_STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Stamps:
    """The driver's view of a contender's file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @property
    def count(self) -> int:
        """How many tasks have run since the file was made."""
        return self.path.stat().st_size // RECORD.size

    def since(self, count: int) -> list[Stamp]:
        """Start and end of the tasks after the first ``count``, in the order of their starts."""
        data = self.path.read_bytes()[count * RECORD.size :]
        return sorted(RECORD.iter_unpack(data))

    def wait(self, count: int, seconds: float) -> None:
        """Return when ``count`` tasks have run. Raises ``TimeoutError`` after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.count < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.count} of {count} tasks after {seconds:.0f} s")
            time.sleep(0.002)
