"""Finds frozen processes of the pool, in which no thread runs any more, and kills those that are of no use.

A task may stop its own process, or hang in C code that lets no other thread run. Then the lease of the task is not
renewed, and another process runs the task. But the frozen process would keep its place in the pool for ever, and
the worker could not end, because Celery waits for the process. So the supervisor's process, beside the pool, looks
for such processes. It kills one only if no thread of it runs and the task's row no longer belongs to it. The first
alone says little: the process may be busy in C code. The second alone says nothing while the database is away.

While the worker ends, no supervisor takes tasks away, and nobody will continue a stopped process. So then a
stopped process is killed, and one in which no thread runs is killed when its lease has expired.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from billiard import current_process

from django_director.common import shutdown
from django_director.common.process_signs import Page, Sign, page

logger = logging.getLogger(__name__)

FROZEN_LOOKS: Final = 6
"""A process is frozen if its signs are the same at so many checks in a row, which are a second apart."""

Held = Callable[[Iterable[Sign], bool], set[int]]
"""A function that asks the database which claims still belong to the processes that gave these signs.

It returns the tokens of these claims. If its second argument is true, it leaves out claims whose lease has
expired.
"""


def take_place(**_: object) -> None:
    """Receive ``worker_process_init``: let a new process of the pool give its signs."""
    place = getattr(current_process(), "index", None)
    if place is not None:
        page.take(place)


class Watcher:
    """Checks the processes of the pool, from another process that the worker has forked."""

    def __init__(self, signs: Page = page) -> None:
        self._page = signs
        self._last: dict[int, tuple[Sign, bool]] = {}
        self._looks: dict[int, int] = {}

    @property
    def frozen(self) -> list[Sign]:
        """The signs of the frozen processes that work on a claim."""
        return [self._last[place][0] for place in self._still() if self._last[place][0].token]

    def check(self) -> None:
        """Compare the signs with those of the last check; while the worker ends, kill processes that are stopped.

        It is called each second, and waits for nothing.
        """
        found = {place: (sign, _is_in_the_way(sign)) for place, sign in self._page.signs().items()}
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
        """Kill the frozen processes whose claims, as ``held`` finds out, no longer belong to them."""
        frozen = self.frozen
        if not frozen:
            return
        kept = held(frozen, shutdown.has_begun())
        # The answer of the database may have taken some time: a process may have moved meanwhile.
        shown = self._page.signs()
        for place in self._still():
            sign = self._last[place][0]
            if sign in frozen and shown.get(place) == sign and sign.token not in kept:
                self._kill(place, "nobody waits for its task")

    def _still(self) -> list[int]:
        return [place for place, looks in list(self._looks.items()) if looks >= FROZEN_LOOKS]

    def _kill(self, place: int, why: str) -> None:
        pid = self._last[place][0].pid
        # If the process lives on, it is killed again only after as many further checks.
        self._looks[place] = 0
        if not _is_of_our_group(pid):
            return
        logger.warning("Process %d of the pool is frozen and is ended: %s.", pid, why, extra={"action": "kill"})
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_in_the_way(sign: Sign) -> bool:
    """Whether the worker ends and this process is stopped: the worker would wait for it for ever."""
    return shutdown.has_begun() and is_stopped(sign.pid)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, by a signal or a debugger; ``False`` on systems without Linux's ``/proc``."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "Tt"


def _is_of_our_group(pid: int) -> bool:
    """Whether ``pid`` can be a process of this worker: another process may have got the id of one that ended."""
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return False
