"""Works out when a periodic task of django-celery-beat is due, from its row. It does not import beat's models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any, Final, Protocol

from celery import schedules

from django_director.common.times import aware as aware

from . import slots

_SUN: Final = timedelta(days=1)
_CLOSEST: Final = timedelta(minutes=1)
"""The shortest time between two slots of a crontab."""
_INSTANT: Final = timedelta(microseconds=1)


class PeriodicRow(Protocol):
    """A row of django-celery-beat's ``PeriodicTask``; exactly one of its four schedules is set."""

    pk: Any
    name: str
    task: str
    args: str
    kwargs: str
    description: str
    enabled: bool
    one_off: bool
    total_run_count: int
    start_time: datetime | None
    expires: datetime | None
    last_run_at: datetime | None
    date_changed: datetime | None
    crontab: Any
    interval: Any
    clocked: Any
    solar: Any
    present: datetime
    """The database's present time, where a query adds it."""

    def save(self, **options: object) -> None:
        """Write the row."""

    def delete(self) -> object:
        """Delete the row."""


class CronSchedule(Protocol):
    """The attributes of Celery's ``crontab`` that this module reads: its published types lack them."""

    minute: set[int]
    hour: set[int]
    day_of_month: set[int]
    month_of_year: set[int]
    day_of_week: set[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When beat sends: exactly one of ``cron``, ``interval`` and ``once`` is set."""

    cron: slots.Cron | None = None
    zone: tzinfo = UTC
    interval: timedelta | None = None
    once: datetime | None = None

    @classmethod
    def of(cls, row: PeriodicRow) -> Timing:
        """Return the timing of a periodic task.

        Raises ``ValueError`` or ``ParseException`` if it can't be read.
        """
        if row.crontab is not None:
            schedule = row.crontab.schedule
            return cls(cron=cron_of(schedule), zone=schedule.tz)
        if row.interval is not None:
            return cls(interval=row.interval.schedule.run_every)
        if row.clocked is not None:
            return cls(once=aware(row.clocked.clocked_time))
        # A solar schedule is due once a day, each day a few minutes earlier or later.
        return cls(interval=_SUN)

    def is_missed(self, slot: datetime, until: datetime, limit: int) -> bool:
        """Whether ``limit`` or more slots after ``slot`` are due: then the run of ``slot`` is not wanted."""
        if self.cron is not None and until - slot < limit * _CLOSEST:
            return False
        return self.count(slot, until, limit) >= limit

    def count(self, after: datetime, until: datetime, limit: int) -> int:
        """Return how many slots are due after ``after`` and up to ``until``, but at most ``limit``.

        The slots of an interval are counted from ``after``. A task that is sent once has no further slots.
        """
        if self.cron is None:
            return max(0, min(limit, (until - after) // self.interval)) if self.interval else 0
        return sum(1 for _ in islice(self._of_cron(after, until), limit))

    def next(self, after: datetime) -> datetime | None:
        """Return the first time after ``after`` at which beat sends; ``None`` if there is none."""
        if self.once is not None:
            return self.once if self.once > after else None
        if self.cron is not None:
            return slots.next_due(self.cron, after, self.zone)
        return after + (self.interval or _SUN)

    def last(self, after: datetime, until: datetime, number: int) -> datetime | None:
        """Return the ``number``-th slot from the end among those after ``after``; the first if they are fewer."""
        if self.cron is None:
            count = self.count(after, until, sys.maxsize)
            return after + max(1, count - number + 1) * (self.interval or _SUN) if count else None
        found, slot = None, slots.last_due(self.cron, until, self.zone)
        while slot is not None and slot > after and number > 0:
            found, number = slot, number - 1
            slot = slots.last_due(self.cron, slot - _INSTANT, self.zone)
        return found

    def _of_cron(self, after: datetime, until: datetime) -> Iterator[datetime]:
        assert self.cron is not None
        slot = slots.next_due(self.cron, after, self.zone)
        while slot is not None and slot <= until:
            yield slot
            slot = slots.next_due(self.cron, slot, self.zone)


def has_ended(row: PeriodicRow, now: datetime) -> bool:
    """Whether beat sends a periodic task no more, although it is switched on."""
    expires = aware(row.expires)
    return bool(row.one_off and row.total_run_count) or (expires is not None and expires <= now)


def next_run_at(row: PeriodicRow, now: datetime) -> datetime | None:
    """Return an estimate when a periodic task runs next; ``None`` if it does not, or has a solar schedule.

    Only beat knows exactly when it has sent last.
    """
    if has_ended(row, now) or row.solar:
        return None
    try:
        timing = Timing.of(row)
    except (ValueError, schedules.ParseException):
        # The schedule was made by hand and can't be read. Beat refuses it too.
        return None
    earliest = max(now, aware(row.start_time) or now)
    if timing.once is not None:
        return max(timing.once, now)
    if timing.cron is not None:
        # If the start time is itself a due time, it counts.
        return slots.next_due(timing.cron, earliest - timedelta(microseconds=1), timing.zone)
    last = aware(row.last_run_at or row.date_changed)
    return slots.next_of_interval(earliest, timing.interval or _SUN, last or now)


def cron_of(schedule: CronSchedule) -> slots.Cron:
    """Return the values of each field of Celery's ``crontab``."""
    return slots.Cron(
        minutes=frozenset(schedule.minute),
        hours=frozenset(schedule.hour),
        days_of_month=frozenset(schedule.day_of_month),
        months=frozenset(schedule.month_of_year),
        days_of_week=frozenset(schedule.day_of_week),
    )
