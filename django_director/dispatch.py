"""The only place that publishes tasks to Celery.

A message says which task it is about and nothing else; the worker reads the rest from the database. Publishing
is bounded: a broker that is down or silent costs a caller a few seconds once, then nobody tries for a while, and
the supervisor sends what is due when the broker is back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast
from uuid import UUID

from celery import Celery, current_app
from kombu import pools
from kombu.exceptions import KombuError

from . import faults, ids, installation
from .conf import director
from .connecting import TIMEOUT, connect, connect_to_publish, mailbox

logger = logging.getLogger(__name__)

COOL_DOWN: Final = 5.0
"""Seconds in which nobody in this process tries again after a failure."""
BATCH: Final = 50
"""Messages that go to the broker together, where it can: the first shall not wait for the last."""
HEADER: Final = "director"
INSTALLATION: Final = "installation"
"""The key in our header that says whose a message is."""
KEPT: Final = ("priority", "correlation_id", "reply_to", "delivery_mode")
"""The properties of a message that it keeps when it is sent again."""
WHO_KNOWS: Final = "director_who_knows"
"""The remote control command that a worker answers with the tasks it knows."""
KILL: Final = "director_kill"
"""The remote control command by which a worker kills what it runs."""
ANSWER_SECONDS: Final = 2.0
"""How long workers have for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent for one task: about 1 kB on the wire, whatever the size of the workflow."""

    task_id: UUID
    sequence: int
    name: str
    queue: str
    run_id: UUID
    position: int
    version: str
    """The content hash of the definition."""
    map_index: int = -1
    """The item it is for; -1 outside of maps."""
    retries: int = 0
    time_limit: float | None = None
    """Seconds after which the worker ends it, in place of the task's own limit."""
    priority: int | None = None

    @property
    def header(self) -> dict[str, Any]:
        header = {"run": str(self.run_id), "position": self.position, "version": self.version}
        return header if self.map_index < 0 else header | {"index": self.map_index}


class _Breaker:
    """Remembers that the broker did not answer."""

    def __init__(self) -> None:
        self.until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self.until

    def trip(self) -> None:
        self.until = time.monotonic() + COOL_DOWN

    def reset(self) -> None:
        self.until = 0.0


breaker = _Breaker()


_withheld: ContextVar[tuple[Container[UUID] | None] | None] = ContextVar("director_withheld", default=None)


@contextlib.contextmanager
def withheld(runs: Container[UUID] | None = None) -> Iterator[None]:
    """Publish nothing in this block: somebody in this process runs the tasks (`local`, `testing`).

    With ``runs`` only those of these: what belongs to others, which their end may let start, counts as not sent.
    """
    token = _withheld.set((runs,))
    try:
        yield
    finally:
        _withheld.reset(token)


def publish(messages: Sequence[Message]) -> int:
    """Send messages in order; return how many were handed to the broker. Never raises for a broker's failure."""
    if (withheld_for := _withheld.get()) is not None:
        (own,) = withheld_for
        return len(messages) if own is None or all(message.run_id in own for message in messages) else 0
    if not messages or breaker.is_open:
        return 0
    sent, is_batch, declared = 0, False, set[str]()
    try:
        with _pool(os.getpid()).acquire(block=True, timeout=TIMEOUT) as producer:
            is_batch = len(messages) > 1 and getattr(producer, "supports_batch_publish", False)
            with producer.batch(max_size=BATCH) if is_batch else contextlib.nullcontext():
                for message in messages:
                    faults.point("publish.before")
                    _send(message, producer, declared)
                    sent += 1
                    faults.point("publish.half")
    except _broker_errors() as error:
        # Of a batch nobody knows what has arrived; to send twice is harmless.
        sent = 0 if is_batch else sent
        breaker.trip()
        logger.warning(
            "The broker did not take %d of %d messages (%s); they are sent when it answers again.",
            len(messages) - sent,
            len(messages),
            error.__class__.__name__,
            extra={"action": "publish"},
        )
    faults.point("publish.after")
    return sent


def send_again(
    body: Any, headers: Mapping[str, Any], queue: str, properties: Mapping[str, Any], **coding: Any
) -> bool:
    """Put a message that a worker has taken back into ``queue``; say whether the broker took it.

    ``coding`` says how ``body`` is encoded, or shall be, as Kombu wants it. Never raises for a broker's failure.
    """
    if breaker.is_open:
        return False
    kept = {key: properties[key] for key in KEPT if properties.get(key) is not None}
    # Kombu has undone a compression.
    others = {key: value for key, value in headers.items() if key != "compression"}
    try:
        with _pool(os.getpid()).acquire(block=True, timeout=TIMEOUT) as producer:
            coding |= {"compression": headers.get("compression"), "headers": others}
            # By the exchange without a name, which every queue has: another may lead to several queues.
            producer.publish(body, exchange="", routing_key=queue, retry=False, **kept, **coding)
    except _broker_errors() as error:
        breaker.trip()
        logger.warning("The broker did not take a message back (%s).", error.__class__.__name__)
        return False
    return True


