"""Whether the present code runs inside a Celery task, and so holds one of the slots of its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import _state

from .publisher import HEADER

if TYPE_CHECKING:
    from celery.app.task import Context


def is_in_task() -> bool:
    """Whether the present code runs inside a task that a worker, or a run in this process, has begun.

    A task that somebody has called as a function does not count.
    """
    state: Any = _state
    return any(_is_running(request) for task in state._task_stack.stack for request in task.request_stack.stack)


def _is_running(request: Context) -> bool:
    if request.called_directly:
        return False
    # An eager task uses its caller's time and holds no slot. But if it is part of a run, this process runs all
    # tasks of the run, so nobody else could do what it waits for.
    return not request.is_eager or HEADER in (request.headers or {})
