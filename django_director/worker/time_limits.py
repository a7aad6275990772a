"""How long a worker lets an attempt run: by its message, its task, the settings, or the worker's command line."""

from __future__ import annotations

from typing import Any, Final

from celery.app.task import Context

from django_director.engine.retry_policy import HIGHEST

from .protocols import StepTask, Worker

SPAN: Final = 10.0
"""Seconds after which a batch begins no further task, if its tasks have a time limit."""

_of_worker: float | None = None
_soft_of_worker: float | None = None


def note_worker(instance: Worker, **_: object) -> None:
    """Receive ``celeryd_after_setup``: keep the time limit of the worker, also for the processes that it forks."""
    global _of_worker, _soft_of_worker
    _of_worker = instance.time_limit
    _soft_of_worker = instance.soft_time_limit


def is_limited(task: StepTask, request: Context) -> bool:
    """Whether Celery ends the work on a message after some time, or raises an error in it."""
    own: Any = task
    limits = (*(request.timelimit or ()), own.time_limit, own.soft_time_limit, _of_worker, _soft_of_worker)
    return not request.is_eager and any(limits)


def of_batch(task: Any) -> tuple[float | None, float | None]:
    """Return the hard and the soft time limit of a batch's message: that of each task, and ``SPAN``."""
    limits = (task.time_limit or _of_worker, task.soft_time_limit or _soft_of_worker)
    hard, soft = (limit + SPAN if limit else None for limit in limits)
    return hard, soft


def limit_of(task: StepTask, request: Context) -> float | None:
    """Return after how many seconds Celery ends an attempt, if its pool can do that; ``None``: never."""
    if request.is_eager:
        return None
    limits = request.timelimit or (None,)
    seconds: Any = limits[0] or task.time_limit or _of_worker
    return min(float(seconds), HIGHEST) if seconds else None
