"""Puts messages of another installation that shares the broker back into their queue, and warns both sides.

Two projects, or staging and production, may use one broker and the same queues by mistake. A worker would take the
other's messages, find no rows for them, and drop them. The runs of the other would be delayed again and again,
until its supervisor sends the messages anew. So the consumer first finds out to which installation a message
belongs. It puts a foreign message back into its queue: at once the first times, and later each time after a longer
pause. After ``MOST`` times it drops the message, and the supervisor of its installation sends it again.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from celery import Celery, bootsteps
from kombu import Connection

from django_director.dispatch import installation, publisher
from django_director.dispatch.messages import BEAT_HEADER, HEADER, INSTALLATION

from .protocols import Consumer, Message

Strategy = Callable[..., object]
Acknowledge = Callable[[logging.Logger, object], object]

logger = logging.getLogger(__name__)

HANDED_ON: Final = "handed_on"
"""The key in the header for how often workers of other installations have put the message back."""
BY: Final = "by"
"""The key in the header for the name of the last of these workers."""
MOST: Final = 50
"""How often a message is put back: for about half a minute."""
FREE: Final = 2
"""How often a message is put back at once."""
SHORTEST: Final = 0.05
LONGEST: Final = 1.0
"""The first and the longest pause, in seconds, before a message is put back.

The pause doubles each time, so that a busy worker of the message's own installation can take it.
"""
PERIOD: Final = 60.0
"""Seconds between two equal warnings about one queue."""
UNKNOWN_PERIOD: Final = 5.0
"""Seconds between two tries of a worker to read its id.

Until it has one, it takes foreign messages for its own.
"""
BOOT_PATIENCE: Final = 5.0
PATIENCE: Final = 1.0
"""Seconds for which the main process of a worker waits for its id: as it starts, and later."""

_warned: dict[tuple[str, str], float] = {}


class Step(bootsteps.Step):
    """Makes the consumer of a worker find out to which installation each message belongs."""

    label = "Strangers"

    def create(self, consumer: Consumer) -> None:
        """Prepare the consumer, before it has its tasks and before the pool is forked."""
        installation.refresh_id(BOOT_PATIENCE)
        consumer.strategies = Strategies(Border(consumer))


class Strategies(dict[str, Strategy]):
    """Celery's functions that handle messages, by the task's name; each passes through the ``Border`` first."""

    def __init__(self, border: Border) -> None:
        super().__init__()
        self.border = border

    def __setitem__(self, name: str, strategy: Strategy) -> None:
        super().__setitem__(name, partial(self.border.handle, strategy))

    def __missing__(self, name: str) -> Strategy:
        return partial(self.border.handle, partial(self._drop, name))

    def _drop(self, name: str, message: Message, *_: object) -> None:
        # Raised and caught, as in Celery, because Celery logs the traceback of the error.
        try:
            raise KeyError(name)
        except KeyError as error:
            self.border.consumer.on_unknown_task(None, message, error)


class Border:
    """Separates foreign messages from others, in the main process of a worker, as soon as they come."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self._learned_at = time.monotonic()

    def handle(
        self, strategy: Strategy, message: Message, payload: object, ack: Acknowledge, *more: object
    ) -> object:
        """Call Celery's ``strategy`` for a message, unless it belongs to another installation."""
        header = header_of(message.headers or {})
        if header and self._is_foreign(header, message):
            self._refuse(message, header, ack)
            return None
        return strategy(message, payload, ack, *more)

    def _is_foreign(self, header: Mapping[str, Any], message: Message) -> bool:
        sender, own = header.get(INSTALLATION), installation.known_id()
        if sender and sender != own and time.monotonic() - self._learned_at > (PERIOD if own else UNKNOWN_PERIOD):
            # This installation may have another id now, or its first one.
            self._learned_at = time.monotonic()
            installation.refresh_id(PATIENCE)
            own = installation.known_id()
        if sender == own and count_of(header, HANDED_ON):
            self._warn_of_detour(message, header)
        # A worker that does not know its own id takes all messages. When it claims a task it finds out whose it
        # is.
        return bool(sender and own and sender != own)

    def _refuse(self, message: Message, header: Mapping[str, Any], ack: Acknowledge) -> None:
        times = count_of(header, HANDED_ON)
        queue = queue_of(self.consumer.app, message.delivery_info)
        warn(
            "This worker took a message of another installation of django-director from queue `%s` on %s; two "
            "projects share this broker: give each its own (database number, virtual host) or queues",
            queue,
            self.consumer.connection,
        )
        if times >= MOST or not queue:
            warn(
                "This worker drops messages of another installation of django-director from queue `%s` on %s, for "
                "they come back: no worker of theirs takes them",
                queue,
                self.consumer.connection,
            )
            self._acknowledge(ack)
        elif pause := hold_seconds(times):
            # Celery holds messages with a countdown in the same way: messages behind this one are not held up.
            self.consumer.qos.increment_eventually()
            self._send_after(pause, message, queue, ack)
        elif not self._send(message, queue):
            self.consumer.qos.increment_eventually()
            self._send_after(publisher.COOL_DOWN, message, queue, ack)
        else:
            self._acknowledge(ack)

    def _send_after(self, pause: float, message: Message, queue: str, ack: Acknowledge) -> None:
        self.consumer.timer.call_after(pause, self._send_held, (self.consumer.connection, message, queue, ack))

    def _send_held(self, connection: Connection, message: Message, queue: str, ack: Acknowledge) -> None:
        if self.consumer.connection is not connection:
            # The connection was lost meanwhile, so the broker delivers the message once more.
            return
        if not self._send(message, queue):
            self._send_after(publisher.COOL_DOWN, message, queue, ack)
            return
        self._acknowledge(ack)
        self.consumer.qos.decrement_eventually()

    def _send(self, message: Message, queue: str) -> bool:
        return publisher.send_again(
            message.body,
            mark_headers(message.headers, HANDED_ON, str(self.consumer.hostname)),
            queue,
            message.properties,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
        )

    def _acknowledge(self, ack: Acknowledge) -> None:
        ack(logger, self.consumer.connection_errors)

    def _warn_of_detour(self, message: Message, header: Mapping[str, Any]) -> None:
        warn(
            "A message from queue `%s` on %s was taken by %s first, a worker of another installation of "
            "django-director; two projects share this broker: give each its own (database number, virtual host) "
            "or queues",
            queue_of(self.consumer.app, message.delivery_info),
            self.consumer.connection,
            header.get(BY, "?"),
        )


