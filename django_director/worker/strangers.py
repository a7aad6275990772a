"""Messages of another installation that shares the broker: handed on at once, and both sides are told.

Two projects, or staging and production, may use one broker and the same queues by mistake. A worker would take the
other's messages, find no rows, and drop them; the other's runs would wait for the grace again and again. So the
consumer looks whose a message is before anything else, and puts a foreign one back into its queue, sooner at
first and later the oftener that happened. After ``MOST`` times it is dropped: its own supervisor sends it again.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from celery import bootsteps

from django_director.dispatch import installation, publisher
from django_director.dispatch.messages import BEAT_HEADER, HEADER, INSTALLATION

if TYPE_CHECKING:
    StrategiesByName = dict[str, Any]
else:
    StrategiesByName = dict

logger = logging.getLogger(__name__)

HANDED_ON: Final = "handed_on"
"""How often strangers have handed a message on."""
BY: Final = "by"
"""The name of the last of them."""
MOST: Final = 50
"""So often a message is handed on: for about half a minute."""
FREE: Final = 2
"""So often at once."""
SHORTEST: Final = 0.05
LONGEST: Final = 1.0
"""Seconds for which it is held then: twice as long each time, so that a busy worker of its own may get to it."""
PERIOD: Final = 60.0
"""Seconds between two warnings of one kind about one queue."""
UNKNOWN_PERIOD: Final = 5.0
"""Seconds until a worker asks again who it is: it takes the messages of others until it knows."""
BOOT_PATIENCE: Final = 5.0
PATIENCE: Final = 1.0
"""Seconds for which the main process waits for the database to say who it is: as it starts, and later."""

_warned: dict[tuple[str, str], float] = {}


class Step(bootsteps.Step):
    """Lets a worker's consumer look whose a message is."""

    label = "Strangers"

    def create(self, consumer: Any) -> None:
        """Before the consumer has its tasks, and before the pool is forked."""
        installation.refresh_id(BOOT_PATIENCE)
        consumer.strategies = Strategies(Border(consumer))


class Strategies(StrategiesByName):
    """What a consumer does with messages, by the name of their task: none without a look at whose they are."""

    def __init__(self, border: Border) -> None:
        super().__init__()
        self.border = border

    def __setitem__(self, name: str, strategy: Callable[..., Any]) -> None:
        super().__setitem__(name, partial(self.border.meet, strategy))

    def __missing__(self, name: str) -> Callable[..., Any]:
        return partial(self.border.meet, partial(self._drop, name))

    def _drop(self, name: str, message: Any, *_: Any) -> None:
        # As Celery does, which says where the error was.
        try:
            raise KeyError(name)
        except KeyError as error:
            self.border.consumer.on_unknown_task(None, message, error)


class Border:
    """Where a consumer meets messages: in the main process of a worker, before anything is done for them."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self._learned_at = time.monotonic()

    def meet(self, strategy: Callable[..., Any], message: Any, payload: Any, ack: Any, *more: Any) -> Any:
        """Do what Celery does with a message, unless it is of another installation."""
        header = header_of(message.headers or {})
        if header and self._is_foreign(header, message):
            return self._refuse(message, header, ack)
        return strategy(message, payload, ack, *more)

    def _is_foreign(self, header: Mapping[str, Any], message: Any) -> bool:
        sender, own = header.get(INSTALLATION), installation.known_id()
        if sender and sender != own and time.monotonic() - self._learned_at > (PERIOD if own else UNKNOWN_PERIOD):
            # Our database may have got another id, or one at all.
            self._learned_at = time.monotonic()
            installation.refresh_id(PATIENCE)
            own = installation.known_id()
        if sender == own and counted(header, HANDED_ON):
            self._complain(message, header)
        # Who does not know itself takes everything; whoever claims it will find out that it is not here.
        return bool(sender and own and sender != own)

    def _refuse(self, message: Any, header: Mapping[str, Any], ack: Callable[..., Any]) -> None:
        times = counted(header, HANDED_ON)
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
            self._settle(ack)
        elif pause := delay(times):
            # As Celery holds messages with a countdown: what comes behind is not held up.
            self.consumer.qos.increment_eventually()
            self._later(pause, message, queue, ack)
        elif not self._send(message, queue):
            self.consumer.qos.increment_eventually()
            self._later(publisher.COOL_DOWN, message, queue, ack)
        else:
            self._settle(ack)

    def _later(self, pause: float, *what: Any) -> None:
        self.consumer.timer.call_after(pause, self._send_held, (self.consumer.connection, *what))

    def _send_held(self, connection: Any, message: Any, queue: str, ack: Callable[..., Any]) -> None:
        if self.consumer.connection is not connection:
            # The connection was lost meanwhile, and the broker delivers the message once more.
            return
        if not self._send(message, queue):
            self._later(publisher.COOL_DOWN, message, queue, ack)
            return
        self._settle(ack)
        self.consumer.qos.decrement_eventually()

    def _send(self, message: Any, queue: str) -> bool:
        return publisher.send_again(
            message.body,
            marked(message.headers, HANDED_ON, str(self.consumer.hostname)),
            queue,
            message.properties,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
        )

    def _settle(self, ack: Callable[..., Any]) -> None:
        ack(logger, self.consumer.connection_errors)

    def _complain(self, message: Any, header: Mapping[str, Any]) -> None:
        warn(
            "A message from queue `%s` on %s was taken by %s first, a worker of another installation of "
            "django-director; two projects share this broker: give each its own (database number, virtual host) "
            "or queues",
            queue_of(self.consumer.app, message.delivery_info),
            self.consumer.connection,
            header.get(BY, "?"),
        )


def header_of(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Our header of a message, for a task or for a schedule; empty for a message that is none of ours."""
    found = headers.get(HEADER) or headers.get(BEAT_HEADER)
    return found if isinstance(found, dict) else {}


def counted(header: Mapping[str, Any], key: str) -> int:
    """How often a message was handed on, as its header says; it may be anybody's."""
    found = header.get(key)
    return found if isinstance(found, int) else 0


def marked(headers: Mapping[str, Any], key: str, worker: str) -> dict[str, Any]:
    """The headers of a message that is handed on once more, by ``worker``."""
    name = HEADER if headers.get(HEADER) else BEAT_HEADER
    header = headers[name]
    return {**headers, name: {**header, key: counted(header, key) + 1, BY: worker}}


def queue_of(app: Any, delivery_info: Mapping[str, Any] | None) -> str:
    """The queue that a message came from; empty where its exchange does not tell."""
    info = delivery_info or {}
    exchange, routing_key = info.get("exchange") or "", str(info.get("routing_key") or "")
    if not exchange:
        return routing_key
    queues = app.amqp.queues.consume_from.values()
    found = (queue.name for queue in queues if (queue.exchange.name, queue.routing_key) == (exchange, routing_key))
    return str(next(found, ""))


def warn(text: str, queue: str, connection: Any, *more: Any) -> None:
    """Warn of what happens in a queue on a broker, whose user is left out; the same once in ``PERIOD``."""
    now = time.monotonic()
    if now - _warned.get((text, queue), -PERIOD) >= PERIOD:
        _warned[text, queue] = now
        broker = re.sub("//[^/]*@", "//", connection.as_uri())
        logger.warning(text, queue, broker, *more, extra={"action": "hand on"})


def delay(times: int) -> float:
    """Seconds for which a message is held that was handed on so often.

    Some of them at random: else the turn in the queue may be ours each time it comes back.
    """
    if times < FREE:
        return 0.0
    return random.uniform(0.5, 1) * float(min(SHORTEST * 2 ** (times - FREE), LONGEST))
