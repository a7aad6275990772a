"""Where the next item of a map is looked for that `max_parallel` holds back: what this process knows of it.

The items begin in the order of their index, so those below one that has begun need not be looked at. This is
memory of a process, and may be out of date or lost: then a search reads more rows, and finds the same item.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import Final
from uuid import UUID

from django_director.engine.outbox import RunRef

MAPS_KEPT: Final = 1000
NONE_FOR: Final = 1.0
"""For how many seconds a process believes that no item of a map is held back, once it has found none."""

Key = tuple[UUID, int, int]
"""A map: its run, the run's generation, and its position."""


class _Begun:
    """The index below which all items of a map have begun, and until when no item counts as held back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._maps: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def get(self, key: Key) -> tuple[int, float]:
        return self._maps.get(key, (0, 0.0))

    def put(self, key: Key, first: int, none_until: float = 0.0) -> None:
        with self._lock:
            before, _ = self._maps.pop(key, (0, 0.0))
            self._maps[key] = max(before, first), none_until
            if len(self._maps) > MAPS_KEPT:
                self._maps.popitem(last=False)


_begun: Final = _Begun()


def first(run: RunRef, position: int, index: int) -> int:
    """Return the lowest index at which an item may be held back when the item ``index`` of a map has ended."""
    return max(index + 1, _begun.get((run.pk, run.generation, position))[0])


def may_be(run: RunRef, position: int) -> bool:
    """Whether an item of a map may be held back: this process has not looked for one in vain just now."""
    return time.monotonic() >= _begun.get((run.pk, run.generation, position))[1]


def note_begun(run: RunRef, position: int, index: int) -> None:
    """Note that an item of a map has begun, and so have those below it."""
    _begun.put((run.pk, run.generation, position), index + 1)


def note_none(run: RunRef, position: int) -> None:
    """Note that no item of a map is held back."""
    _begun.put((run.pk, run.generation, position), 0, time.monotonic() + NONE_FOR)
