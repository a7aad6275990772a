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
from dataclasses import replace
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.db import connections
from kombu import pools

from django_director.common import failpoints, ids
from django_director.conf import director

from . import installation, refusals, routing
from .connections import TIMEOUT, connect, connect_to_publish, mailbox
from .messages import Message, Publication, Refusal
from .routing import AsRouted, Unroutable, destination, name_of

logger = logging.getLogger(__name__)

COOL_DOWN: Final = 5.0
"""Seconds in which nobody in this process tries again after a failure."""
BATCH: Final = 50
"""Messages that go to the broker together, where it can: the first shall not wait for the last."""
HEADER: Final = "director"
BEAT_HEADER: Final = "director_beat"
"""The header of messages that beat sends for schedules, which are about no task yet."""
INSTALLATION: Final = "installation"
"""The key in either header that says whose a message is."""
KEPT: Final = ("priority", "correlation_id", "reply_to", "delivery_mode")
"""The properties of a message that it keeps when it is sent again."""
WHO_KNOWS: Final = "director_who_knows"
"""The remote control command that a worker answers with the tasks it knows."""
KILL: Final = "director_kill"
"""The remote control command by which a worker kills what it runs."""
ANSWER_SECONDS: Final = 2.0
"""How long workers have for an answer."""


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


_silences = 0


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Let nothing go to the broker in this block, from whatever thread: a project's code is tested."""
    global _silences
    _silences += 1
    try:
        yield
    finally:
        _silences -= 1


def is_silent() -> bool:
    """Whether nothing is sent now: in a test, or in Celery's eager mode, which is for tests."""
    return _silences > 0 or bool(routing.app().conf.task_always_eager)


def _is_uncommitted() -> bool:
    """Whether the rows that a message would be about can't be seen by others.

    What is called after the commit is so called in a ``TestCase``, which rolls back, before there is any.
    """
    return connections[director.DATABASE].in_atomic_block


def publish(messages: Sequence[Message]) -> Publication:
    """Send messages in order. Never raises for a broker's failure, nor for a message that can't be sent."""
    if (withheld_for := _withheld.get()) is not None:
        (own,) = withheld_for
        is_own = own is None or all(message.run_id in own for message in messages)
        return Publication(sent=list(messages)) if is_own else Publication(untried=list(messages))
    if is_silent() or _is_uncommitted():
        return Publication(sent=list(messages))
    if not messages or breaker.is_open:
        return Publication(untried=list(messages))
    publication = Publication()
    try:
        with _producer() as producer:
            _Sending(producer, publication).all(messages)
    except _BrokerLost as error:
        breaker.trip()
        publication.untried += messages[len(publication.sent) + len(publication.refused) :]
        logger.warning(
            "The broker did not take %d of %d messages (%s); they are sent when it answers again.",
            len(publication.untried),
            len(messages),
            type(error.__cause__).__name__,
            extra={"action": "publish"},
        )
    refusals.report(publication.refused)
    failpoints.point("publish.after")
    return publication


class _BrokerLost(Exception):
    """No message can be sent; the cause says why."""


class _Sending:
    """Sends messages over one producer, as a batch where the broker has that."""

    def __init__(self, producer: Any, publication: Publication) -> None:
        self._producer = producer
        self._publication = publication
        self._declared: dict[str, Any] = {}
        self._refused: dict[tuple[str, str], Refusal] = {}
        """What was refused is not tried for each message of its kind: a refusal may take a round trip."""

    def all(self, messages: Sequence[Message]) -> None:
        """Send them in order. Raises ``_BrokerLost``."""
        is_batch = len(messages) > 1 and getattr(self._producer, "supports_batch_publish", False)
        if not is_batch:
            self._each(messages)
        elif not self._as_batch(messages):
            # The broker refuses one of them, nobody knows which; to send twice is harmless.
            self._declared.clear()
            self._each(messages)

    def _as_batch(self, messages: Sequence[Message]) -> bool:
        try:
            with self._producer.batch(max_size=BATCH):
                self._each(messages)
        except (_BrokerLost, refusals.BatchPublishError) as error:
            # Nobody knows what has arrived.
            self._publication.sent.clear()
            self._publication.refused.clear()
            if isinstance(error, _BrokerLost):
                raise
            self._raise_if_lost(error)
            return False
        return True

    def _each(self, messages: Sequence[Message]) -> None:
        for message in messages:
            failpoints.point("publish.before")
            refusal = self._send(message)
            if refusal is None:
                self._publication.sent.append(message)
            else:
                self._publication.refused.append(refusal)
            failpoints.point("publish.half")

    def _send(self, message: Message) -> Refusal | None:
        kind = message.name, message.queue
        if kind in self._refused:
            return replace(self._refused[kind], message=message)
        error = self._try(message)
        connection = self._producer.connection
        if error is not None and refusals.closes_channel(error, connection):
            # The one before may have spoiled the channel in which this one has met the error.
            connection.revive(None)
            self._producer.revive(connection)
            error = self._try(message)
        if error is None:
            return None
        queue = error.queue if isinstance(error, Unroutable) else destination(*kind)
        refusal = Refusal(
            message=message,
            why=refusals.text_of(error, queue),
            is_final=refusals.is_final(error, connection),
        )
        self._refused[kind] = refusal
        return refusal

    def _try(self, message: Message) -> Exception | None:
        """Send one and return what is wrong with it, if anything."""
        try:
            _send(message, self._producer, self._declared)
        except refusals.BatchPublishError:
            raise
        # What a project's routers, serializers and options may raise, as well as any broker.
        except Exception as error:
            self._raise_if_lost(error)
            return error
        return None

    def _raise_if_lost(self, error: Exception) -> None:
        if refusals.is_of_broker(error, self._producer.connection):
            raise _BrokerLost from refusals.cause_of(error)


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
    coding |= {"compression": headers.get("compression"), "headers": others}
    try:
        with _producer() as producer:
            # By the exchange without a name, which every queue has: another may lead to several queues.
            producer.publish(body, exchange="", routing_key=queue, retry=False, **kept, **coding)
    # Whatever it is, the message is not lost: it was not acknowledged, or its own supervisor sends it again.
    except Exception as error:
        breaker.trip()
        logger.warning("The broker did not take a message back (%s).", type(error.__cause__ or error).__name__)
        return False
    return True


