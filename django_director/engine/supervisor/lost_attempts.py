"""Attempts that a worker knows to be over: they are ended at once, long before their leases run out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from django.db import OperationalError

from django_director.db.errors import is_locked
from django_director.db.functions import Now
from django_director.db.lock_limits import bounded
from django_director.db.transactions import statement
from django_director.models import Task

from . import leases, lost_batches, timeouts


class Held(Protocol):
    """What must be known of a claim to find its row."""

    @property
    def task_id(self) -> UUID: ...
    @property
    def token(self) -> int: ...


def write_down(
    task_id: UUID, sequence: int, why: str, seconds: float | None = None, batch: lost_batches.Batch | None = None
) -> bool:
    """End the running attempt of a message as lost or, with ``seconds``, as one that ran longer than its limit.

    If the task is still queued by that message, it is sent again under a new one. ``batch`` says which other tasks
    the message was for.

    Returns ``False`` if another session has locked a row: call it again then. Raises ``DatabaseError``.
    """
    try:
        with bounded():
            if batch is not None:
                lost_batches.write_down(batch, sequence, why, seconds)
            elif seconds is not None:
                timeouts.time_out_message(task_id, sequence, seconds)
            elif not leases.mark_message_lost(task_id, sequence, why):
                leases.resend(task_id, sequence, why)
    except OperationalError as error:
        if not is_locked(error):
            raise
        return False
    return True


def still_held(claims: Iterable[Held], is_leased: bool) -> set[int]:
    """Return the tokens of the claims whose rows still have them.

    With ``is_leased``, only claims whose leases have not run out.
    """
    chosen = {claim.token: claim.task_id for claim in claims}
    mine = Task.objects.running().filter(pk__in=chosen.values(), claim__in=chosen)
    if is_leased:
        mine = mine.filter(lease_until__gte=Now())
    return statement(lambda: set(mine.values_list("claim", flat=True)))
