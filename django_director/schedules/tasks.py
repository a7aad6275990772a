"""The Celery task that beat sends, which starts a workflow once for each slot of its schedule."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import celery
from celery import Task, shared_task, signals
from celery.app.task import Context
from django.db import InterfaceError, OperationalError

from django_director.common.languages import in_english
from django_director.dispatch import installation
from django_director.dispatch.messages import BEAT_HEADER, INSTALLATION
from django_director.engine import start
from django_director.exceptions import DirectorError, LockedRow, StartRefused
from django_director.graph import OWN_TASK
from django_director.status import Trigger

from . import beat_rows, firings
from .firings import Firing
from .reasons import Obstacle, reason_of

logger = logging.getLogger(__name__)

SENT_AT: Final = "director_sent_at"
"""The header with the time at which a message was sent: its slot must not depend on how long it had to wait."""
BEAT_SAYS_SO: Final = celery.VERSION >= (5, 7)
"""Whether beat marks its messages. The action "run now" of its admin sends messages that are for no slot."""


@signals.before_task_publish.connect(sender=beat_rows.TASK, dispatch_uid="django_director.sent_at")
def note_sending(headers: dict[str, Any], **_: object) -> None:
    """Receive ``before_task_publish``: write into the message when it is sent, and by which installation.

    A message that is sent again keeps what it has.
    """
    headers.setdefault(SENT_AT, datetime.now(UTC).isoformat())
    headers.setdefault(BEAT_HEADER, {INSTALLATION: installation.current_id()})


@shared_task(
    name=beat_rows.TASK,
    bind=True,
    ignore_result=True,
    # A slot starts one run only, so it does no harm if a message is delivered twice. It must not be lost with its
    # worker.
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(OperationalError, InterfaceError, LockedRow),
    retry_backoff=True,
    retry_backoff_max=300,
    max_retries=20,
    # The log has a line of its own about it.
    throws=(StartRefused,),
)
def run_workflow(self: Task[Any, Any], name: str, payload: object = None) -> str | None:
    """Start the workflow ``name`` and return the id of its run; ``None`` if the slot has a run already.

    Raises ``StartRefused`` if the workflow is unknown, has left the files, or does not accept the payload.
    """
    try:
        return _start(self.request, name, payload)
    except LockedRow:
        raise
    except DirectorError as error:
        refused = Obstacle(_schedule_of(self.request) or "", _readable(name), reason_of(error))
    # Raised outside of the block: the first error may quote the payload, and would be shown as the cause.
    text = in_english(str, refused)
    text = f"{text[:1].upper()}{text[1:]}"
    logger.error("%s", text, extra={"action": "refused_start", "schedule": refused.schedule})
    raise StartRefused(text)


def _readable(name: object) -> str:
    """Return the name of a workflow; empty for what is no name, which may be anything of the message."""
    return name if isinstance(name, str) else ""


def _start(request: Context, name: str, payload: object) -> str | None:
    firing = _firing_of(request)
    if firing is None:
        return str(start(name, payload, trigger=Trigger.SCHEDULE).pk)
    run = firings.start_due(firing, name, payload)
    return None if run is None else str(run.pk)


@shared_task(name=OWN_TASK, ignore_result=True)
def step() -> None:
    """Do nothing: this is the task of steps without a task of the user's. The worker does their work itself."""


def _firing_of(request: Context) -> Firing | None:
    """Return the firing of a message; ``None`` if beat has not sent it for one of its rows."""
    headers: Mapping[str, Any] = request.headers or {}
    name = _schedule_of(request)
    if not name or not headers.get("celery_beat_task", not BEAT_SAYS_SO):
        return None
    return Firing(schedule=name, sent=_parsed(headers.get(SENT_AT)) or datetime.now(UTC))


def _schedule_of(request: Context) -> str | None:
    """Return the name of the schedule that a message is for; ``None`` for one that is for no schedule."""
    name: str | None = (request.headers or {}).get("periodic_task_name")
    return name


def _parsed(text: object) -> datetime | None:
    """Return the time in ISO 8601 with an offset that a header has; ``None`` for any other value."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
