"""How long a worker lets an attempt run: by its message, its task, the settings, or the worker's command line."""

from __future__ import annotations

from typing import Any

from celery.app.task import Context

from django_director.engine.retry_policy import HIGHEST

from .protocols import StepTask, Worker

_of_worker: float | None = None


def note_worker(instance: Worker, **_: object) -> None:
    """Receive ``celeryd_after_setup``: keep the time limit of the worker, also for the processes that it forks."""
    global _of_worker
    _of_worker = instance.time_limit


def limit_of(task: StepTask, request: Context) -> float | None:
    """Return after how many seconds Celery ends an attempt, if its pool can do that; ``None``: never."""
    if request.is_eager:
        return None
    limits = request.timelimit or (None,)
    seconds: Any = limits[0] or task.time_limit or _of_worker
    return min(float(seconds), HIGHEST) if seconds else None
