"""Processes of the pool in which nothing moves any more, and that nobody waits for: they are killed.

A task may stop its own process, or hang in C code that lets no other thread run. Nobody renews its lease then, and
the task is given to another process. But the frozen one would keep its place in the pool for ever, and the worker
could not end: Celery waits for it. So the process that supervises beside the pool looks for such processes. It
kills one once its row is no longer its own, so that nothing is lost but a place that was lost already. That a
process does not move says little: it may be busy in C code. And that a lease has run out says nothing while the
database is away. So both are asked for.

A worker that is to end waits for nobody to continue a stopped process, nor for the supervisor to take a task away:
it has none any more. A process that is stopped is killed then, and one that does not move once its lease is over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from billiard import current_process

from django_director.common import shutdown
from django_director.common.process_signs import Page, Sign, page

logger = logging.getLogger(__name__)

FROZEN_LOOKS: Final = 6
"""At so many looks in a row, which are a second apart, a process has shown nothing new."""

Held = Callable[[Iterable[Sign], bool], set[int]]
"""Returns which claims are still their processes', by token; if the second is true those with a lease only."""


def take_place(**_: Any) -> None:
    """Receiver of ``worker_process_init``: let a new process of the pool show itself."""
    place = getattr(current_process(), "index", None)
    if place is not None:
        page.take(place)


class Watcher:
    """Looks at the pool's processes from beside it, in a process that its worker has forked."""

    def __init__(self, shown: Page = page) -> None:
        self._page = shown
        self._last: dict[int, tuple[Sign, bool]] = {}
        self._looks: dict[int, int] = {}

    @property
    def frozen(self) -> list[Sign]:
        """What those show in which nothing has moved for a while, as far as they work on a claim."""
        return [self._last[place][0] for place in self._still() if self._last[place][0].token]

    def look(self) -> None:
        """Look once, and kill what is stopped while the worker ends; called each second, it waits for nothing."""
        found = {place: (sign, _is_in_the_way(sign)) for place, sign in self._page.read().items()}
        self._looks = {
            place: self._looks.get(place, 0) + 1 if self._last.get(place) == what else 0
            for place, what in found.items()
        }
        self._last = found
        for place in self._still():
            _, is_in_the_way = found[place]
            if is_in_the_way:
                self._kill(place, "it is stopped, and the worker goes")

    def kill_lost(self, held: Held) -> None:
        """Kill those among the frozen whose claims are not among the ``held``, which asks the database."""
        frozen = self.frozen
        if not frozen:
            return
        kept = held(frozen, shutdown.has_begun())
        # The answer may have taken its time.
        shown = self._page.read()
        for place in self._still():
            sign = self._last[place][0]
            if sign in frozen and shown.get(place) == sign and sign.token not in kept:
                self._kill(place, "nobody waits for its task")

    def _still(self) -> list[int]:
        return [place for place, looks in list(self._looks.items()) if looks >= FROZEN_LOOKS]

    def _kill(self, place: int, why: str) -> None:
        pid = self._last[place][0].pid
        # Should it live on, it has its time again before it is told of anew.
        self._looks[place] = 0
        if not _is_of_our_group(pid):
            return
        logger.warning("Process %d of the pool is frozen and is ended: %s.", pid, why, extra={"action": "kill"})
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_in_the_way(sign: Sign) -> bool:
    """Whether the end of the worker would wait for somebody to continue this process."""
    return shutdown.has_begun() and is_stopped(sign.pid)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, by a signal or a debugger; no where Linux's ``/proc`` does not say so."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "Tt"


def _is_of_our_group(pid: int) -> bool:
    """Whether it can be a process of this worker: another one may have got the number of one that is gone."""
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return False
