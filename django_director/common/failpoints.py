"""Fault points: places in the engine where a test may kill, hold or fail the process.

The points are part of the shipped code, so tests and production run the same code. Without the environment
variable ``DIRECTOR_FAULT`` a point costs one comparison. The value of the variable is ``point:action`` or
``point:action:argument``. The actions are ``kill9``, ``raise``, ``sleep`` (its argument is a number of seconds)
and ``hold`` (its argument is a path; the process waits until that file is gone). With ``DIRECTOR_FAULT_ONCE``
(a path that does not exist yet) the action is done once: in the first process that reaches the point.
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
        "batch.before",
        "batch.claimed",
        "batch.done",
        "batch.updated",
        "batch.committed",
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
    """Do the action that ``DIRECTOR_FAULT`` asks for at the point ``name``, if it asks for one."""
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
