"""State of the process that a task may have changed, and that is restored before the task's outcome is written.

Only state is restored that could cost the outcome of this or of another task: with a low recursion limit nothing
can be written, and an alarm that the code forgot to switch off would interrupt any later work of the process.
"""

from __future__ import annotations

import signal
import sys
from typing import Final

TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_RECURSION_LIMIT: Final = sys.getrecursionlimit()


def has_alarm() -> bool:
    """Whether a timer of this process runs that will send a signal, such as the time limit of a test runner."""
    return any(signal.getitimer(timer)[0] > 0 for timer in TIMERS)


def restore(had_alarm: bool) -> None:
    """Restore the recursion limit, and stop timers unless one ran before the task: ``had_alarm``."""
    if sys.getrecursionlimit() < _RECURSION_LIMIT:
        sys.setrecursionlimit(_RECURSION_LIMIT)
    if not had_alarm and has_alarm():
        for timer in TIMERS:
            signal.setitimer(timer, 0)
