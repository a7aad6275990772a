"""How long a worker lets an attempt run, whoever says so: a message, a task, the settings, the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_director.engine.retry_policy import HIGHEST

if TYPE_CHECKING:
    from django_director.celery import DirectorTask

_of_worker: float | None = None


def note_worker(instance: Any, **_: Any) -> None:
    """Keep the limit that a worker was started with; what forks from it knows it too."""
    global _of_worker
    _of_worker = instance.time_limit


def limit_of(task: DirectorTask, request: Any) -> float | None:
    """Seconds after which Celery ends what ``task`` does by ``request``, where its pool can; ``None``: never."""
    if request.is_eager:
        return None
    limits = request.timelimit or (None,)
    seconds: Any = limits[0] or task.time_limit or _of_worker
    return min(float(seconds), HIGHEST) if seconds else None
