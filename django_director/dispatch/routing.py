"""Where the messages of a task go, and with which options: what Celery's settings and the definition say.

A project's routers are asked here, and may raise anything.
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
    """What a project's code or settings make of a message can't be sent; the cause says why."""

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self.queue = queue
        """Where it should go, as far as that is known; else empty."""


class AsRouted:
    """Stands in for Celery's router where it was asked before."""

    @staticmethod
    def route(options: dict[str, Any], *_: Any) -> dict[str, Any]:
        """The options as they are."""
        return options


def said(error: BaseException) -> str:
    """What an error says; a ``KeyError``, as Celery's for an unknown queue is, would put it in quotes."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def app() -> Celery:
    """The project's Celery app."""
    proxy: Any = current_app
    return cast("Celery", proxy._get_current_object())


def routed(message: Message) -> dict[str, Any]:
    """The options with which a message is sent, its ``queue`` among them. Raises ``Unroutable``."""
    celery = app()
    queue = message.queue
    try:
        chosen = options(celery, message)
        queue = name_of(chosen.get("queue"))
        # Celery keeps these from routers too.
        kept = {key: chosen.pop(key) for key in UNROUTED & chosen.keys()}
        router: Any = celery.amqp.router
        found: dict[str, Any] = router.route(chosen, message.name, None, None, celery.tasks.get(message.name))
        return found | kept
    # A router, or a task class, of the project.
    except Exception as error:
        raise Unroutable(queue) from error


def options(celery: Celery, message: Message) -> dict[str, Any]:
    """The task's own options, as ``apply_async`` would take them, and the definition's queue."""
    found = own_options(celery, message.name)
    # A row does not expire: what its message would lose, the supervisor would send again.
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
    """Keep Celery from running Django's checks while it imports tasks: one of them is what reads the files."""
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
    """Import the project's tasks, once in a process: a web server has no reason to, and yet sends them."""
    try:
        with without_checks():
            celery.loader.import_default_modules()
    # The project's modules are run here; `check` tells what is wrong with them.
    except Exception as error:
        logger.warning("The project's tasks can't be imported, so that their own options are not known: %s", error)


def own_options(celery: Celery, name: str) -> dict[str, Any]:
    """The options that a task's decorator names."""
    if name not in celery.tasks:
        _import_tasks(celery)
    task: Any = celery.tasks.get(name)
    own: dict[str, Any] = task._get_exec_options() if task is not None else {}
    return {key: value for key, value in own.items() if value is not None}


def refused_queue(name: str, queue: str) -> str | None:
    """The queue for which Celery would refuse a task of this name, sent with a definition's ``queue``.

    ``None``: it would not, or a project's router can't be asked now, as it may need a database.
    """
    nobody = UUID(int=0)
    message = Message(task_id=nobody, run_id=nobody, sequence=0, position=0, version="", name=name, queue=queue)
    try:
        routed(message)
    except Unroutable as error:
        refused = _MISSING.search(said(error.__cause__)) if isinstance(error.__cause__, QueueNotFound) else None
        return refused and (refused[1] or error.queue)
    return None


def destination(name: str, queue: str) -> str:
    """Where the messages of a task go: a definition's ``queue``, or what Celery's options and routes say.

    A word to tell queues apart by, no more. Where the queue's name is not known, tasks of one name are taken to
    share one.
    """
    return queue_of(name, queue) or name


def queue_of(name: str, queue: str) -> str:
    """The name of that queue; empty where options name an exchange in its place, and where a router fails."""
    try:
        return queue or _queue_of(app(), name)
    # Whoever sends one of them says what is wrong; to look at queues must harm nobody else's.
    except Exception:
        return ""


def _queue_of(celery: Celery, name: str) -> str:
    own = own_options(celery, name)
    if own.get("exchange") and not own.get("queue"):
        return ""
    # As `send_task` asks, so that no router of a project meets anything new.
    route: Any = own if own.get("queue") else celery.amqp.router.lookup_route(name, (), {}, {})
    if not route:
        return str(director.DEFAULT_QUEUE or celery.conf.task_default_queue)
    return name_of(route if isinstance(route, str) else route.get("queue"))


def name_of(queue: Any) -> str:
    """The name of a queue that Celery has by name or as an object; empty for none."""
    return str(getattr(queue, "name", queue) or "")


def _is_routed(celery: Celery, name: str, found: dict[str, Any]) -> bool:
    return bool(found.get("queue") or found.get("exchange") or celery.amqp.router.lookup_route(name))
