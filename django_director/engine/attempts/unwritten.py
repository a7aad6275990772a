"""Outcomes that can't be written because another session has locked a row are kept in a table of their own.

A process of a worker that waited for the lock would run nothing else, and soon all processes would wait. So it
keeps the outcome of the attempt and goes on; the supervisor writes it when the row is free, see
``supervisor/unwritten_outcomes``. Until then nobody takes the task for lost.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.db import OperationalError
from django.db.models import Exists, OuterRef

from django_director.common.throttle import Throttle
from django_director.db.lock_limits import met_lock
from django_director.db.transactions import connection
from django_director.models import UnwrittenOutcome

from . import unwritten_rows
from .claim import Claim
from .failures import Failure
from .unwritten_rows import End as End

logger = logging.getLogger(__name__)

KEPT: Final = Exists(UnwrittenOutcome.objects.filter(pk=OuterRef("claim")))
"""A condition on tasks: the outcome of the attempt is kept."""

REMEMBERED: Final = 15.0
"""Seconds for which a process takes a run for locked: what ends in it then is left to the supervisor at once."""

_locks: Final = Throttle()
_locked_at: Final[dict[UUID, float]] = {}
"""When a row of which run was found locked."""


def or_keep(write: Callable[[], bool], claim: Claim, end: End, content: Callable[[], dict[str, Any]]) -> bool:
    """Write the outcome of an attempt, or keep it if a row stays locked; return whether the task is still ours.

    ``content`` gives what an ``end`` of this kind needs: ``result``, the fields of a ``Failure``, ``reason``, or
    ``delay`` in seconds.
    """
    if connection().in_atomic_block:
        # The caller's transaction: what comes of it is the caller's to see, now.
        return write()
    if time.monotonic() - _locked_at.get(claim.run.pk, -math.inf) >= REMEMBERED:
        try:
            return write()
        except OperationalError as error:
            if not met_lock(error):
                raise
            _remember(claim.run.pk)
    return keep(claim, end, content())


def _remember(run_id: UUID) -> None:
    """Note that rows of a run are locked, so that its other tasks, which may need them, do not wait too."""
    now = time.monotonic()
    for run in [run for run, at in _locked_at.items() if now - at >= REMEMBERED]:
        del _locked_at[run]
    _locked_at[run_id] = now


def keep(claim: Claim, end: End, content: dict[str, Any]) -> bool:
    """Keep the outcome of an attempt. Calling this twice is harmless."""
    unwritten_rows.insert(claim.token, claim.task_id, claim.run.pk, end, content)
    if _locks.passes(""):
        logger.warning(
            "Another database session has locked rows of run %s: what came of its task %s is kept, and is written "
            "when the lock has ended.",
            claim.run.pk,
            claim.task_id,
            extra={"action": "keep", "run_id": str(claim.run.pk), "task": str(claim.task_id)},
        )
    return True


def of_failure(failure: Failure) -> dict[str, Any]:
    """Return the content that is kept of an attempt that failed."""
    return {**failure.columns(), "outcome": failure.outcome}
