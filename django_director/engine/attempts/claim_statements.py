"""The statements that claim a task for a worker."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists

from django_director.db.compiled import (
    INTEGER,
    SOON_DURABLE,
    TEXT,
    UUID_FIELD,
    Param,
    Select,
    Update,
    prepared,
    wait_at_most,
)
from django_director.engine import transitions
from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import STOP_SPARING, RunStatus, Stop

from . import inputs, payloads


@prepared
def taking(
    lease: float, timeout: float | None, is_hook: bool, runs_on: bool, lock_seconds: float | None
) -> Update:
    """Claim a task.

    Parameters: ``task``, ``run``, ``sequence``, ``version``, ``token``, ``worker``, ``worker_key``.
    """
    return Update(_claimable(is_hook, runs_on, lock_seconds), **_taken(lease, timeout))


@prepared
def taking_and_reading(
    lease: float,
    timeout: float | None,
    is_hook: bool,
    runs_on: bool,
    lock_seconds: float | None,
    upstream: int,
    has_item: bool,
    payload: payloads.Reading,
    may_be_undone: bool,
) -> Select:
    """Claim a task and read what it needs, for a database that does both at once.

    Parameters as of ``taking``, and ``before``: the only task whose result it receives, if ``upstream`` is 1.
    """
    rows = _claimable(is_hook, runs_on, lock_seconds)
    if may_be_undone:
        rows = rows.filter(SOON_DURABLE)
    return inputs.selecting_rows(upstream, has_item, payload).after(Update(rows, **_taken(lease, timeout)))


def _claimable(is_hook: bool, runs_on: bool, lock_seconds: float | None) -> TaskQuerySet:
    own = Task.objects.filter(pk=Param("task", UUID_FIELD), sequence=Param("sequence", INTEGER)).queued()
    own = own.filter(lets_begin(is_hook, runs_on))
    return own if lock_seconds is None else own.filter(wait_at_most(lock_seconds))


def lets_begin(is_hook: bool, runs_on: bool) -> Exists:
    """Return the condition that the run ``run`` has the version ``version`` and lets a task begin."""
    # Not the `run_id` of the row: PostgreSQL might then read all runs that are running, to look it up among them.
    # The row's id says already that it is of this run, see `Ticket.fits`.
    run = Run.objects.filter(pk=Param("run", UUID_FIELD), version__content_hash=Param("version", TEXT))
    if not is_hook:
        run = run.filter(status=RunStatus.RUNNING, paused_at=None)
        run = run.filter(stop__in=STOP_SPARING) if runs_on else run.filter(stop=Stop.NONE)
    return Exists(run)


def _taken(lease: float, timeout: float | None) -> dict[str, Any]:
    return transitions.claimed(
        token=Param("token", INTEGER),
        worker=Param("worker", TEXT),
        worker_key=Param("worker_key", INTEGER),
        lease=lease,
        timeout=timeout,
    )
