"""Timers: steps wait in the database until a time, without a worker."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.utils import timezone

from django_director.db.functions import Now, later
from django_director.db.transactions import WORKER_PATIENCE, connection, in_transaction, statement
from django_director.engine.attempts import endings
from django_director.engine.attempts.claim import Claim
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.queries import read_to_end, run_of
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import TaskStatus

from . import approvals


def wait(claim: Claim, seconds: float) -> bool:
    """Let a claimed task wait for ``seconds`` without a worker, and then succeed."""
    waiting = partial(endings.suspend, claim, deadline_at=later(seconds))
    return statement(waiting, patience=WORKER_PATIENCE)


def now(claim: Claim) -> datetime:
    """Return the present time by the database's clock, with a time zone."""
    row = Task.objects.filter(pk=claim.task_id).values_list(Now(), flat=True)
    moment: datetime = statement(row.get, patience=WORKER_PATIENCE)
    if timezone.is_aware(moment):
        return moment
    # `USE_TZ = False` leaves it out, and only PostgreSQL converts.
    own = connection().vendor == "postgresql"
    return moment.replace(tzinfo=timezone.get_default_timezone() if own else UTC)


def fire(tasks: TaskQuerySet | None = None) -> int:
    """End waits whose time is up, and decide on approvals whose time is up; return how many."""
    chosen: TaskQuerySet = Task.objects.all() if tasks is None else tasks
    due = chosen.waiting().filter(deadline_at__lte=Now()).order_by("deadline_at")
    return work_on_each(read_to_end(due.annotate(as_of=Now())), _fire, run_of)


def end_waits(tasks: TaskQuerySet) -> int:
    """End the waits among ``tasks`` at once; return how many."""
    waiting = tasks.waiting().filter(deadline_at__isnull=False, asked_at=None)
    return sum(_fire(task) for task in read_to_end(waiting))


@in_transaction()
def _fire(task: Any) -> bool:
    kind = task.run.version.graph.node(task.position).kind
    if kind == "wait":
        return endings.end_waiting(task, TaskStatus.SUCCESS)
    return kind == "approval" and approvals.time_out(task, task.as_of)
