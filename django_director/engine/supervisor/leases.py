"""Running tasks are taken from workers that are gone: their lease has run out, or somebody knows of the loss."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from django.db.models import F

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.lock_limits import each
from django_director.db.transactions import PATIENCE, statement, transact
from django_director.engine import outbox, parking
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.queries import read_to_end, run_of
from django_director.models import Attempt, Task

logger = logging.getLogger(__name__)


def expire_leases(
    is_steady: Callable[[], bool] = lambda: True, confirmed: Callable[[list[Task]], list[Task]] = list
) -> int:
    """Take running tasks from workers that gave no sign for a lease; return how many.

    ``is_steady`` is asked after they were read: where the answer took long, the workers could not renew either.
    ``confirmed`` says which are to be taken now.
    """
    lapsed = read_to_end(Task.objects.running().filter(lease_until__lt=Now()))
    if not is_steady():
        return 0
    lapsed = confirmed(lapsed)
    why = f"it gave no sign for {director.LEASE} s"
    return each(lapsed, lambda task: mark_lost(task, why), run_of)


def mark_message_lost(task_id: UUID, sequence: int, why: str, *, patience: float = PATIENCE) -> bool:
    """Take the running task of a message from its worker, which is known to be gone.

    For ``patience`` see ``transact``. Each try reads the row anew: meanwhile its lease may be renewed.
    """
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    return transact(lambda: any(mark_lost(task, why) for task in read_to_end(running)), patience=patience)


def resend(task_id: UUID, sequence: int, why: str) -> bool:
    """Queue a task again under its next message, if it is still queued by this one, which will not come to it.

    The present message is of no use to it: Celery drops whatever has the id of one that was revoked.
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
    """Queue a running task again, or fail it, for its worker is gone; say whether it was still as it was read."""
    if not finish.mark_lost(task, loss(why)):
        return False
    logger.warning(
        "Task %s of run %s lost its worker %s: %s.",
        task.step,
        task.run_id,
        task.worker,
        why,
        extra={"action": "lose", "run_id": str(task.run_id), "task": str(task.pk)},
    )
    return True


def loss(why: str) -> Failure:
    """What the row of a task says whose worker was lost."""
    return Failure(error=f"WorkerLost: {why}", outcome=Attempt.Outcome.LOST)
