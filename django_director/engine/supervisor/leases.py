"""Take running tasks from workers that are gone: their leases have run out, or the loss was reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from django.db.models import F

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.transactions import PATIENCE, statement, transact
from django_director.engine import outbox, parking
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.queries import read_to_end, run_of
from django_director.models import Attempt, Task

logger = logging.getLogger(__name__)


def expire_leases(
    is_steady: Callable[[], bool] = lambda: True, confirmed: Callable[[list[Task]], list[Task]] = list
) -> int:
    """Take running tasks whose leases have run out from their workers; return how many.

    ``is_steady`` is asked after the tasks were read: if the database was slow, workers could not renew their
    leases either. ``confirmed`` says which of the tasks are to be taken now.
    """
    lapsed = read_to_end(Task.objects.running().filter(lease_until__lt=Now()))
    if not is_steady():
        return 0
    lapsed = confirmed(lapsed)
    why = f"it gave no sign for {director.LEASE} s"
    return work_on_each(lapsed, lambda task: mark_lost(task, why), run_of)


def mark_message_lost(task_id: UUID, sequence: int, why: str, *, patience: float = PATIENCE) -> bool:
    """Take the running task of a message from its worker, which is known to be gone; return whether it was.

    For ``patience`` see ``transact``. Each try reads the row anew, as its lease may have been renewed meanwhile.
    """
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    return transact(lambda: any(mark_lost(task, why) for task in read_to_end(running)), patience=patience)


def resend(task_id: UUID, sequence: int, why: str) -> bool:
    """Let a queued task be sent again under a new message id, as its message is lost; return whether it was.

    A copy of the present message is of no use: Celery drops every message with the id of a revoked one.
    """
    queued = Task.objects.filter(
        pk=task_id, sequence=sequence, next_dispatch_at__lt=later(parking.PARKED)
    ).queued()
    changes = {"sequence": F("sequence") + 1, "next_dispatch_at": outbox.UNSENT, "dispatches": 0}
    is_queued = bool(statement(lambda: queued.update(**changes)))
    if is_queued:
        logger.warning(
            "Task %s is sent again: %s.", task_id, why, extra={"action": "requeue", "task": str(task_id)}
        )
    return is_queued


def mark_lost(task: Task, why: str) -> bool:
    """Queue a running task again, or fail it, as its worker is gone; return ``False`` if the row has changed."""
    if not finish.mark_lost(task, loss(why)):
        return False
    logger.warning(
        "Task %s of run %s lost its worker %s: %s.",
        task.label,
        task.run_id,
        task.worker,
        why,
        extra={"action": "lose", "run_id": str(task.run_id), "task": str(task.pk)},
    )
    return True


def loss(why: str) -> Failure:
    """Return the failure that is written for a task whose worker was lost."""
    return Failure(error=f"WorkerLost: {why}", outcome=Attempt.Outcome.LOST)
