"""Time limits that the supervisor keeps: of runs, and of attempts whose worker can't end them."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from billiard.exceptions import TimeLimitExceeded
from django.db.models import F

from django_director.db.functions import later
from django_director.db.transactions import BATCH, statement, transact, update_unlocked
from django_director.definitions import WorkflowStep
from django_director.engine.attempts import endings
from django_director.engine.attempts.failures import Failure
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.launch.orders import time_limit
from django_director.engine.queries import read_to_end, run_of
from django_director.engine.retry_policy import next_delay
from django_director.models import Attempt, Run, Task
from django_director.models.querysets import RunQuerySet
from django_director.status import Stop

MARGIN: Final = 2.0
"""Seconds left to the worker, which ends an attempt by killing its process where it can."""
QUIET: Final = 3.0
"""Seconds for which the database must have answered: a worker may be waiting to write that it has finished."""


def time_out_message(task_id: UUID, sequence: int, seconds: float) -> bool:
    """End the running task of a message from outside its process, which its time limit has killed."""
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    return sum(_time_out(task, seconds) for task in statement(partial(read_to_end, running))) > 0


def end_overdue_attempts() -> int:
    """End attempts whose time is up and that nothing has killed; return how many.

    Their code may run on, but it can't commit a result any more.
    """
    overdue = Task.objects.all_running().filter(deadline_at__lt=later(-MARGIN)).order_by("deadline_at")
    return work_on_each(read_to_end(overdue), lambda task: _time_out(task, _given(task)), run_of)


def stop_overdue_runs(runs: RunQuerySet | None = None) -> int:
    """Stop runs, or those of ``runs``, whose time is up; return how many."""
    chosen: RunQuerySet = Run.objects.all() if runs is None else runs
    chunk = list(chosen.overdue().order_by().values_list("pk", flat=True)[:BATCH])
    by_step = set(_timed_by_their_step(chunk)) if chunk else set()
    return _stop(list(by_step), Stop.STEP_TIMEOUT) + _stop([pk for pk in chunk if pk not in by_step], Stop.TIMEOUT)


def _stop(chunk: list[UUID], why: Stop) -> int:
    # Asked again: it may have been paused, or ended, since.
    return update_unlocked(Run.objects.filter(pk__in=chunk), lambda runs: runs.overdue().update(stop=why))


def _timed_by_their_step(chunk: list[UUID]) -> list[UUID]:
    """Return the overdue runs that are child runs whose step gave them less time than their own definition."""
    children = Run.objects.filter(pk__in=chunk, parent_task__isnull=False)
    found = children.select_related("version", "parent_task__run__version").defer("payload")
    return [child.pk for child in found if _is_timed_by_its_step(child)]


def _is_timed_by_its_step(child: Run) -> bool:
    step = child.parent_task
    limit = None if step is None else _step_limit(step)
    if step is None or limit is None or step.started_at is None or child.deadline_at is None:
        return False
    # A definition's own time may begin to count later, when there is a slot.
    is_shortest = limit == time_limit(child.version, limit)
    return is_shortest or child.deadline_at >= step.started_at + timedelta(seconds=limit)


def _step_limit(task: Task) -> float | None:
    step = task.run.version.graph.node(task.position).step
    return step.timeout if isinstance(step, WorkflowStep) else None


def _given(task: Task) -> float:
    """Return how many seconds a running task had: by its step, or else by its worker."""
    timeout = task.run.version.graph.node(task.position).timeout
    if timeout is not None:
        return float(timeout)
    if task.started_at is None or task.deadline_at is None:
        return 0
    return round((task.deadline_at - task.started_at).total_seconds(), 3)


def describe(seconds: float) -> str:
    """Return the error of an attempt that ran longer than ``seconds``."""
    return f"{TimeLimitExceeded.__name__}: it ran longer than {seconds:g} s"


def _time_out(task: Task, seconds: float) -> bool:
    failure = Failure(error=describe(seconds), outcome=Attempt.Outcome.TIMED_OUT)
    policy = task.run.version.graph.node(task.position).retry
    delay = None
    if policy is not None:
        delay = next_delay(policy, task.failures, TimeLimitExceeded, random.random())
    if delay is None:
        return transact(partial(endings.fail_row, task, failure, failures=F("failures") + 1))
    return transact(partial(endings.retry_row, task, failure, delay))
