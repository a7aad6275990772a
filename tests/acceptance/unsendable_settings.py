"""Settings of workers that can't send everything: a missing queue, a queue that is another one, a bad router."""

from typing import Any

from kombu import Queue

from tests.acceptance.settings import *  # noqa: F403
from tests.acceptance.settings import DIRECTOR


def route(name: str, *_: Any, **__: Any) -> None:
    """A project's router with a mistake."""
    if name == "ECHO":
        raise LookupError("no route to ECHO")


DIRECTOR |= {"UNKNOWN_TASK_TTL": 6}
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_QUEUES = [Queue("celery"), Queue("taken")]
CELERY_TASK_ROUTES = [route]
