"""What a task leaves behind in its process, and what of that is put back before its outcome is written.

Only what would cost an execution, its own or another's: without room on the stack nothing can be written, and an
alarm that the code forgot to switch off ends whatever the process does then.
"""

from __future__ import annotations

import signal
import sys
from typing import Final

TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_RECURSION_LIMIT: Final = sys.getrecursionlimit()


def has_alarm() -> bool:
    """Whether a timer's signal comes sooner or later, as from a test runner that limits its tests."""
    return any(signal.getitimer(timer)[0] > 0 for timer in TIMERS)


def clear(had_alarm: bool) -> None:
    """Put back what the code that has just ended has left; it may have begun with an alarm of somebody else's."""
    if sys.getrecursionlimit() < _RECURSION_LIMIT:
        sys.setrecursionlimit(_RECURSION_LIMIT)
    if not had_alarm and has_alarm():
        for timer in TIMERS:
            signal.setitimer(timer, 0)
