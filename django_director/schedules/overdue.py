"""Schedules whose time has come and that beat has not sent: nobody else would say that it does not run.

Beat writes when it last sent a schedule, but only every three minutes and at its end. So a schedule is late only
five minutes after it was due, and one with an interval after two of them; a run of it, which its message has
started, says that it was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from celery.schedules import ParseException
from django.db.models import Max

from django_director.db.functions import iso
from django_director.models import Run

from . import beat_rows
from .timings import Timing, aware

LATE: Final = timedelta(minutes=5)
NAMED: Final = 3
"""How many schedules a line names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A schedule that was not sent."""

    name: str
    due: datetime
    """The first time at which it should have been."""
    now: datetime

    @property
    def seconds(self) -> float:
        return (self.now - self.due).total_seconds()


def late() -> list[Late]:
    """The enabled schedules that beat should have sent and has not, the latest first.

    One query, to beat's database, and another to ours where one seems late; none without django-celery-beat.
    """
    found = {row.name: late for row in beat_rows.enabled() if (late := _late(row)) is not None}
    if found:
        sent = _sent(found)
        found = {name: late for name, late in found.items() if name not in sent or sent[name] < late.due}
    return sorted(found.values(), key=lambda late: late.due)


def problem(found: Sequence[Late], *, with_names: bool = True) -> str:
    """What is wrong, as a sentence; empty when nothing is. A schedule has the name of its workflow."""
    if not found:
        return ""
    number = "1 schedule" if len(found) == 1 else f"{len(found):,} schedules"
    names = [f"“{late.name}”" for late in found[:NAMED]] + (["…"] if len(found) > NAMED else [])
    named = f" ({', '.join(names)})" if with_names else ""
    since = f"since {iso(found[0].due)}"
    return f"beat has not sent {number}{named} {since}: does it run? Start one: celery -A … beat"


def _late(row: Any) -> Late | None:
    now = aware(row.present)
    moments = [aware(moment) for moment in (row.last_run_at, row.date_changed, row.start_time)]
    known = [moment for moment in moments if moment is not None]
    expires = aware(row.expires)
    is_over = (expires is not None and expires <= (now or expires)) or (row.one_off and row.total_run_count)
    if now is None or not known or is_over or row.solar is not None:
        return None
    try:
        timing = Timing.of(row)
    except (ValueError, ParseException):
        # Made by hand, and not readable: beat refuses it too.
        return None
    # A change begins anew, as it does for beat.
    due = timing.next(max(known))
    if due is None or now < due + max(LATE, timing.interval or LATE):
        return None
    return Late(name=row.name, due=due, now=now)


def _sent(found: dict[str, Late]) -> dict[str, datetime]:
    """When the message of each schedule's last run was sent."""
    runs = Run.objects.filter(schedule__in=list(found), sent_at__isnull=False).order_by()
    rows = runs.values_list("schedule").annotate(Max("sent_at"))
    return {name: moment for name, sent in rows if (moment := aware(sent)) is not None}
