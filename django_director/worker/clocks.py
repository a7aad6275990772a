"""Clocks: threads of a worker's process that do what is due while the code of a task runs.

One commits the results of a batch while its next task takes long, the other one stores the log lines of tasks that
take long. Each sleeps until something may be due. Between short tasks nothing ever is.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from typing import Final, Protocol

from django_director.common.throttle import Throttle
from django_director.db.sessions import engine_session

logger = logging.getLogger(__name__)

AGAIN: Final = 1.0
"""Seconds until something is tried again that has raised an error."""


class Timed(Protocol):
    """A batch, or the log lines of an attempt, as a clock sees it."""

    @property
    def due_at(self) -> float:
        """When the clock has to look at it again, by the monotonic clock."""

    def tick(self) -> None:
        """Do what is due."""


class Clock:
    """Looks at things of this process when they are due, in a thread called ``name``.

    ``refusal`` is what it logs, with the error, when one of them has raised an error.
    """

    def __init__(self, name: str, refusal: str) -> None:
        self._name, self._refusal = name, refusal
        self._pid = 0
        self._refusals = Throttle()
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[Timed] = set()
        self._wakes_at = math.inf

    @contextlib.contextmanager
    def watching(self, timed: Timed, *, is_needed: bool) -> Iterator[None]:
        """Look at a thing until the block ends. Nothing is done if it is not needed, as in a test."""
        if not is_needed:
            yield
            return
        self._ensure_thread()
        with self._changed:
            self._watched.add(timed)
        try:
            yield
        finally:
            with self._changed:
                self._watched.discard(timed)

    def wake_by(self, at: float) -> None:
        """Look at what is watched at this time of the monotonic clock, or earlier."""
        # Read without the lock: this is called for each task, and nearly always the thread wakes before. A process
        # that a task has forked has no such thread, and a copy of the lock that may be held for ever.
        if at >= self._wakes_at or self._pid != os.getpid():
            return
        with self._changed:
            self._wakes_at = min(self._wakes_at, at)
            self._changed.notify()

    def _ensure_thread(self) -> None:
        # A forked process does not have the thread of its parent, and has a copy of the lock in any state.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._reset()
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            due = self._wait()
            try:
                if due:
                    # Not the connection of the thread that runs the task, which the task's code may use now.
                    with engine_session():
                        for timed in due:
                            timed.tick()
            # No error may end this thread. What it has not done is done when the task ends.
            except Exception as error:
                if self._refusals.passes(type(error).__name__):
                    logger.warning("%s: %s", self._refusal, error)
                time.sleep(AGAIN)

    def _wait(self) -> list[Timed]:
        """Wait until something may be due; return what is due."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._wakes_at <= now:
                    due = [timed for timed in self._watched if timed.due_at <= now]
                    # Those that are due are looked at again when this is done.
                    self._wakes_at = now if due else min((t.due_at for t in self._watched), default=math.inf)
                    if due:
                        return due
                self._changed.wait(None if self._wakes_at == math.inf else max(0.0, self._wakes_at - now))


of_batches: Final = Clock("director-batches", "What is done of a batch could not be committed yet")
of_logs: Final = Clock("director-logs", "The log lines of a running task could not be stored yet")
"""The clocks of this process. A slow database must not let results wait for log lines."""
