"""When a periodic task of django-celery-beat falls due. Takes its rows, never imports them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from celery import schedules
from django.utils import timezone

from . import slots

_SUN: Final = timedelta(days=1)


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
