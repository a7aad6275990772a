"""Works out the slot of a message of beat: the time for which it was sent.

Beat does not say for which time it sends a message, and two beats send two messages for one time. A slot names
that time. The functions here depend on their arguments only, so two workers always find the same slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

TOLERANCE: Final = timedelta(seconds=1)
"""How long before the due time beat may send."""
TOO_SOON: Final = 2 / 3
"""The part of an interval within which a second message is a duplicate.

It is more than half: the messages of two beats that send half an interval apart must count as duplicates.
"""
HORIZON: Final = 366 * 41
"""Within so many days every possible crontab is due, even on a 29 February that is a given day of the week.

There are 40 years between two such days around 2100, which is no leap year.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The values of each field of a crontab; Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]

    def has_day(self, day: date) -> bool:
        """Whether the crontab is due at some time of this day."""
        return (
            day.month in self.months
            and day.day in self.days_of_month
            and day.isoweekday() % 7 in self.days_of_week
        )

    def has_time(self, local: datetime) -> bool:
        """Whether the crontab is due at this local time."""
        return local.minute in self.minutes and local.hour in self.hours and self.has_day(local.date())


def last_due(cron: Cron, moment: datetime, zone: tzinfo) -> datetime | None:
    """Return the last due time up to ``moment``, in UTC; ``None`` if there was none for 41 years."""
    today = moment.astimezone(zone).date()
    for day in _days(cron, today + timedelta(days=1), -1):
        for hour in sorted(cron.hours, reverse=True):
            due = [at for at in _of_hour(cron, day, hour, zone) if at <= moment]
            if due:
                return max(due)
    return None


def next_due(cron: Cron, moment: datetime, zone: tzinfo) -> datetime | None:
    """Return the first due time after ``moment``, in UTC; ``None`` if there is none for 41 years."""
    today = moment.astimezone(zone).date()
    for day in _days(cron, today - timedelta(days=1), 1):
        for hour in sorted(cron.hours):
            due = [at for at in _of_hour(cron, day, hour, zone) if at > moment]
            if due:
                return min(due)
    return None


def crontab_slot(cron: Cron, sent: datetime, zone: tzinfo) -> datetime | None:
    """Return the slot of a message that was sent for a crontab; ``None`` if the crontab is never due."""
    return last_due(cron, sent + TOLERANCE, zone)


def interval_slot(
    sent: datetime, interval: timedelta, previous: datetime | None, origin: datetime
) -> datetime | None:
    """Return the slot of a message that was sent for an interval; ``None`` for a duplicate.

    ``previous`` is when the message of the previous run was sent; the slot is when the next message was due. A
    message that was sent too soon after it (``TOO_SOON``) comes from a second beat. The first slot of all is
    counted from ``origin``, so that the messages of two beats have the same first slot.
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
    """Return when an interval that was due at ``last`` is due for the first time after ``now``.

    Beat writes only from time to time when it has sent, so ``last`` may be several intervals ago.
    """
    return last + max(1, (now - last) // interval + 1) * interval


def _days(cron: Cron, start: date, step: int) -> Iterator[date]:
    for number in range(HORIZON):
        day = start + timedelta(days=number * step)
        if cron.has_day(day):
            yield day


def _of_hour(cron: Cron, day: date, hour: int, zone: tzinfo) -> Iterator[datetime]:
    """Yield the due times in an hour of a day. In an hour that the clocks skip, beat sends only for the first."""
    first = min(cron.minutes)
    for minute in cron.minutes:
        due = _instant(day, hour, minute, zone)
        if minute == first or cron.has_time(due.astimezone(zone)):
            yield due


def _instant(day: date, hour: int, minute: int, zone: tzinfo) -> datetime:
    """Return when beat sends for a local time.

    For a time that comes twice, in autumn, it sends the first time only. A time that the clocks skip, in spring,
    is read with the offset before the change, which is an hour later by the clock.
    """
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
