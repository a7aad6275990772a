"""What helpers of a worker's main process write to the database: lost attempts and dropped messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from django_director.conf import director

from .lost_batches import LostBatch

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
"""Seconds until a helper's second try: a row that a dying process has locked is unlocked within moments."""
LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries of a helper at most; the pause doubles each time."""


class Loss(NamedTuple):
    """An attempt that was ended from outside, or a message that was dropped before there was an attempt."""

    task_id: UUID
    sequence: int
    why: str
    seconds: float | None = None
    """The time limit that the attempt has exceeded, if that is why it was ended."""
    batch: LostBatch | None = None
    """What else the message was for."""


class Message(NamedTuple):
    """A message that was dropped because this worker knows no task of this name."""

    task_id: UUID
    sequence: int
    name: str


class Report(NamedTuple):
    """What one helper writes to the database."""

    worker: str
    losses: list[Loss]
    dropped: list[Message]
    running_on: list[str]
    """The Celery ids of tasks that were canceled with force, but that the pool can't kill."""

    @property
    def size(self) -> int:
        """How many losses, messages and tasks it contains."""
        return len(self.losses) + len(self.dropped) + len(self.running_on)


def write_report(report: Report) -> None:
    """Write a report to the database.

    If a row is locked, or the database away, the rest is tried again until a lease is over.
    """
    until = time.monotonic() + director.LEASE
    left, delay = _write_once(report), FIRST_PAUSE
    if left.size:
        logger.warning("%d losses can't be written down yet; tried again for %g s.", left.size, director.LEASE)
    while left.size and time.monotonic() < until:
        time.sleep(delay)
        left, delay = _write_once(left), min(2 * delay, LONGEST_PAUSE)
    if left.size:
        logger.warning("%d losses could not be written down; their leases will tell.", left.size)


def _write_once(report: Report) -> Report:
    """Write what can be written; return the rest."""
    from django_director.db import transactions  # need models
    from django_director.engine import stopping
    from django_director.engine.supervisor import lost_attempts, unknown_tasks

    dropped, running_on = report.dropped, report.running_on
    try:
        losses = [loss for loss in report.losses if not _is_done(partial(lost_attempts.write_down, *loss))]
        if dropped and _is_done(partial(unknown_tasks.note_dropped, dropped, report.worker)):
            dropped = []
        if running_on and _is_done(partial(stopping.note_running_on, running_on)):
            running_on = []
    finally:
        transactions.disconnect()
    return Report(report.worker, losses, dropped, running_on)


def _is_done(work: Callable[[], bool | None]) -> bool:
    try:
        return work() is not False
    except (DatabaseError, InterfaceError) as problem:
        logger.info("A loss can't be written down: %s", problem)
        return False
    except Exception:
        # An error of one loss must not stop the reports of the others.
        logger.exception("A loss can't be written down; its lease will tell.")
        return True
