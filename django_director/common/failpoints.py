"""Fault points: places where a test may kill, hold or fail the process.

Compiled in from the start, so that what is tested is what runs. Without the environment variable
``DIRECTOR_FAULT`` a point costs one comparison. Its value is ``point:action`` or ``point:action:argument``:
``kill9``; ``raise``; ``sleep`` (argument: seconds); ``hold`` (argument: a path; waits until it is gone).
With ``DIRECTOR_FAULT_ONCE`` (a path that does not exist yet) only the first process to get there is hit.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

_ARMED: Final = os.environ.get("DIRECTOR_FAULT", "")

POINTS: Final = frozenset(
    {
        "start.inserted",
        "start.committed",
        "child.inserted",
        "child.committed",
        "report.before",
        "report.told",
        "admit.before",
        "admit.updated",
        "admit.committed",
        "claim.before",
        "claim.committed",
        "finish.before",
        "finish.updated",
        "finish.settled",
        "finish.committed",
        "fail.updated",
        "hold.updated",
        "end.updated",
        "decide.committed",
        "retry.updated",
        "lose.updated",
        "map.inserted",
        "map.committed",
        "publish.before",
        "publish.half",
        "publish.after",
        "cancel.committed",
        "cancel.swept",
        "cancel.passed",
        "reset.updated",
        "reset.committed",
        "pause.committed",
        "resume.committed",
        "supervise.claimed",
        "supervise.published",
    }
)


class InjectedFault(Exception):
    """Raised by a fault point with the action ``raise``."""


def point(name: str) -> None:
    """Do what ``DIRECTOR_FAULT`` asks for at this place, if anything."""
    if _ARMED:
        _fire(name)


def _fire(name: str) -> None:
    wanted, action, *argument = _ARMED.split(":", 2)
    if wanted != name or not _is_first():
        return
    if action == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise InjectedFault(name)
    elif action == "sleep":
        time.sleep(float(argument[0]))
    elif action == "hold":
        while Path(argument[0]).exists():
            time.sleep(0.01)


def _is_first() -> bool:
    marker = os.environ.get("DIRECTOR_FAULT_ONCE")
    if not marker:
        return True
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
