"""Whether the code that runs now is a Celery task's, and so holds one of its worker's slots."""

from __future__ import annotations

from typing import Any

from celery import _state

from .publisher import HEADER


def is_in_task() -> bool:
    """Whether a worker's message, or a run in this process, has led here; a task that was called as a function
    is none."""
    state: Any = _state
    return any(_is_running(request) for task in state._task_stack.stack for request in task.request_stack.stack)


def _is_running(request: Any) -> bool:
    if request.called_directly:
        return False
    # An eager task is its caller's own time, but for one of a run: nobody else does what it waits for.
    return not request.is_eager or HEADER in (request.headers or {})
