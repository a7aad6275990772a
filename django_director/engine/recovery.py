"""What the supervisor does about rows that are due. Doing any of it twice is harmless."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef

from django_director import dispatch, faults
from django_director.clock import Now, later
from django_director.conf import MAX_GRACE, director
from django_director.models import Attempt, Run, Task
from django_director.querysets import HEAVY_TASK_FIELDS, TaskQuerySet
from django_director.status import RunStatus, Stop, TaskStatus

from . import finish, hold, outbox, reset, stop
from .finish import Failure
from .transactions import statement, transact

logger = logging.getLogger(__name__)

BATCH: Final = 500


def wake() -> int:
    """Queue waiting tasks whose time has come, due at once; return how many."""
    due = Task.objects.waiting().filter(not_before__lte=Now()).order_by("not_before")
    chunk = list(due.values_list("pk", flat=True)[:BATCH])
    return wake_tasks(Task.objects.filter(pk__in=chunk)) if chunk else 0


def wake_tasks(tasks: TaskQuerySet) -> int:
    """Queue those of ``tasks`` that wait, due at once; return how many."""
    return statement(
        lambda: tasks.waiting().update(
            status=TaskStatus.QUEUED,
            sequence=F("sequence") + 1,
            not_before=None,
            queued_at=Now(),
            next_dispatch_at=Now(),
            dispatches=0,
        )
    )


def publish_due() -> int:
    """Publish queued tasks that are due, oldest first; return how many the broker took."""
    due = (
        Task.objects.queued()
        .filter(next_dispatch_at__lte=Now())
        .order_by("next_dispatch_at")
        .select_related("run__version")
        .only(
            *("queue", "position", "sequence", "failures", "dispatches", "is_hook"),
            *("run__paused_at", "run__version__content_hash"),
        )
    )
    tasks = _without_paused(list(due[:BATCH]))
    if not tasks or dispatch.breaker.is_open:
        return 0
    faults.point("supervise.claimed")
    sent = dispatch.publish([outbox.message_of(task, task.run.version.content_hash) for task in tasks])
    faults.point("supervise.published")
    waits = _queue_waits()
    by_delay: defaultdict[float, list[UUID]] = defaultdict(list)
    for task in tasks[:sent]:
        by_delay[_next_delay(task, waits)].append(task.pk)
    for delay, chunk in by_delay.items():
        _postpone(chunk, delay)
    return sent


def _without_paused(tasks: list[Task]) -> list[Task]:
    """Those that may start; the others are parked."""
    held = {task.pk for task in tasks if task.run.paused_at is not None and not task.is_hook}
    hold.park_ids(held)
    return [task for task in tasks if task.pk not in held]


def close_stopped() -> int:
    """Settle what stopped runs have not started, and close those in which nothing is active any more."""
    closed = 0
    for run_id, why in list(Run.objects.stopping().values_list("pk", "stop")[:BATCH]):
        stop.sweep(run_id, stop.REASONS.get(why, "canceled"))
        closed += stop.close_if_idle(run_id)
    return closed


def expire_leases(is_steady: Callable[[], bool] = lambda: True) -> int:
    """Take running tasks from workers that gave no sign for a lease; return how many.

    ``is_steady`` is asked after they were read: where the answer took long, the workers could not renew either.
    """
    lapsed = read(Task.objects.running().filter(lease_until__lt=Now()))
    if not is_steady():
        return 0
    return sum(_lose(task, f"it gave no sign for {director.LEASE} s") for task in lapsed)


def lose_message(task_id: UUID, sequence: int, why: str) -> bool:
    """Take the running task of a message from its worker, which is known to be gone."""
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    return sum(_lose(task, why) for task in read(running)) > 0


def fail_unknown() -> int:
    """Fail tasks that no worker has known for ``UNKNOWN_TASK_TTL`` seconds; return how many."""
    since = Now() - timedelta(seconds=director.UNKNOWN_TASK_TTL)
    unknown = Task.objects.queued().filter(unknown_since__lt=since)
    return sum(transact(partial(_fail_unknown, task)) for task in read(unknown))


def note_unknown(task_id: UUID, sequence: int, worker: str) -> None:
    """Write down that a worker has dropped a message because it has no such task."""
    statement(
        lambda: (
            Task.objects.queued()
            .filter(pk=task_id, sequence=sequence, unknown_since=None)
            .update(unknown_since=Now(), reason=f"{worker} does not know this task"[:500])
        )
    )


def audit() -> int:
    """Recompute runs in which nothing is active although they have no outcome; return how many."""
    moving = Task.objects.filter(run_id=OuterRef("pk")).steps().active().exclude(status=TaskStatus.PENDING)
    idle = Run.objects.filter(~Exists(moving), status=RunStatus.RUNNING, stop=Stop.NONE, paused_at=None)
    found = list(idle.select_related("version")[:BATCH])
    for run in found:
        logger.error("Run %s had no outcome and nothing to do; recomputed.", run.pk, extra={"run_id": run.pk})
        reset.recompute(run)
    return len(found)


def read(tasks: TaskQuerySet) -> list[Task]:
    """The rows with their runs and versions, as the ends of attempts take them; at most a batch."""
    heavy = (*HEAVY_TASK_FIELDS, "run__payload", "run__version__source")
    return list(tasks.select_related("run__version").defer(*heavy)[:BATCH])


def _lose(task: Task, why: str) -> bool:
    logger.warning(
        "Task %s of run %s lost its worker %s: %s.",
        task.step,
        task.run_id,
        task.worker,
        why,
        extra={"action": "lose", "run_id": str(task.run_id), "task": str(task.pk)},
    )
    failure = Failure(error=f"WorkerLost: {why}", outcome=Attempt.Outcome.LOST)
    return finish.lose(task, failure)


def _fail_unknown(task: Task) -> bool:
    failure = Failure(
        error=f"UnknownTask: no worker has known the task “{task.name}” for {director.UNKNOWN_TASK_TTL} s; "
        "start a worker that imports it, then retry the run"
    )
    return finish.fail_row(task, failure)


def _queue_waits() -> dict[str, float]:
    """Seconds that a message waits now, by queue: of queues in which something runs.

    The least that a running task has waited, for one that was published anew did not wait in a queue; and at least
    the time since the last start, for all workers may be busy.
    """
    running = Task.objects.running().filter(queued_at__isnull=False, started_at__isnull=False)
    least: dict[str, timedelta] = {}
    since: dict[str, timedelta] = {}
    columns = running.annotate(now=Now()).values_list("queue", "queued_at", "started_at", "now")
    for queue, queued_at, started_at, now in columns.order_by("-started_at")[:BATCH]:
        waited = started_at - queued_at
        least[queue] = min(waited, least.get(queue, waited))
        since.setdefault(queue, now - started_at)
    return {queue: max(least[queue], since[queue]).total_seconds() for queue in least}


def _next_delay(task: Task, waits: dict[str, float]) -> float:
    """A backlog must not be published over and over: wait for twice what the queue takes now.

    At most four times as long as before, for after an outage a queue looks worse than it is. Where nothing runs
    there may be no worker: each further message waits twice as long.
    """
    grace = float(director.DISPATCH_GRACE)
    if task.queue in waits:
        return max(grace, min(2.0 * round(waits[task.queue]), grace * 4.0 ** min(task.dispatches + 1, 16)))
    return min(grace * 2.0 ** min(task.dispatches, 16), MAX_GRACE)


def _postpone(chunk: list[UUID], delay: float) -> None:
    statement(
        lambda: (
            Task.objects.filter(pk__in=chunk)
            .queued()
            .update(next_dispatch_at=later(delay), dispatches=F("dispatches") + 1)
        )
    )
