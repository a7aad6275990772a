"""The schedules that are due next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from .beat_rows import workflow_of
from .timings import PeriodicRow, next_run_at


class Next(NamedTuple):
    """A schedule of a workflow, and when it is due."""

    name: str
    workflow: str
    """The name of the workflow; empty if the arguments of the schedule name none."""
    due: datetime


def find_next(rows: Iterable[PeriodicRow], number: int) -> list[Next]:
    """Return the ``number`` schedules among ``beat_rows.enabled_rows()`` that are due first."""
    now = datetime.now(UTC)
    due = ((row, next_run_at(row, now)) for row in rows)
    known = [Next(row.name, workflow_of(row) or "", moment) for row, moment in due if moment is not None]
    return sorted(known, key=lambda each: each.due)[:number]
