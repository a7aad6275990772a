"""What the supervisor does about rows that are due. Doing any of it twice is harmless."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Subquery

from django_director.common import failpoints
from django_director.conf import MAX_GRACE, director
from django_director.db.compiled import TEXT, Param, Select, prepared
from django_director.db.functions import Now, later
from django_director.db.lock_limits import avoided, each
from django_director.db.transactions import BATCH, PATIENCE, statement, transact, update_unlocked
from django_director.dispatch import publisher, refusals, routing
from django_director.engine import outbox, pausing, stopping
from django_director.engine.attempts import finish
from django_director.engine.attempts.finish import Failure
from django_director.engine.reset import recompute
from django_director.models import Attempt, Lease, Run, Task, UnwrittenOutcome
from django_director.models.querysets import HEAVY_TASK_FIELDS, TaskQuerySet
from django_director.status import RunStatus, Stop, TaskStatus

from . import backlog, due_tasks, probes
from .due_tasks import DueTask

logger = logging.getLogger(__name__)

EARLY_BATCHES: Final = 20
"""How many batches one tick puts off before it publishes one."""


class Due(NamedTuple):
    """Which of the things for every tick have something to do, and whether tasks are under way."""

    waking: bool = True
    publishing: bool = True
    stopping: bool = True
    closing: bool = True
    ending: bool = True
    firing: bool = True
    admitting: bool = True
    reporting: bool = True
    writing: bool = True
    in_queue: bool = True
    in_work: bool = True
    delayed: bool = True

    @property
    def is_idle(self) -> bool:
        """Whether no task is queued, runs, or is to be tried again. Waits and approvals may be under way."""
        return not (self.in_queue or self.in_work or self.delayed)


def look(lease: str) -> Due:
    """Ask what is due, in one query beside the row of the lease; everything may be where that is not there."""
    rows = _looking().rows(lease=lease)
    return Due(*(value is not None for value in rows[0])) if rows else Due()


@prepared
def _looking() -> Select:
    # The first in the order of its index, not EXISTS: a database might think it quicker to read the table.
    firsts = {
        "waking": Task.objects.waiting().filter(not_before__lte=Now()).order_by("not_before").values("not_before"),
        "publishing": Task.objects.queued()
        .filter(next_dispatch_at__lte=Now())
        .order_by("next_dispatch_at")
        .values("next_dispatch_at"),
        "stopping": Run.objects.overdue().order_by("deadline_at").values("deadline_at"),
        "closing": Run.objects.stopping().order_by("stop").values("stop"),
        # Any will do. Only when it reads the index in its order does PostgreSQL mark the entries of tasks that
        # have ended, to read them no more; else each look would read them all until the next vacuum.
        "ending": Task.objects.all_running()
        .filter(deadline_at__lte=Now())
        .order_by("lease_until")
        .values("deadline_at"),
        "firing": Task.objects.waiting()
        .filter(deadline_at__lte=Now())
        .order_by("deadline_at")
        .values("deadline_at"),
        "admitting": Run.objects.due_for_admission().order_by("next_admission_at").values("next_admission_at"),
        "reporting": Run.objects.reporting().order_by("finished_at").values("finished_at"),
        "writing": UnwrittenOutcome.objects.order_by("created_at").values("created_at"),
        "in_queue": Task.objects.all_queued().order_by("next_dispatch_at").values("next_dispatch_at"),
        "in_work": Task.objects.all_running().order_by("lease_until").values("lease_until"),
        "delayed": Task.objects.waiting()
        .filter(not_before__isnull=False)
        .order_by("not_before")
        .values("not_before"),
    }
    columns = {name: Subquery(rows[:1]) for name, rows in firsts.items()}
    return Select(Lease.objects.filter(name=Param("lease", TEXT)).annotate(**columns).values_list(*columns))


def wake() -> int:
    """Queue waiting tasks whose time has come, due at once; return how many."""
    due = Task.objects.waiting().filter(not_before__lte=Now()).order_by("not_before")
    return update_unlocked(due, _wake)


def wake_tasks(tasks: TaskQuerySet) -> int:
    """Queue those of ``tasks`` that wait, due at once; return how many."""
    return statement(partial(_wake, tasks))


def _wake(tasks: TaskQuerySet) -> int:
    return tasks.waiting().update(
        status=TaskStatus.QUEUED,
        sequence=F("sequence") + 1,
        not_before=None,
        queued_at=Now(),
        next_dispatch_at=Now(),
        dispatches=0,
    )


def publish_due(watch: backlog.Watch | None = None) -> int:
    """Publish queued tasks that are due, oldest first; return how many the broker took.

    ``BATCH`` of them, or more: there may be more. That is never said for tasks that a worker did not know: their
    offers are bounded by the ticks, for a worker drops them faster than another can take them. Whoever asks again
    and again gives the same ``watch``; without one a queue is believed to be as it looks now.
    """
    watch = watch or backlog.Watch(looks=1)
    watch.begin()
    probes.release(watch)
    published = 0
    for _ in range(EARLY_BATCHES):
        found = due_tasks.due(BATCH)
        wanted = _without_paused(found)
        if not wanted or publisher.breaker.is_open:
            break
        tasks, early = _divide(wanted, watch)
        for delay, chunk in early.items():
            _postpone(chunk, delay, wanted[0].as_of)
        sent, refused = _publish(tasks, watch.waits)
        published += sent
        if sent >= BATCH // 2 or len(found) < BATCH or not (early or refused):
            break
    return published if len(found) == BATCH else min(published, BATCH - 1)


def _divide(found: list[DueTask], watch: backlog.Watch) -> tuple[list[DueTask], dict[float, list[UUID]]]:
    """Those to publish now, and those that are left alone for so many seconds: their messages wait in a queue."""
    queues = {kind: routing.destination(*kind) for kind in {task.kind for task in found if task.is_sent}}
    doubtful = watch.doubtful(queues.values())
    tasks: list[DueTask] = []
    early: defaultdict[float, list[UUID]] = defaultdict(list)
    for task in found:
        queue = queues[task.kind] if task.is_sent else None
        wait = None if queue is None else watch.waits.get(queue)
        if wait is not None and wait.explains(task.age):
            early[wait.until_next_look].append(task.pk)
        elif queue is None or wait is not None:
            tasks.append(task)
        elif queue in doubtful:
            continue
        elif task.pk in probes.of(watch, queue):
            tasks.append(task)
        else:
            early[MAX_GRACE].append(task.pk)
    return tasks, early


def _publish(tasks: list[DueTask], waits: backlog.Waits) -> tuple[int, int]:
    """Publish these; return how many the broker took, and how many can't be sent."""
    if not tasks:
        return 0, 0
    messages, unreadable = due_tasks.messages(tasks)
    failpoints.point("supervise.claimed")
    publication = publisher.publish(messages)
    failpoints.point("supervise.published")
    sent = {message.task_id for message in publication.sent}
    by_changes: defaultdict[tuple[float, bool], list[UUID]] = defaultdict(list)
    for task in tasks:
        if task.pk in sent:
            wait = backlog.delay(task.name, task.queue, task.dispatches, waits)
            by_changes[wait, task.unsendable_since is not None].append(task.pk)
    for (wait, is_again), chunk in by_changes.items():
        changes = {"unsendable_since": None, "reason": ""} if is_again else {}
        _postpone(chunk, wait, tasks[0].as_of, dispatches=F("dispatches") + 1, **changes)
    refusals.report(unreadable)
    refused = [*publication.refused, *unreadable]
    outbox.put_off(refused)
    return len(sent), len(refused)


