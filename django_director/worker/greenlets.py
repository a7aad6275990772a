"""The errors by which a pool of greenlets ends a task.

Their classes are known only where such a pool is in use.
"""

from __future__ import annotations

import sys
from typing import Any


def is_killed(error: BaseException) -> bool:
    """Whether the error is the one that is raised in a greenlet when it is killed."""
    greenlet: Any = sys.modules.get("greenlet")
    return greenlet is not None and isinstance(error, greenlet.GreenletExit)


def is_time_out(error: BaseException, seconds: float | None) -> bool:
    """Whether the error says that a time limit of ``seconds`` was reached."""
    gevent: Any = sys.modules.get("gevent")
    return gevent is not None and isinstance(error, gevent.Timeout) and error.seconds == seconds
