"""Decides which run a message of beat starts.

Beat goes on sending while no worker runs, so a worker that starts again finds a message for each slot since. Only
the last ``MAX_MISSED_SLOTS`` of these slots are wanted, and the first messages start them: a message that is too
late for its own slot starts the run of the first wanted slot that has none. So the last slot does not depend on a
message that may not come, and a schedule whose queue is always late keeps its rhythm. If late messages were only
dropped, such a schedule would never start a run again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django_director.common.times import stored
from django_director.conf import director
from django_director.engine import start
from django_director.models import Run, Workflow
from django_director.status import Trigger

from . import slots
from .beat_rows import Periodic, find_periodic
from .timings import aware

logger = logging.getLogger(__name__)

COUNTED: Final = 5_000
"""Missed slots are counted up to this number."""
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A message of beat: the name of its schedule, and when it was sent."""

    schedule: str
    sent: datetime


def start_due(firing: Firing, name: str, payload: object) -> Run | None:
    """Start the run for a message of beat and return it; ``None`` if no run is missing.

    Raises the errors of ``engine.start``.
    """
    entry = find_periodic(firing.schedule)
    if entry is None:
        return None if _is_covered(firing) else _start(firing, name, payload, firing.sent, firing.sent)
    slot, since = _slot(firing, entry, name)
    if entry.timing.is_missed(since, entry.until, director.MAX_MISSED_SLOTS):
        return _catch_up(firing, entry, since, (entry.workflow or name, entry.payload))
    run = None if slot is None else _start(firing, name, payload, slot, firing.sent)
    if run is None:
        _report_duplicate(firing, entry.timing.interval)
    return run


def _report_duplicate(firing: Firing, interval: timedelta | None) -> None:
    latest = firing.sent + max((interval or timedelta(0)) / 2, slots.TOLERANCE)
    sent, slot = _latest(firing, latest) or (None, None)
    # The run has another message: it is not a run that has caught up, which has no message of its own, and it was
    # not started by an earlier delivery of this very message.
    is_by_another = sent not in (slot, firing.sent)
    logger.info(
        "“%s” of %s starts nothing: the run for its time exists already%s.",
        firing.schedule,
        firing.sent.isoformat(),
        ", by another message; two beats may run, or one was started anew" if is_by_another else "",
        extra={"action": "duplicate_schedule", "schedule": firing.schedule},
    )


def _catch_up(firing: Firing, entry: Periodic, slot: datetime, call: tuple[str, object]) -> Run | None:
    """Start a run for the first wanted slot that has none, by a message that is too late for its own ``slot``.

    ``call`` is the workflow and the payload that the schedule has now. The late message may have others.
    """
    timing, newest = entry.timing, _newest(firing.schedule, entry)
    is_first = newest is None or newest < slot
    # For the first message its own slot is among those without a run.
    since = slot - (timing.interval or _INSTANT) if newest is None or is_first else newest
    wanted = timing.last(since, entry.until, director.MAX_MISSED_SLOTS)
    run = None if wanted is None else _start(firing, *call, wanted, wanted)
    if run is not None and wanted is not None:
        _report(firing, timing.count(since, wanted - _INSTANT, COUNTED), since=slot if is_first else since)
    return run


def _report(firing: Firing, number: int, since: datetime) -> None:
    if number:
        logger.warning(
            "“%s” has missed %s slots since %s: their messages came too late. Of missed slots the last start,"
            ' as many as DIRECTOR["MAX_MISSED_SLOTS"] says: %s',
            firing.schedule,
            f"{number:,}" if number < COUNTED else f"{number:,} or more",
            since.isoformat(),
            director.MAX_MISSED_SLOTS,
            extra={"action": "missed_slots", "schedule": firing.schedule, "number": number},
        )


def _newest(schedule: str, entry: Periodic) -> datetime | None:
    """Return the time from which the next slot of a schedule is counted; ``None`` if it has had no run.

    It is the slot of the last run or, for an interval, the time at which that run's message was sent.
    """
    runs = Run.objects.filter(schedule=schedule, scheduled_for__isnull=False).order_by("-scheduled_for")
    found = runs.values_list("scheduled_for", "sent_at").first()
    if found is None:
        return None
    moment: datetime = (found[1] if entry.timing.interval else None) or found[0]
    return aware(moment)


def _is_covered(firing: Firing) -> bool:
    """Whether a run has started after a message of a deleted or renamed schedule: then no other is needed."""
    runs = Run.objects.filter(schedule=firing.schedule).order_by("-scheduled_for")
    created = aware(runs.values_list("created_at", flat=True).first())
    return created is not None and created > firing.sent


def _slot(firing: Firing, entry: Periodic, workflow: str) -> tuple[datetime | None, datetime]:
    """Return the slot of a message, ``None`` for the second message of a slot; and the time of the slot."""
    timing = entry.timing
    if timing.once is not None:
        return timing.once, timing.once
    if timing.cron is not None:
        slot = slots.crontab_slot(timing.cron, firing.sent, timing.zone) or firing.sent
        return slot, slot
    return _interval_slot(firing, timing.interval or timedelta(0), workflow)


def _interval_slot(firing: Firing, interval: timedelta, workflow: str) -> tuple[datetime | None, datetime]:
    previous = _previous_sending(firing, interval)
    # If the workflow and its schedule were synced together, beat sends for the first time one interval later.
    since = (
        None if previous else Workflow.objects.filter(name=workflow).values_list("created_at", flat=True).first()
    )
    slot = slots.interval_slot(firing.sent, interval, previous, aware(since) or firing.sent)
    return slot, slot or previous or firing.sent


def _previous_sending(firing: Firing, interval: timedelta) -> datetime | None:
    """Return when the message of the last run before this one was sent. Messages may arrive in another order."""
    found = _latest(firing, firing.sent + interval / 2)
    return None if found is None else found[0] or found[1]


def _latest(firing: Firing, until: datetime) -> tuple[datetime | None, datetime | None] | None:
    """Return when the message of the schedule's last run up to ``until`` was sent, and the slot of that run."""
    runs = Run.objects.filter(schedule=firing.schedule, scheduled_for__lte=stored(until)).order_by(
        "-scheduled_for"
    )
    found = runs.values_list("sent_at", "scheduled_for").first()
    return None if found is None else (aware(found[0]), aware(found[1]))


def _start(firing: Firing, name: str, payload: object, slot: datetime, sent: datetime) -> Run | None:
    """Start the run of a slot and return it; ``None`` if the slot has a run already."""
    run = start(
        name,
        payload,
        trigger=Trigger.SCHEDULE,
        schedule=firing.schedule,
        scheduled_for=stored(slot),
        sent_at=stored(sent),
    )
    return run if run.created else None
