"""Is the process that holds messages still there?

On the same machine the operating system knows, however long the process has been busy: no thread has to give
signs of life beside a pool that forks. From another machine (or container) only the lease can tell.
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Positions in ``/proc/PID/stat`` after the name of the program: ``man 5 proc``, fields 3 and 22."""


class Process(NamedTuple):
    """A process, so described that a later one with the same number is another."""

    machine: str
    pid: int
    started: str
    """Clock ticks from boot to its start; empty where the system does not tell."""


def this_process() -> Process:
    """The calling process; asked anew after a fork."""
    pid = os.getpid()
    return Process(this_machine(), pid, _stat(pid)[1])


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Names what has its own process numbers: a boot of a machine, and a container on it."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return platform.node()
    return f"{platform.node()}/{boot}/{namespace}"[:200]


def is_gone(process: Process) -> bool:
    """True if the process has certainly ended; False on another machine, where nobody can know."""
    if process.machine != this_machine():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # It exists and belongs to another user.
    state, started = _stat(process.pid)
    return state in {"Z", "X"} or started != process.started


def _stat(pid: int) -> tuple[str, str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return "", ""
    fields = text.rpartition(")")[2].split()
    return fields[_STATE], fields[_STARTED]