def header_of(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return django-director's header of a message, for a task or for a schedule; empty if it has none."""
    found = headers.get(HEADER) or headers.get(BEAT_HEADER)
    return found if isinstance(found, dict) else {}


def count_of(header: Mapping[str, Any], key: str) -> int:
    """Return how often a message was put back, as its header says under ``key``; 0 if that is no number.

    Anybody may have sent the message.
    """
    found = header.get(key)
    return found if isinstance(found, int) else 0


def mark_headers(headers: Mapping[str, Any], key: str, worker: str) -> dict[str, Any]:
    """Return the headers of a message that ``worker`` puts back once more; ``key`` names the counter."""
    name = HEADER if headers.get(HEADER) else BEAT_HEADER
    header = headers[name]
    return {**headers, name: {**header, key: count_of(header, key) + 1, BY: worker}}


def queue_of(app: Celery, delivery_info: Mapping[str, Any] | None) -> str:
    """Return the name of the queue from which a message came; empty if its exchange does not tell."""
    info = delivery_info or {}
    exchange, routing_key = info.get("exchange") or "", str(info.get("routing_key") or "")
    if not exchange:
        return routing_key
    queues = app.amqp.queues.consume_from.values()
    found = (queue.name for queue in queues if (queue.exchange.name, queue.routing_key) == (exchange, routing_key))
    return str(next(found, ""))


def warn(text: str, queue: str, connection: Connection, *more: object) -> None:
    """Log a warning about a queue on a broker, each warning once in ``PERIOD``.

    The arguments of ``text`` are the queue, the broker's address without its user, and ``more``.
    """
    now = time.monotonic()
    if now - _warned.get((text, queue), -PERIOD) >= PERIOD:
        _warned[text, queue] = now
        broker = re.sub("//[^/]*@", "//", connection.as_uri())
        logger.warning(text, queue, broker, *more, extra={"action": "hand on"})


def hold_seconds(times: int) -> float:
    """Return for how many seconds a message is held that was put back ``times`` times already.

    A part of them is random: else each time the message comes back it might be this worker's turn to take it.
    """
    if times < FREE:
        return 0.0
    return random.uniform(0.5, 1) * float(min(SHORTEST * 2 ** (times - FREE), LONGEST))