def _without_paused(tasks: list[DueTask]) -> list[DueTask]:
    """Those that may start; the others are parked."""
    held = {task.pk for task in tasks if task.is_held}
    pausing.park_ids(held)
    return [task for task in tasks if task.pk not in held]


def close_stopped() -> int:
    """Settle what stopped runs have not started, and close those in which nothing is active any more."""
    stopped = Run.objects.stopping().exclude(pk__in=avoided()).values_list("pk", flat=True)
    return each(list(stopped[:BATCH]), stopping.carry_on, lambda run_id: run_id)


def expire_leases(
    is_steady: Callable[[], bool] = lambda: True, confirmed: Callable[[list[Task]], list[Task]] = list
) -> int:
    """Take running tasks from workers that gave no sign for a lease; return how many.

    ``is_steady`` is asked after they were read: where the answer took long, the workers could not renew either.
    ``confirmed`` says which are to be taken now.
    """
    lapsed = read(Task.objects.running().filter(lease_until__lt=Now()))
    if not is_steady():
        return 0
    lapsed = confirmed(lapsed)
    why = f"it gave no sign for {director.LEASE} s"
    return each(lapsed, lambda task: lose(task, why), run_of)


def lose_message(task_id: UUID, sequence: int, why: str, *, patience: float = PATIENCE) -> bool:
    """Take the running task of a message from its worker, which is known to be gone.

    For ``patience`` see ``transact``. Each try reads the row anew: meanwhile its lease may be renewed.
    """
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    return transact(lambda: any(lose(task, why) for task in read(running)), patience=patience)