def kill(message_ids: Sequence[str]) -> None:
    """Ask the workers to kill what runs under these Celery ids. Best effort, bounded like publishing."""
    app = _app()
    try:
        with connect(app) as connection:
            mailbox(app, connection).abcast(KILL, {"messages": list(message_ids)})
    except _broker_errors() as error:
        logger.warning("The broker did not take the order to kill (%s).", error.__class__.__name__)


def known(messages: Sequence[Message]) -> list[Message] | None:
    """Ask all workers; return those messages whose task one knows that takes from the queue they go to.

    ``None``: the broker did not take the question. A worker without remote control does not answer.
    """
    if breaker.is_open:
        return None
    app = _app()
    wanted = [[message.name, _queue_of(app, message)] for message in messages]
    try:
        with connect(app) as connection:
            asked = mailbox(app, connection)
            question = {"wanted": wanted, "whose": installation.current()}
            answers: Any = asked.multi_call(WHO_KNOWS, question, timeout=ANSWER_SECONDS)
    except _broker_errors() as error:
        breaker.trip()
        logger.warning("The broker did not take a question (%s).", error.__class__.__name__)
        return None
    # Of a worker that does not know the question the answer is an error, and no list.
    said = [places for answer in answers or () for places in answer.values() if isinstance(places, list)]
    return [messages[place] for place in sorted({place for places in said for place in places})]


def _queue_of(app: Celery, message: Message) -> str:
    """The queue that a message goes to; empty where its options name an exchange instead."""
    queue = app.amqp.router.route(_options(app, message), message.name).get("queue")
    return str(getattr(queue, "name", queue) or "")


def _send(message: Message, producer: Any, declared: set[str]) -> None:
    app = _app()
    options = _options(app, message)
    router: Any = app.amqp.router
    queue = options.get("queue", None if router.routes else "")
    if isinstance(queue, str):
        # Else a project's router chooses, perhaps another one for each message.
        if queue in declared:
            options["declare"] = []
        declared.add(queue)
    app.send_task(
        message.name,
        task_type=app.tasks.get(message.name),
        task_id=ids.message_id(message.task_id, message.sequence),
        headers={HEADER: message.header | {INSTALLATION: installation.current()}},
        retries=message.retries,
        producer=producer,
        retry=False,
        add_to_parent=False,
        # There are none: saying so spares Celery a fifth of the time that a message takes.
        argsrepr="()",
        kwargsrepr="{}",
        root_id=str(message.run_id),
        parent_id=str(message.run_id),
        **options,
    )


def _options(app: Celery, message: Message) -> dict[str, Any]:
    """The task's own options, as ``apply_async`` would take them, and the definition's queue."""
    task: Any = app.tasks.get(message.name)
    own: dict[str, Any] = task._get_exec_options() if task is not None else {}
    # A row does not expire: what its message would lose, the supervisor would send again.
    options = {key: value for key, value in own.items() if value is not None and key != "expires"}
    if message.queue:
        for key in ("exchange", "routing_key"):
            options.pop(key, None)
        options["queue"] = message.queue
    elif director.DEFAULT_QUEUE and not _is_routed(app, message.name, options):
        options["queue"] = director.DEFAULT_QUEUE
    if message.priority is not None:
        options["priority"] = message.priority
    if message.time_limit is not None:
        options["time_limit"] = message.time_limit
    elif director.TASK_TIME_LIMIT and not options.get("time_limit") and not app.conf.task_time_limit:
        options["time_limit"] = director.TASK_TIME_LIMIT
    return options


def _is_routed(app: Celery, name: str, options: dict[str, Any]) -> bool:
    return bool(options.get("queue") or options.get("exchange") or app.amqp.router.lookup_route(name))


def destination(name: str, queue: str) -> str:
    """Where the messages of a task go: a definition's ``queue``, or what Celery's options and routes say.

    A word to tell queues apart by, no more. Without a queue, tasks of one name are taken to share one.
    """
    if queue:
        return queue
    app = _app()
    task: Any = app.tasks.get(name)
    own: dict[str, Any] = task._get_exec_options() if task is not None else {}
    # As `send_task` asks, so that no router of a project meets anything new.
    route: Any = own if own.get("queue") else app.amqp.router.lookup_route(name, (), {}, {})
    if not route:
        return str(director.DEFAULT_QUEUE or app.conf.task_default_queue)
    chosen = route if isinstance(route, str) else route.get("queue")
    return str(getattr(chosen, "name", chosen) or name)


def _app() -> Celery:
    app: Any = current_app
    return cast("Celery", app._get_current_object())


def _broker_errors() -> tuple[type[BaseException], ...]:
    """What may be raised for a broker that is down, silent or out of order; depends on the transport."""
    known: list[type[BaseException]] = [KombuError, OSError]
    with contextlib.suppress(KombuError, ImportError, KeyError), _app().connection_for_write() as connection:
        known += [*connection.connection_errors, *connection.channel_errors]
    return tuple(known)


@cache
def _pool(pid: int) -> Any:
    # Keyed by process: a forked child must not write on its parent's socket.
    app = _app()
    connection = connect_to_publish(app)
    return pools.ProducerPool(connections=connection.Pool(limit=10), limit=10, Producer=app.amqp.Producer)
