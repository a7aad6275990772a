"""The schedules that are due next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from . import beat_rows
from .timings import next_run_at


class Next(NamedTuple):
    """A schedule of a workflow, and when it is due."""

    name: str
    due: datetime


def find_next(number: int) -> list[Next]:
    """Return the ``number`` schedules that are due first. It takes one query, without django-celery-beat none."""
    now = datetime.now(UTC)
    due = ((row.name, next_run_at(row, now)) for row in beat_rows.enabled_rows())
    known = [Next(name, moment) for name, moment in due if moment is not None]
    return sorted(known, key=lambda each: each.due)[:number]
