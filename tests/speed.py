"""Bounds of processor time that mean the same on a slow machine."""

from __future__ import annotations

import sys
import time
from typing import Final

UNIT: Final = 0.03
"""Seconds that ``_unit`` takes on the machine for which the bounds were set."""
TRACED: Final = 3
"""How many times longer code takes while its coverage is measured, at most."""


def allowed(seconds: float) -> float:
    """``seconds`` of processor time, or more by as much as this machine is slower just now."""
    traced = TRACED if sys.gettrace() else 1
    return seconds * traced * max(1.0, sum(_unit() for _ in range(3)) / 3 / UNIT)


def crowding() -> float:
    """How many times longer things take at this moment because other processes want the processors, at least 1."""
    began, used = time.monotonic(), time.process_time()
    for _ in range(2):
        _unit()
    return max(1.0, (time.monotonic() - began) / max(time.process_time() - used, 1e-6))


def _unit() -> float:
    began = time.process_time()
    found: dict[int, str] = {}
    for number in range(200_000):
        found[number % 997] = f"{number}x"
    return time.process_time() - began
