"""Attempts of which a worker's own process knows that they are over, told long before their lease tells."""

from __future__ import annotations

from uuid import UUID

from django_director.models import Task

from . import locks, recovery, timeouts


def write_down(task_id: UUID, sequence: int, why: str, seconds: float | None = None) -> bool:
    """End the running attempt of a message as lost or, with ``seconds``, as one that ran longer than so many.

    ``False``: another session has locked its row, ask again. Raises ``DatabaseError``, also where another row that
    it needs stays locked; see ``locks.impatient`` for what becomes of the connection.
    """
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    with locks.impatient():
        if not running.exists():
            return True
        if not locks.free(running):
            return False
        if seconds is None:
            recovery.lose_message(task_id, sequence, why)
        else:
            timeouts.time_out_message(task_id, sequence, seconds)
    return True
