"""Publishes messages for tasks: nothing else in the package sends tasks to Celery.

A message names its task and nothing else; the worker reads the rest from the database. Publishing takes limited
time: a broker that is down or silent costs one caller a few seconds. After that this process does not try for a
while, and the supervisor sends the messages that are due when the broker is back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import connections
from kombu import pools

from django_director.common import failpoints
from django_director.conf import director

from . import refusals, routing
from .batches import Batch, BrokerLost
from .connections import TIMEOUT, connect_to_publish
from .messages import HEADER as HEADER
from .messages import Message as Message
from .messages import Publication

if TYPE_CHECKING:
    from kombu.pools import ProducerPool


logger = logging.getLogger(__name__)

COOL_DOWN: Final = 5.0
"""For how many seconds after a failure this process does not try to publish again."""
KEPT: Final = ("priority", "correlation_id", "reply_to", "delivery_mode")
"""The properties of a message that it keeps when it is sent again."""


class _Breaker:
    """Remembers for ``COOL_DOWN`` seconds that the broker did not answer."""

    def __init__(self) -> None:
        self.until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing is to be sent now."""
        return time.monotonic() < self.until

    def trip(self) -> None:
        """Note that the broker has just not answered."""
        self.until = time.monotonic() + COOL_DOWN

    def reset(self) -> None:
        """Forget it: messages may be sent at once."""
        self.until = 0.0


breaker = _Breaker()


_withheld: ContextVar[tuple[Container[UUID] | None] | None] = ContextVar("director_withheld", default=None)


@contextlib.contextmanager
def withheld(runs: Container[UUID] | None = None) -> Iterator[None]:
    """Publish nothing in this block, because this process runs the tasks itself (`worker.local`, `testing`).

    Messages count as sent. With ``runs`` only messages of these runs do; messages of other runs, which may start
    when one of these ends, count as not sent.
    """
    token = _withheld.set((runs,))
    try:
        yield
    finally:
        _withheld.reset(token)


_silences = 0


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Let no thread of this process send anything to the broker in this block: for tests of a project's code."""
    global _silences
    _silences += 1
    try:
        yield
    finally:
        _silences -= 1


def is_silent() -> bool:
    """Whether nothing is sent now: in a test of a project, or in Celery's eager mode, which is for tests."""
    return _silences > 0 or bool(routing.app().conf.task_always_eager)


def is_uncommitted() -> bool:
    """Whether the row of a message may not be committed yet, so that a worker would not see it.

    The engine publishes after the commit. But inside a ``TestCase``, which is rolled back in the end, functions
    that are to be called after the commit may be called before there is any.
    """
    return connections[director.DATABASE].in_atomic_block


def publish(messages: Sequence[Message]) -> Publication:
    """Send messages in order; return what became of each.

    It raises nothing when the broker fails, or when a message can't be sent.
    """
    if (withheld_for := _withheld.get()) is not None:
        (own,) = withheld_for
        is_own = own is None or all(message.run_id in own for message in messages)
        return Publication(sent=list(messages)) if is_own else Publication(untried=list(messages))
    if is_silent() or is_uncommitted():
        return Publication(sent=list(messages))
    if not messages or breaker.is_open:
        return Publication(untried=list(messages))
    publication = Publication()
    try:
        with _producer() as producer:
            Batch(producer, publication).send(messages)
    except BrokerLost as error:
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


def send_again(
    body: object, headers: Mapping[str, Any], queue: str, properties: Mapping[str, Any], **coding: object
) -> bool:
    """Put a message that a worker has taken back into ``queue``; return whether the broker took it.

    ``coding`` are Kombu's options that say how ``body`` is encoded, or is to be encoded. It raises nothing when
    the broker fails.
    """
    if breaker.is_open:
        return False
    kept = {key: properties[key] for key in KEPT if properties.get(key) is not None}
    # Kombu has decompressed the body; it is to be compressed again in the way the header says.
    others = {key: value for key, value in headers.items() if key != "compression"}
    coding |= {"compression": headers.get("compression"), "headers": others}
    try:
        with _producer() as producer:
            # The exchange without a name leads to the one queue of that name; others may lead to several queues.
            producer.publish(body, exchange="", routing_key=queue, retry=False, **kept, **coding)
    # Any error may come. The message is not lost: it was not acknowledged, or its own supervisor sends it again.
    except Exception as error:
        breaker.trip()
        logger.warning("The broker did not take a message back (%s).", type(error.__cause__ or error).__name__)
        return False
    return True


@contextlib.contextmanager
def _producer() -> Iterator[Any]:
    """Lend a producer that is connected to the broker. Raises ``BrokerLost``."""
    with contextlib.ExitStack() as stack:
        try:
            producer: Any = stack.enter_context(_pool(os.getpid()).acquire(block=True, timeout=TIMEOUT))
            # This connects. An error here is the broker's, and not that of a message.
            _ = producer.channel
        # A transport may raise any error, also for a URL that it can't use.
        except Exception as error:
            raise BrokerLost from refusals.cause_of(error)
        yield producer


@cache
def _pool(pid: int) -> ProducerPool:
    # A forked process has another `pid`, and so gets a pool of its own: it must not write on its parent's socket.
    app = routing.app()
    connection = connect_to_publish(app)
    return pools.ProducerPool(connections=connection.Pool(limit=10), limit=10, Producer=app.amqp.Producer)
