"""Attempts of which a worker's own process knows that they are over, told long before their lease tells."""

from __future__ import annotations

from uuid import UUID

from django.db import OperationalError

from . import recovery, timeouts
from .bounds import bounded, is_locked


def write_down(task_id: UUID, sequence: int, why: str, seconds: float | None = None) -> bool:
    """End the running attempt of a message as lost or, with ``seconds``, as one that ran longer than so many.

    ``False``: another session has locked a row that it needs, ask again. Raises ``DatabaseError``.
    """
    try:
        with bounded():
            if seconds is None:
                recovery.lose_message(task_id, sequence, why)
            else:
                timeouts.time_out_message(task_id, sequence, seconds)
    except OperationalError as error:
        if not is_locked(error):
            raise
        return False
    return True
