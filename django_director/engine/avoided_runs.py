"""Runs that the supervisor leaves alone for a while, because a row is locked or their work raises an error.

The trouble of one run must not hold up the others: ``work_on_each`` goes on with them, and queries leave out the
rows of ``avoided_run_ids``, which would take the places of all others in a batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError

from django_director.common.throttle import Throttle
from django_director.db.errors import is_locked
from django_director.db.lock_limits import charge, is_connection_lost

logger = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
"""Seconds for which a run in trouble is left alone: at first, and at most. The pause doubles each time."""


@dataclass(slots=True)
class _Avoided:
    """A run that the supervisor leaves alone until a time of the monotonic clock."""

    until: float = 0.0
    pause: float = FIRST_PAUSE / 2
    warnings: Throttle = field(default_factory=Throttle)


_avoided: dict[Hashable, _Avoided] = {}


def work_on_each(items: Iterable[T], work: Callable[[T], int], key: Callable[[T], Hashable]) -> int:
    """Call ``work`` with each item and return the sum of its results; an error of one item does not stop the rest.

    ``key`` returns the id of the run to which an item belongs. When a row of an item is locked, or its work raises
    an error, that is logged, and the run is left alone for a while. When the connection is lost no other item
    would succeed either: that error is raised.
    """
    return sum(_work_on(item, work, key(item)) for item in items)


def avoided_run_ids() -> list[Any]:
    """Return the ids of the runs that are left alone now.

    Queries leave their rows out: else many of these rows might take the places of all others in a batch.
    """
    now = time.monotonic()
    for run in [run for run, found in _avoided.items() if found.until < now - 10 * LONGEST_PAUSE]:
        del _avoided[run]
    return [run for run, found in _avoided.items() if found.until > now]


def forget_avoided_runs() -> None:
    """Leave no run alone any more."""
    _avoided.clear()


def _work_on(item: T, work: Callable[[T], int], run: Hashable) -> int:
    avoided = _avoided.get(run)
    if avoided is not None and time.monotonic() < avoided.until:
        return 0
    began = time.monotonic()
    try:
        done = work(item)
    except Exception as error:
        if isinstance(error, (DatabaseError, InterfaceError)) and not is_locked(error) and is_connection_lost():
            raise
        charge(time.monotonic() - began)
        _avoid(run, error)
        return 0
    _avoided.pop(run, None)
    return done


def _avoid(run: Hashable, error: Exception) -> None:
    avoided = _avoided.setdefault(run, _Avoided())
    avoided.pause = min(avoided.pause * 2, LONGEST_PAUSE)
    avoided.until = time.monotonic() + avoided.pause
    if not avoided.warnings.passes("avoided"):
        return
    extra = {"action": "supervise", "run_id": str(run)}
    if is_locked(error):
        logger.warning(
            "Run %s can't be supervised: another database session has locked one of its rows; "
            "it is tried again in %g s, and the other runs go on.",
            run,
            avoided.pause,
            extra=extra,
        )
    else:
        logger.exception("Run %s can't be supervised; the other runs go on.", run, extra=extra)
