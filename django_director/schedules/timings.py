"""When a periodic task of django-celery-beat falls due. Takes its rows, never imports them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any, Final

from celery import schedules
from django.utils import timezone

from . import slots

_SUN: Final = timedelta(days=1)
_CLOSEST: Final = timedelta(minutes=1)
"""Between two slots of a crontab."""
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When beat sends: exactly one of the three is set."""

    cron: slots.Cron | None = None
    zone: tzinfo = UTC
    interval: timedelta | None = None
    once: datetime | None = None

    @classmethod
    def of(cls, row: Any) -> Timing:
        if row.crontab is not None:
            schedule = row.crontab.schedule
            return cls(cron=_cron(schedule), zone=schedule.tz)
        if row.interval is not None:
            return cls(interval=row.interval.schedule.run_every)
        if row.clocked is not None:
            return cls(once=aware(row.clocked.clocked_time))
        # The sun: once a day, a few minutes earlier or later.
        return cls(interval=_SUN)

    def is_missed(self, slot: datetime, until: datetime, limit: int) -> bool:
        """Whether ``limit`` or more slots have fallen due after ``slot``: its own run is not wanted any more."""
        if self.cron is not None and until - slot < limit * _CLOSEST:
            return False
        return self.count(slot, until, limit) >= limit

    def count(self, after: datetime, until: datetime, limit: int) -> int:
        """How many slots fall due after a slot and up to ``until``; counting ends at ``limit``.

        Those of an interval are counted from ``after``. What happens once has none.
        """
        if self.cron is None:
            return max(0, min(limit, (until - after) // self.interval)) if self.interval else 0
        return sum(1 for _ in islice(self._of_cron(after, until), limit))

    def next(self, after: datetime) -> datetime | None:
        """The first time after another at which beat sends; ``None`` when there is none."""
        if self.once is not None:
            return self.once if self.once > after else None
        if self.cron is not None:
            return slots.next_due(self.cron, after, self.zone)
        return after + (self.interval or _SUN)

    def last(self, after: datetime, until: datetime, number: int) -> datetime | None:
        """The ``number``-th slot from the end among those after ``after``, or the first when they are fewer."""
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


def next_run_at(row: Any, now: datetime) -> datetime | None:
    """An estimate: only beat knows when it last sent, and the sun's times are left to it."""
    expires = aware(row.expires)
    if (row.one_off and row.total_run_count) or (expires is not None and expires <= now) or row.solar:
        return None
    try:
        timing = Timing.of(row)
    except (ValueError, schedules.ParseException):
        # Made by hand, and not readable: beat refuses it too.
        return None
    earliest = max(now, aware(row.start_time) or now)
    if timing.once is not None:
        return max(timing.once, now)
    if timing.cron is not None:
        # A start time that is a due time itself is used.
        return slots.next_due(timing.cron, earliest - timedelta(microseconds=1), timing.zone)
    last = aware(row.last_run_at or row.date_changed)
    return slots.next_of_interval(earliest, timing.interval or _SUN, last or now)


def aware(moment: datetime | None) -> datetime | None:
    """A stored time with its zone, which ``USE_TZ = False`` leaves out."""
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment


def _cron(schedule: Any) -> slots.Cron:
    return slots.Cron(
        minutes=frozenset(schedule.minute),
        hours=frozenset(schedule.hour),
        days_of_month=frozenset(schedule.day_of_month),
        months=frozenset(schedule.month_of_year),
        days_of_week=frozenset(schedule.day_of_week),
    )
