"""Finds schedules that are due but that beat has not sent. Nothing else would tell people that beat does not run.

Beat writes when it last sent a schedule, but only every three minutes and when it ends. So a schedule counts as
late only five minutes after it was due, or, if it has an interval, after two intervals. A run that a message of
the schedule has started shows that it was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from celery.schedules import ParseException
from django.db.models import Max
from django.utils.translation import ngettext

from django_director.common.languages import number
from django_director.db.functions import iso
from django_director.models import Run

from .timings import PeriodicRow, Timing, aware, has_ended

LATE: Final = timedelta(minutes=5)
"""How long after its due time a schedule counts as late."""
NAMED: Final = 3
"""How many schedules a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A schedule that beat should have sent."""

    name: str
    due: datetime
    """The first time at which beat should have sent it."""
    now: datetime

    @property
    def seconds(self) -> float:
        """For how many seconds it has been due."""
        return (self.now - self.due).total_seconds()


def find_late(rows: Iterable[PeriodicRow]) -> list[Late]:
    """Return those of ``beat_rows.enabled_rows()`` that beat should have sent and has not, the earliest first.

    It takes a query if a schedule seems late.
    """
    found = {row.name: late for row in rows if (late := _late(row)) is not None}
    if found:
        sent = _sent(found)
        found = {name: late for name, late in found.items() if name not in sent or sent[name] < late.due}
    return sorted(found.values(), key=lambda late: late.due)


def describe(found: Sequence[Late], with_names: bool = True) -> str:
    """Return a sentence about late schedules; empty if there are none. ``with_names`` adds the schedules' names.

    The name of a schedule contains that of its workflow.
    """
    if not found:
        return ""
    text = ngettext(
        "beat has not sent %(n)s schedule%(names)s since %(since)s: does it run? Start one: celery -A … beat",
        "beat has not sent %(n)s schedules%(names)s since %(since)s: does it run? Start one: celery -A … beat",
        len(found),
    )
    names = [f"“{late.name}”" for late in found[:NAMED]] + (["…"] if len(found) > NAMED else [])
    named = f" ({', '.join(names)})" if with_names else ""
    return text % {"n": number(len(found)), "names": named, "since": iso(found[0].due)}


def _late(row: PeriodicRow) -> Late | None:
    now = aware(row.present)
    moments = [aware(moment) for moment in (row.last_run_at, row.date_changed, row.start_time)]
    known = [moment for moment in moments if moment is not None]
    if now is None or not known or has_ended(row, now) or row.solar is not None:
        return None
    try:
        timing = Timing.of(row)
    except (ValueError, ParseException):
        # The schedule was made by hand and can't be read. Beat refuses it too.
        return None
    # After a change the time counts anew, as it does for beat.
    due = timing.next(max(known))
    if due is None or now < due + max(LATE, timing.interval or LATE):
        return None
    return Late(name=row.name, due=due, now=now)


def _sent(found: dict[str, Late]) -> dict[str, datetime]:
    """Return when the message of each schedule's last run was sent, by the schedule's name."""
    runs = Run.objects.filter(schedule__in=list(found), sent_at__isnull=False).order_by()
    rows = runs.values_list("schedule").annotate(Max("sent_at"))
    return {name: moment for name, sent in rows if (moment := aware(sent)) is not None}
