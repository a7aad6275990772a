"""The Celery task that beat sends: it starts a workflow, once for each slot of its schedule."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import celery
from celery import shared_task, signals
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from . import schedules, slots
from .engine import start
from .graph import OWN_TASK
from .models import Run, Workflow
from .status import Trigger
from .timings import aware

logger = logging.getLogger(__name__)

SENT_AT: Final = "director_sent_at"
"""The header with the time of sending: a slot must not depend on how long a message had to wait."""
BEAT_SAYS_SO: Final = celery.VERSION >= (5, 7)
"""Since then beat marks its messages, so "run now" in its admin, which is no firing, can be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A message of beat's: of which schedule, and sent when."""

    schedule: str
    sent: datetime

    @classmethod
    def of(cls, request: Any) -> Firing | None:
        """``None`` for a message that was not sent by beat for one of its rows."""
        headers: Mapping[str, Any] = request.headers or {}
        name = headers.get("periodic_task_name")
        if not name or not headers.get("celery_beat_task", not BEAT_SAYS_SO):
            return None
        sent = _parsed(headers.get(SENT_AT)) or datetime.now(UTC)
        return cls(schedule=name, sent=sent)


@signals.before_task_publish.connect(sender=schedules.TASK, dispatch_uid="django_director.sent_at")
def note_sending(headers: dict[str, Any], **_: Any) -> None:
    """Write the time of sending into the message; one that is sent again keeps its first."""
    headers.setdefault(SENT_AT, datetime.now(UTC).isoformat())


@shared_task(
    name=schedules.TASK,
    bind=True,
    ignore_result=True,
    # A slot is started once, so a message may well be delivered twice, and must not be lost with its worker.
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=True,
    retry_backoff_max=300,
    max_retries=20,
)
def run_workflow(self: Any, name: str, payload: Any = None) -> str | None:
    """Start the workflow ``name`` and return the id of its run; ``None`` when the slot has its run already.

    Fails with a ``DirectorError`` when the workflow is unknown or has left the files, or the payload does
    not fit.
    """
    firing = Firing.of(self.request)
    if firing is None:
        return str(start(name, payload, trigger=Trigger.SCHEDULE).pk)
    slot = slot_of(firing, name)
    run = None if slot is None else _start(name, payload, firing, slot)
    if run is None:
        logger.info(
            "“%s” of %s is a duplicate: the run for its time exists already. Do two beats run?",
            firing.schedule,
            firing.sent.isoformat(),
            extra={"action": "duplicate_schedule", "schedule": firing.schedule},
        )
        return None
    return str(run.pk)


@shared_task(name=OWN_TASK, ignore_result=True)
def step() -> None:
    """What has a row and no task of the user's: ``worker`` does it when it comes with a message of ours."""


def slot_of(firing: Firing, workflow: str) -> datetime | None:
    """The slot of the schedule that a firing stands for; ``None`` when it is a second firing for one."""
    timing = schedules.timing(firing.schedule)
    if timing is None:
        # Deleted or renamed since it was sent.
        return firing.sent
    if timing.once is not None:
        return timing.once
    if timing.cron is not None:
        return slots.crontab_slot(timing.cron, firing.sent, timing.zone) or firing.sent
    return _interval_slot(firing, timing.interval or timedelta(0), workflow)


def _interval_slot(firing: Firing, interval: timedelta, workflow: str) -> datetime | None:
    previous = _previous_sending(firing, interval)
    # When the workflow and its schedule were synced together, beat first sends one interval after that.
    since = (
        None if previous else Workflow.objects.filter(name=workflow).values_list("created_at", flat=True).first()
    )
    return slots.interval_slot(firing.sent, interval, previous, aware(since) or firing.sent)


def _previous_sending(firing: Firing, interval: timedelta) -> datetime | None:
    """When the message of the last run before this one was sent; messages may be worked off out of order."""
    latest = _stored(firing.sent + interval / 2)
    runs = Run.objects.filter(schedule=firing.schedule, scheduled_for__lte=latest).order_by("-scheduled_for")
    found = runs.values_list("sent_at", "scheduled_for").first()
    return None if found is None else aware(found[0] or found[1])


def _start(name: str, payload: Any, firing: Firing, slot: datetime) -> Run | None:
    """The run of this firing, or ``None`` when the slot has its run already."""
    run = start(
        name,
        payload,
        trigger=Trigger.SCHEDULE,
        schedule=firing.schedule,
        scheduled_for=_stored(slot),
        sent_at=_stored(firing.sent),
    )
    return run if run.created else None


def _parsed(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _stored(moment: datetime) -> datetime:
    """As the database takes it: without a zone when ``USE_TZ`` is off."""
    return moment if settings.USE_TZ else timezone.make_naive(moment)
