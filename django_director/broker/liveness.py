"""Finds out whether the process of a holder of messages still exists.

On the same machine the operating system knows it, even if the process is busy for long. So no thread has to give
signs of life beside a pool that forks. Of a process on another machine, or in another container, only the lease
tells.
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""The positions of two fields of ``/proc/PID/stat`` behind the program's name: 3 and 22 in ``man 5 proc``."""


class Process(NamedTuple):
    """A process, by values that tell it from a later process with the same number."""

    machine: str
    pid: int
    started: str
    """The clock ticks from the system's start to that of the process; empty if the system does not tell."""


def this_process() -> Process:
    """Return the present process."""
    pid = os.getpid()
    return Process(this_machine(), pid, _stat(pid)[1])


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Return a name for the system that gives out process numbers: a machine since its start, or a container."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return platform.node()
    return f"{platform.node()}/{boot}/{namespace}"[:200]


def is_gone(process: Process) -> bool:
    """Whether the process has certainly ended; of a process on another machine this can't be known."""
    if process.machine != this_machine():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # The process exists and belongs to another user.
    state, started = _stat(process.pid)
    return state in {"Z", "X"} or started != process.started


def _stat(pid: int) -> tuple[str, str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return "", ""
    fields = text.rpartition(")")[2].split()
    return fields[_STATE], fields[_STARTED]
