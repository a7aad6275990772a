"""The Celery task that beat sends: it starts a workflow, once for each slot of its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import celery
from celery import shared_task, signals
from django.db import InterfaceError, OperationalError

from django_director.dispatch import installation
from django_director.dispatch.messages import BEAT_HEADER, INSTALLATION
from django_director.engine import start
from django_director.exceptions import LockedRow
from django_director.graph import OWN_TASK
from django_director.status import Trigger

from . import beat_rows, firings
from .firings import Firing

SENT_AT: Final = "director_sent_at"
"""The header with the time of sending: a slot must not depend on how long a message had to wait."""
BEAT_SAYS_SO: Final = celery.VERSION >= (5, 7)
"""Since then beat marks its messages, so "run now" in its admin, which is no firing, can be told apart."""


@signals.before_task_publish.connect(sender=beat_rows.TASK, dispatch_uid="django_director.sent_at")
def note_sending(headers: dict[str, Any], **_: Any) -> None:
    """Write into the message when it is sent, and by whom; one that is sent again keeps its first."""
    headers.setdefault(SENT_AT, datetime.now(UTC).isoformat())
    headers.setdefault(BEAT_HEADER, {INSTALLATION: installation.current_id()})


@shared_task(
    name=beat_rows.TASK,
    bind=True,
    ignore_result=True,
    # A slot is started once, so a message may well be delivered twice, and must not be lost with its worker.
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(OperationalError, InterfaceError, LockedRow),
    retry_backoff=True,
    retry_backoff_max=300,
    max_retries=20,
)
def run_workflow(self: Any, name: str, payload: Any = None) -> str | None:
    """Start the workflow ``name`` and return the id of its run; ``None`` when the slot has its run already.

    Fails with a ``DirectorError`` when the workflow is unknown or has left the files, or the payload does
    not fit.
    """
    firing = _firing_of(self.request)
    if firing is None:
        return str(start(name, payload, trigger=Trigger.SCHEDULE).pk)
    run = firings.start_due(firing, name, payload)
    return None if run is None else str(run.pk)


@shared_task(name=OWN_TASK, ignore_result=True)
def step() -> None:
    """What has a row and no task of the user's: ``worker`` does it when it comes with a message of ours."""


def _firing_of(request: Any) -> Firing | None:
    """``None`` for a message that was not sent by beat for one of its rows."""
    headers: Mapping[str, Any] = request.headers or {}
    name = headers.get("periodic_task_name")
    if not name or not headers.get("celery_beat_task", not BEAT_SAYS_SO):
        return None
    return Firing(schedule=name, sent=_parsed(headers.get(SENT_AT)) or datetime.now(UTC))


def _parsed(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
