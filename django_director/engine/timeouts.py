"""Time limits that are not a worker's to keep: of attempts whose process is gone or can't be killed."""

from __future__ import annotations

import random
from functools import partial
from uuid import UUID

from billiard.exceptions import TimeLimitExceeded
from django.db.models import F

from django_director.models import Attempt, Task
from django_director.retrying import next_delay

from . import finish
from .finish import Failure
from .recovery import read
from .transactions import transact


def time_out_message(task_id: UUID, sequence: int, seconds: float) -> bool:
    """End the running task of a message from outside its process, which its time limit has killed."""
    running = Task.objects.running().filter(pk=task_id, sequence=sequence)
    return sum(_time_out(task, seconds) for task in read(running)) > 0


def _time_out(task: Task, seconds: float) -> bool:
    error = f"TimeLimitExceeded: it ran longer than {seconds:g} s"
    failure = Failure(error=error, outcome=Attempt.Outcome.TIMED_OUT)
    policy = task.run.version.graph.node(task.position).step.retry
    delay = None
    if policy is not None:
        delay = next_delay(policy, task.failures, TimeLimitExceeded, random.random())
    if delay is None:
        return transact(partial(finish.fail_row, task, failure, failures=F("failures") + 1))
    return transact(partial(finish.retry_row, task, failure, delay))
