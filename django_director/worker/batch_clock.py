"""The clock of batches: a thread of a worker's process that commits results while the next task takes long.

It sleeps until something may be due. Between short tasks nothing ever is, for then their own thread has done it.
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
    """A batch, as the clock sees it."""

    @property
    def due_at(self) -> float:
        """When the clock has to look at it again, by the monotonic clock."""

    def tick(self) -> None:
        """Do what is due."""


class Clock:
    """Looks at the batches of this process when they are due."""

    def __init__(self) -> None:
        self._pid = 0
        self._refusals = Throttle()
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._batches: set[Timed] = set()
        self._wakes_at = math.inf

    @contextlib.contextmanager
    def watching(self, batch: Timed, *, is_needed: bool) -> Iterator[None]:
        """Look at a batch until the block ends. Nothing is done if it is not needed, as in a test."""
        if not is_needed:
            yield
            return
        self._ensure_thread()
        with self._changed:
            self._batches.add(batch)
        try:
            yield
        finally:
            with self._changed:
                self._batches.discard(batch)

    def wake_by(self, at: float) -> None:
        """Look at the batches at this time of the monotonic clock, or earlier."""
        # Read without the lock: this is called for each task, and nearly always the thread wakes before.
        if at >= self._wakes_at:
            return
        with self._changed:
            self._wakes_at = min(self._wakes_at, at)
            self._changed.notify()

    def _ensure_thread(self) -> None:
        # A forked process does not have the thread of its parent, and has a copy of the lock in any state.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._reset()
            threading.Thread(target=self._run, name="director-batches", daemon=True).start()

    def _run(self) -> None:
        while True:
            due = self._wait()
            try:
                if due:
                    # Not the connection of the thread that runs the task, which the task's code may use now.
                    with engine_session():
                        for batch in due:
                            batch.tick()
            # No error may end this thread. What it has not done the batch does itself when its task ends.
            except Exception as error:
                if self._refusals.passes(type(error).__name__):
                    logger.warning("What is done of a batch could not be committed yet: %s", error)
                time.sleep(AGAIN)

    def _wait(self) -> list[Timed]:
        """Wait until something may be due; return the batches that are due."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._wakes_at <= now:
                    due = [batch for batch in self._batches if batch.due_at <= now]
                    # Those that are due are looked at again when this is done.
                    self._wakes_at = now if due else min((b.due_at for b in self._batches), default=math.inf)
                    if due:
                        return due
                self._changed.wait(None if self._wakes_at == math.inf else max(0.0, self._wakes_at - now))


clock: Final = Clock()
"""The clock of this process."""
