"""The remote control commands that workers answer; only workers import this module."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from celery import Celery
from celery.worker import state as worker_state
from celery.worker.control import Panel

from django_director.dispatch import installation
from django_director.dispatch.remote_control import KILL, WHO_KNOWS

from .losses import reporter

logger = logging.getLogger(__name__)


class PanelState(Protocol):
    """What Celery passes to each remote control command."""

    app: Celery
    consumer: Any
    """The ``Consumer`` of the worker, with its pool."""


class RunningRequest(Protocol):
    """The request of a task that this worker runs."""

    id: str
    name: str
    root_id: str | None

    def terminate(self, pool: object, signal: str) -> object:
        """End the process that runs the task."""


def who_knows(state: PanelState, wanted: list[list[str]], whose: str = "", **_: object) -> list[int]:
    """Return which tasks in ``wanted`` this worker could take, by their places in the list.

    Each item is the name of a task and that of a queue; an empty queue stands for any. Another installation, whose
    id ``whose`` is, gets an empty answer.
    """
    own = installation.known_id()
    if whose and own and whose != own:
        return []
    consumer = state.consumer.task_consumer
    queues = {queue.name for queue in consumer.queues} if consumer else set()
    return [
        place
        for place, (name, queue) in enumerate(wanted)
        if name in state.app.tasks and (not queue or queue in queues)
    ]


def kill(state: PanelState, messages: list[str], **_: object) -> None:
    """Kill the tasks that this worker runs under the Celery ids ``messages``.

    The engine is told of tasks that the pool can't kill.
    """
    requests: Any = worker_state.requests
    running = [requests[message] for message in messages if message in requests]
    left = [request.id for request in running if not _is_killed(request, state.consumer.pool)]
    if left:
        reporter.run_on(left)


def _is_killed(request: RunningRequest, pool: object) -> bool:
    try:
        request.terminate(pool, signal="SIGKILL")
    except NotImplementedError:
        logger.warning("The pool of this worker can't kill task %s: its code runs on.", request.id)
        return False
    logger.warning(
        "Task %s[%s] is ended: its run %s was canceled with force.",
        request.name,
        request.id,
        request.root_id,
        extra={"action": "kill", "run_id": request.root_id, "task": request.id},
    )
    return True


_panel: Any = Panel
_panel.register(name=WHO_KNOWS, type="inspect", visible=False)(who_knows)
_panel.register(name=KILL, type="control", visible=False)(kill)
