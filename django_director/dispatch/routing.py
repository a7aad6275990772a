"""To which queue the messages of a task go, and with which options: by Celery's settings and the definition.

A project's routers are called here, and may raise any error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, cast
from uuid import UUID

from celery import Celery, current_app
from celery.exceptions import QueueNotFound

from django_director.conf import director

from .messages import Message

logger = logging.getLogger(__name__)

SKIP_CHECKS: Final = "CELERY_SKIP_CHECKS"
_MISSING: Final = re.compile(r"^Queue '(.+)' missing from task_queues$")
UNROUTED: Final = frozenset({"time_limit", "soft_time_limit", "ignore_result"})


class Unroutable(Exception):
    """A message can't be routed because of the project's code or settings; the cause says why."""

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self.queue = queue
        """The name of the queue to which the message should go, if it is known; else empty."""


class AsRouted:
    """A router for options that Celery's router has returned already."""

    @staticmethod
    def route(options: dict[str, Any], *_: object) -> dict[str, Any]:
        """Return the options unchanged."""
        return options


def error_message(error: BaseException) -> str:
    """Return the message of an error, without the quotes that ``str`` puts around that of a ``KeyError``.

    Celery raises a ``KeyError`` for an unknown queue.
    """
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def app() -> Celery:
    """Return the project's Celery app."""
    proxy: Any = current_app
    return cast("Celery", proxy._get_current_object())


def route(message: Message) -> dict[str, Any]:
    """Return the options with which a message is sent, its ``queue`` among them. Raises ``Unroutable``."""
    celery = app()
    queue = message.queue
    try:
        chosen = options(celery, message)
        queue = name_of(chosen.get("queue"))
        # Celery does not give these options to routers either.
        kept = {key: chosen.pop(key) for key in UNROUTED & chosen.keys()}
        router: Any = celery.amqp.router
        found: dict[str, Any] = router.route(chosen, message.name, None, None, celery.tasks.get(message.name))
        return found | kept
    # A router or a task class of the project may raise any error.
    except Exception as error:
        raise Unroutable(queue) from error


def options(celery: Celery, message: Message) -> dict[str, Any]:
    """Return the options of a message before it is routed, as for ``apply_async``.

    They are the task's own options, changed by what the definition and the settings say.
    """
    found = own_options(celery, message.name)
    # A task's row does not expire: if its message did, the supervisor would send it again.
    found.pop("expires", None)
    if message.queue:
        for key in ("exchange", "routing_key"):
            found.pop(key, None)
        found["queue"] = message.queue
    elif director.DEFAULT_QUEUE and not _is_routed(celery, message.name, found):
        found["queue"] = director.DEFAULT_QUEUE
    if message.priority is not None:
        found["priority"] = message.priority
    if message.time_limit is not None:
        found["time_limit"] = message.time_limit
    elif director.TASK_TIME_LIMIT and not found.get("time_limit") and not celery.conf.task_time_limit:
        found["time_limit"] = director.TASK_TIME_LIMIT
    return found


@contextlib.contextmanager
def without_checks() -> Iterator[None]:
    """Keep Celery in this block from running Django's checks when it imports tasks.

    One of these checks reads the workflow files, and imports the tasks for that.
    """
    before = os.environ.get(SKIP_CHECKS)
    os.environ[SKIP_CHECKS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SKIP_CHECKS]
        else:
            os.environ[SKIP_CHECKS] = before


@cache
def _import_tasks(celery: Celery) -> None:
    """Import the project's tasks, once in a process. A web server that sends tasks may not have imported them."""
    try:
        with without_checks():
            celery.loader.import_default_modules()
    # The project's modules may raise any error; `manage.py check` reports it.
    except Exception as error:
        logger.warning("The project's tasks can't be imported, so that their own options are not known: %s", error)


def own_options(celery: Celery, name: str) -> dict[str, Any]:
    """Return the options that a task has by its decorator; empty for an unknown task."""
    if name not in celery.tasks:
        _import_tasks(celery)
    task: Any = celery.tasks.get(name)
    own: dict[str, Any] = task._get_exec_options() if task is not None else {}
    return {key: value for key, value in own.items() if value is not None}


def refused_queue(name: str, queue: str) -> str | None:
    """Return the queue for which Celery would refuse a task of this name, sent with a definition's ``queue``.

    ``None`` if Celery would not refuse it, or if a router of the project raises an error: it may need a database.
    """
    nobody = UUID(int=0)
    message = Message(task_id=nobody, run_id=nobody, sequence=0, position=0, version="", name=name, queue=queue)
    try:
        route(message)
    except Unroutable as error:
        if isinstance(error.__cause__, QueueNotFound) and (
            refused := _MISSING.search(error_message(error.__cause__))
        ):
            return refused[1] or error.queue
    return None


def destination(name: str, queue: str) -> str:
    """Return a text that tells the queues of tasks apart: the queue's name, or the task's if that is not known.

    So tasks of one name whose queue is not known count as tasks of one queue.
    """
    return queue_of(name, queue) or name


def queue_of(name: str, queue: str) -> str:
    """Return the queue of a task: the definition's ``queue``, or the one that Celery's options and routes name.

    Empty where options name an exchange in place of a queue, and where a router fails.
    """
    try:
        return queue or _queue_of(app(), name)
    # A router of the project may raise any error. It is reported when a message is sent.
    except Exception:
        return ""


def _queue_of(celery: Celery, name: str) -> str:
    own = own_options(celery, name)
    if own.get("exchange") and not own.get("queue"):
        return ""
    # `send_task` calls the router with these arguments too; the project's routers are made for them.
    route: Any = own if own.get("queue") else celery.amqp.router.lookup_route(name, (), {}, {})
    if not route:
        return str(director.DEFAULT_QUEUE or celery.conf.task_default_queue)
    return name_of(route if isinstance(route, str) else route.get("queue"))


def name_of(queue: object) -> str:
    """Return the name of a queue that is given by its name or as Kombu's object; empty for ``None``."""
    return str(getattr(queue, "name", queue) or "")


def _is_routed(celery: Celery, name: str, found: dict[str, Any]) -> bool:
    return bool(found.get("queue") or found.get("exchange") or celery.amqp.router.lookup_route(name))