def kill(message_ids: Sequence[str]) -> None:
    """Ask the workers to kill what runs under these Celery ids. Best effort, bounded like publishing."""
    if is_silent() or _is_uncommitted():
        return
    app = routing.app()
    try:
        with connect(app) as connection:
            mailbox(app, connection).abcast(KILL, {"messages": list(message_ids)})
    # A stop is carried out whatever a broker, or a project's own `control`, says to this.
    except Exception as error:
        logger.warning("The broker did not take the order to kill (%s).", type(error).__name__)


def answers() -> bool:
    """Say whether the broker can be reached; takes a few seconds at most."""
    try:
        with connect(routing.app()) as connection:
            connection.connect()
    # A transport may raise anything, also for a URL that it can't use.
    except Exception as error:
        logger.info("The broker does not answer (%s).", type(error).__name__)
        return False
    return True


def known(messages: Sequence[Message]) -> list[Message] | None:
    """Ask all workers; return those messages whose task one knows that takes from the queue they go to.

    ``None``: the broker did not take the question. A worker without remote control does not answer. What can't be
    routed is not asked for.
    """
    if breaker.is_open or is_silent():
        return None
    app = routing.app()
    places = {message: _queue_of(message) for message in messages}
    asked = [message for message, queue in places.items() if queue is not None]
    try:
        with connect(app) as connection:
            question = {
                "wanted": [[message.name, places[message]] for message in asked],
                "whose": installation.current(),
            }
            answers: Any = mailbox(app, connection).multi_call(WHO_KNOWS, question, timeout=ANSWER_SECONDS)
    # As above; nobody is taken for unknown then.
    except Exception as error:
        breaker.trip()
        logger.warning("The broker did not take a question (%s).", type(error).__name__)
        return None
    # Of a worker that does not know the question the answer is an error, and no list.
    said = [found for answer in answers or () for found in answer.values() if isinstance(found, list)]
    return [asked[place] for place in sorted({place for found in said for place in found})]


def _queue_of(message: Message) -> str | None:
    """The queue that a message goes to; empty where its options name an exchange instead, ``None`` for nowhere."""
    try:
        return name_of(routing.routed(message).get("queue"))
    except Unroutable:
        return None


def _send(message: Message, producer: Any, declared: dict[str, Any]) -> None:
    app: Any = routing.app()
    options = routing.routed(message)
    queue = options.get("queue")
    name = name_of(queue)
    if name and name in declared and declared[name] == queue:
        options["declare"] = []
    app.send_task(
        message.name,
        task_type=app.tasks.get(message.name),
        task_id=ids.message_id(message.task_id, message.sequence),
        headers={
            HEADER: message.header | {INSTALLATION: installation.current()},
            "ignore_result": options.pop("ignore_result", None),
        },
        # Said to Celery here, and not in the header to the worker: nobody in this process waits for the result.
        # Some backends would subscribe to it, which costs a round trip, fails when they are away, and is never
        # undone.
        ignore_result=True,
        retries=message.retries,
        producer=producer,
        router=AsRouted,
        retry=False,
        add_to_parent=False,
        # There are none: saying so spares Celery a fifth of the time that a message takes.
        argsrepr="()",
        kwargsrepr="{}",
        root_id=str(message.run_id),
        parent_id=str(message.run_id),
        **options,
    )
    declared[name] = queue


@contextlib.contextmanager
def _producer() -> Iterator[Any]:
    """A producer that is connected. Raises ``_BrokerLost``."""
    with contextlib.ExitStack() as stack:
        try:
            producer: Any = stack.enter_context(_pool(os.getpid()).acquire(block=True, timeout=TIMEOUT))
            # Connects: what is raised here is no message's doing.
            _ = producer.channel
        # A transport may raise anything, also for a URL that it can't use.
        except Exception as error:
            raise _BrokerLost from refusals.cause_of(error)
        yield producer


@cache
def _pool(pid: int) -> Any:
    # Keyed by process: a forked child must not write on its parent's socket.
    app = routing.app()
    connection = connect_to_publish(app)
    return pools.ProducerPool(connections=connection.Pool(limit=10), limit=10, Producer=app.amqp.Producer)
