"""What a worker answers when the supervisor asks all of them; imported in workers only."""

from __future__ import annotations

from typing import Any

from celery.worker.control import Panel

from . import installation
from .dispatch import WHO_KNOWS


def who_knows(state: Any, wanted: list[list[str]], whose: str = "", **_: Any) -> list[int]:
    """Answer with the places in ``wanted`` of what this worker takes and knows; none to another installation.

    Each is a task's name and a queue's; an empty queue stands for any.
    """
    own = installation.known()
    if whose and own and whose != own:
        return []
    consumer = state.consumer.task_consumer
    queues = {queue.name for queue in consumer.queues} if consumer else set()
    return [
        place
        for place, (name, queue) in enumerate(wanted)
        if name in state.app.tasks and (not queue or queue in queues)
    ]


_panel: Any = Panel
_panel.register(name=WHO_KNOWS, type="inspect", visible=False)(who_knows)
