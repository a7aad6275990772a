"""Slot arithmetic: for which moment did beat send? Pure, so that two workers always give the same answer.

A slot names a firing. Beat does not say which it meant, it only sends; and two beats send twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

TOLERANCE: Final = timedelta(seconds=1)
"""How much earlier than due beat may send."""
TOO_SOON: Final = 2 / 3
"""The part of an interval within which a second message is a duplicate.

More than half: two beats that send half an interval apart would each find the other's message old enough.
"""
HORIZON: Final = 366 * 41
"""Days in which every possible crontab falls due: 29 February on one weekday, with 2100 no leap year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The values of each field of a crontab; Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]

    def has_day(self, day: date) -> bool:
        return (
            day.month in self.months
            and day.day in self.days_of_month
            and day.isoweekday() % 7 in self.days_of_week
        )

    def has_time(self, local: datetime) -> bool:
        return local.minute in self.minutes and local.hour in self.hours and self.has_day(local.date())


def last_due(cron: Cron, moment: datetime, zone: tzinfo) -> datetime | None:
    """The last due time up to ``moment``, in UTC; ``None`` when there was none for 41 years."""
    today = moment.astimezone(zone).date()
    for day in _days(cron, today + timedelta(days=1), -1):
        for hour in sorted(cron.hours, reverse=True):
            due = [at for at in _of_hour(cron, day, hour, zone) if at <= moment]
            if due:
                return max(due)
    return None


def next_due(cron: Cron, moment: datetime, zone: tzinfo) -> datetime | None:
    """The first due time after ``moment``, in UTC; ``None`` when there is none for 41 years."""
    today = moment.astimezone(zone).date()
    for day in _days(cron, today - timedelta(days=1), 1):
        for hour in sorted(cron.hours):
            due = [at for at in _of_hour(cron, day, hour, zone) if at > moment]
            if due:
                return min(due)
    return None


def crontab_slot(cron: Cron, sent: datetime, zone: tzinfo) -> datetime | None:
    """The slot of a message that was sent for a crontab; ``None`` when it is never due."""
    return last_due(cron, sent + TOLERANCE, zone)


def interval_slot(
    sent: datetime, interval: timedelta, previous: datetime | None, origin: datetime
) -> datetime | None:
    """The slot of a message that was sent for an interval; ``None`` for a duplicate.

    ``previous`` is when the message of the previous run was sent: the slot is when the next was due.
    A message sent too soon after it (``TOO_SOON``) comes from a second beat. The first slot of all is
    counted from ``origin``, so that two beats agree on that one as well.
    """
    if interval <= timedelta(0):
        return sent
    if previous is None:
        return origin + round((sent - origin) / interval) * interval
    elapsed = sent - previous
    if elapsed < interval * TOO_SOON:
        return None
    return previous + round(elapsed / interval) * interval


def next_of_interval(now: datetime, interval: timedelta, last: datetime) -> datetime:
    """When an interval is due after ``now``, if it was due at ``last``.

    Beat writes down what it did only now and then, so ``last`` may be several intervals ago.
    """
    return last + max(1, (now - last) // interval + 1) * interval


def _days(cron: Cron, start: date, step: int) -> Iterator[date]:
    for number in range(HORIZON):
        day = start + timedelta(days=number * step)
        if cron.has_day(day):
            yield day


def _of_hour(cron: Cron, day: date, hour: int, zone: tzinfo) -> Iterator[datetime]:
    """The due times of an hour. Of one that the clocks jump over, beat sends the first, and goes on from there."""
    first = min(cron.minutes)
    for minute in cron.minutes:
        due = _instant(day, hour, minute, zone)
        if minute == first or cron.has_time(due.astimezone(zone)):
            yield due


def _instant(day: date, hour: int, minute: int, zone: tzinfo) -> datetime:
    """When beat sends for a local time: one that comes twice in autumn the first time only.

    One that the clocks jump over in spring is read with the offset of before the jump, an hour later by the clock.
    """
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