def requeue(task_id: UUID, sequence: int, why: str) -> bool:
    """Queue a task again under its next message, if it is still queued by this one, which will not come to it.

    The present message is of no use to it: Celery drops whatever has the id of one that was revoked.
    """
    queued = Task.objects.filter(
        pk=task_id, sequence=sequence, next_dispatch_at__lt=later(pausing.PARKED)
    ).queued()
    changes = {"sequence": F("sequence") + 1, "next_dispatch_at": outbox.UNSENT, "dispatches": 0}
    is_queued = bool(statement(lambda: queued.update(**changes)))
    if is_queued:
        logger.warning(
            "Task %s is sent again: %s.", task_id, why, extra={"action": "requeue", "task": str(task_id)}
        )
    return is_queued


def audit() -> int:
    """Recompute runs in which nothing is active although they have no outcome; return how many."""
    moving = Task.objects.filter(run_id=OuterRef("pk")).steps().active().exclude(status=TaskStatus.PENDING)
    # A map that waits does not move by itself.
    moving = moving.exclude(status=TaskStatus.WAITING, map_count__isnull=False)
    idle = Run.objects.filter(~Exists(moving), status=RunStatus.RUNNING, stop=Stop.NONE, paused_at=None)
    found = list(idle.select_related("version")[:BATCH])
    return each(found, _recompute, lambda run: run.pk)


def _recompute(run: Run) -> int:
    recompute.recompute(run)
    logger.error("Run %s had no outcome and nothing to do; recomputed.", run.pk, extra={"run_id": str(run.pk)})
    return 1


def run_of(task: Task) -> UUID:
    """The id of the run that a task belongs to."""
    return task.run_id


def read(tasks: TaskQuerySet) -> list[Task]:
    """A batch of rows with what it takes to end them."""
    # The definition too: the graph that is compiled from it is kept, and each row would bring one of its own.
    heavy = (*HEAVY_TASK_FIELDS, "run__payload", "run__version__source", "run__version__definition")
    if locked := avoided():
        tasks = tasks.exclude(run__in=locked)
    return list(tasks.select_related("run__version").defer(*heavy)[:BATCH])


def lose(task: Task, why: str) -> bool:
    if not finish.lose(task, loss(why)):
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


def _postpone(chunk: list[UUID], delay: float, as_of: datetime, **changes: Any) -> None:
    # What a worker has said since, that it does not know the task, stands.
    due = Task.objects.filter(pk__in=chunk, next_dispatch_at__lte=as_of).queued()
    changes |= {"next_dispatch_at": later(delay)}
    update_unlocked(due, lambda tasks: tasks.filter(next_dispatch_at__lte=as_of).queued().update(**changes))
