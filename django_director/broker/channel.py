"""Kombu's channel, which reads and writes the broker's rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any, Final
from uuid import UUID

from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments  # type: ignore[attr-defined]

from .codec import UNDECODABLE, Undecodable, decode, encode
from .errors import CONNECTION_ERRORS

logger = logging.getLogger(__name__)

Payload = dict[str, Any]
"""A message as kombu has it."""

TRANSIENT_TTL: Final = 60.0
"""For how many seconds a transient queue is kept at least, if it has no consumer that holds messages."""
_TOUCH: Final = TRANSIENT_TTL / 3
_SPARE: Final = 4
"""How many messages are read beyond those that are wanted: other consumers may claim some of them first."""


class QoS(virtual.QoS):
    """The messages that were delivered and are not settled yet. To settle one changes its row at once."""

    # Kombu's published types lack some of these attributes.
    channel: Any
    _delivered: Any
    _flush: Callable[[], None]

    def ack(self, delivery_tag: str) -> None:
        self._settle(delivery_tag, requeue=False)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._settle(delivery_tag, requeue=requeue)

    def _settle(self, delivery_tag: str, *, requeue: bool) -> None:
        super().ack(delivery_tag)
        self.channel.settle(delivery_tag, requeue=requeue)

    def restore_unacked(self) -> Any:
        """Give all messages back, when the channel closes.

        An error does no harm: other consumers will free them.
        """
        self._flush()
        try:
            self.channel.settle_pending()
            self.channel.release(list(self._delivered))
        except CONNECTION_ERRORS as error:
            logger.warning("Could not give messages back now; the next consumer frees them: %s", error)
        self._delivered.clear()
        return []


class Channel(virtual.Channel):
    """A channel of the broker. It publishes with the connection that Django has for the calling thread."""

    QoS = QoS
    supports_fanout = True
    connection: Any
    """The ``Transport`` of this package; ``None`` once the channel is closed."""

    def __init__(self, connection: Any, **kwargs: object) -> None:
        self.store = connection.store
        self._silent: set[str] = set()
        self._consumed: set[str] = set()
        self._pending: dict[str, bool] = {}
        self._transient: dict[str, float] = {}
        self._touch_at = 0.0
        super().__init__(connection, **kwargs)

    # Publishing

    def _put(self, queue: str, message: Payload, **kwargs: object) -> None:
        self._store_message([queue], message)

    def _put_fanout(self, exchange: str, message: Payload, routing_key: str, **kwargs: object) -> None:
        queues = {queue for _, _, queue in self.get_table(exchange)}
        if queues:
            self._store_message(sorted(queues), message)

    def _store_message(self, queues: list[str], message: Payload) -> None:
        self.store.put(queues, self._get_message_priority(message, reverse=True), encode(message))

    # Receiving

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[..., object] | None,
        consumer_tag: str | None,
        **kwargs: object,
    ) -> Any:
        if no_ack:
            self._silent.add(queue)
        else:
            self._silent.discard(queue)
            self.connection.holder.ensure()
        self._consumed.add(queue)
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)
        self.connection.start_polling()

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: object) -> virtual.Message | None:
        if not no_ack:
            self.connection.holder.ensure()
        self.connection.holder.tend()
        for payload in self._receive(queue, 1, no_ack=no_ack):
            message = self.Message(payload, channel=self)
            if not no_ack:
                self.qos.append(message, payload["properties"]["delivery_tag"])
            return message
        return None

    def _get(self, queue: str, timeout: float | None = None) -> Payload:
        for payload in self._receive(queue, 1, no_ack=queue in self._silent):
            return payload
        raise Empty

    def _get_and_deliver(self, queue: str, callback: Callable[..., object]) -> None:
        most = self.connection.batch
        if self.qos.prefetch_count:
            most = min(most, self.qos.can_consume_max_estimate())
        delivered = 0
        for payload in self._receive(queue, most, no_ack=queue in self._silent):
            delivered += 1
            callback(payload, queue)
        if not delivered:
            raise Empty

    def _receive(self, queue: str, most: int, *, no_ack: bool) -> Iterator[Payload]:
        """Yield up to ``most`` messages; each is claimed only when the caller asks for it."""
        for pk, body, deliveries in self.store.first(queue, most + _SPARE):
            if most < 1:
                return
            payload = self._decode(queue, pk, body)
            if payload is None or not self._claim(pk, payload, no_ack=no_ack):
                continue
            payload["properties"]["delivery_info"]["redelivered"] = deliveries > 0
            most -= 1
            yield payload

    def _decode(self, queue: str, pk: int, body: str) -> Payload | None:
        try:
            return decode(body)
        except Undecodable as error:
            self.store.set_aside(pk)
            logger.error(
                "Message %d of queue %r can't be read (%s). It is kept in queue %r.", pk, queue, error, UNDECODABLE
            )
            return None

    def _claim(self, pk: int, payload: Payload, *, no_ack: bool) -> bool:
        if no_ack:
            return bool(self.store.take(pk))
        owner = self.connection.holder.ensure()
        payload["properties"]["delivery_tag"] = f"{pk}/{owner}"
        return bool(self.store.claim(pk, owner))

    # Settling

    def settle(self, delivery_tag: str, *, requeue: bool) -> None:
        """Remove a message, or give it back. If that fails it is tried again at the next poll."""
        self._pending[delivery_tag] = requeue
        self.settle_pending()
        if self.connection is not None:
            self.connection.wake()

    def settle_pending(self) -> None:
        """Remove or give back all messages for which that has not succeeded yet."""
        for tag, requeue in list(self._pending.items()):
            if requeue:
                self.release([tag])
            else:
                self._remove(tag)
            self._pending.pop(tag, None)

    def _remove(self, delivery_tag: str) -> None:
        pk, owner = _parse(delivery_tag)
        if not self.store.settle(pk, owner):
            logger.warning("Message %d was not this consumer's any more when it was settled", pk)

    def release(self, delivery_tags: list[str]) -> None:
        """Give messages back to their places in their queues."""
        by_owner: dict[UUID, list[int]] = {}
        for tag in delivery_tags:
            pk, owner = _parse(tag)
            by_owner.setdefault(owner, []).append(pk)
        for owner, pks in by_owner.items():
            self.store.release(pks, owner)

    def tend(self) -> None:
        """Settle messages for which that has failed, and keep this channel's transient queues."""
        self.settle_pending()
        if self._transient and time.monotonic() >= self._touch_at:
            self._touch_at = time.monotonic() + _TOUCH
            for queue in set(self._transient).intersection(self._active_queues):
                self._keep(queue)

    # Queues

    def prepare_queue_arguments(self, arguments: dict[str, Any] | None, **kwargs: object) -> dict[str, Any]:
        """Return the arguments of a queue under the names that RabbitMQ has for them."""
        prepared: dict[str, Any] = to_rabbitmq_queue_arguments(arguments or {}, **kwargs)
        return prepared

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        expires = (kwargs.get("arguments") or {}).get("x-expires")
        if expires or kwargs.get("auto_delete") or kwargs.get("exclusive"):
            self._transient[queue] = max((expires or 0) / 1000, TRANSIENT_TTL)
            self.store.declare(queue, self._transient[queue], self.connection.holder.id)

    def _keep(self, queue: str) -> None:
        seconds, owner = self._transient[queue], self.connection.holder.id
        if self.store.touch(queue, seconds, owner):
            return
        self.store.declare(queue, seconds, owner)
        for exchange, routing_key, _ in self.state.queue_bindings(queue):
            self.store.bind(exchange, routing_key, queue)

    def _has_queue(self, queue: str, **kwargs: object) -> bool:
        return bool(self.store.exists(queue))

    def _size(self, queue: str) -> int:
        return int(self.store.size(queue))

    def _purge(self, queue: str) -> int:
        return int(self.store.purge(queue))

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: object) -> None:
        """Remove a queue with its bindings and messages; with ``if_empty`` only if it has no messages."""
        if if_empty and self._size(queue):
            return
        self._transient.pop(queue, None)
        self.store.drop(queue)
        self.state.queue_bindings_delete(queue)
        self.connection.unsaved = [row for row in self.connection.unsaved if row[2] != queue]

    # Bindings

    def get_table(self, exchange: str) -> list[Any]:
        """Return the bindings of an exchange, also those of other processes."""
        rows = list(self.store.bindings(exchange))
        rows += [(routing_key, queue) for name, routing_key, queue in self.connection.unsaved if name == exchange]
        prepare = self.typeof(exchange).prepare_bind
        return [prepare(queue, exchange, routing_key, None) for routing_key, queue in rows]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: object, queue: str) -> None:
        if self.store.in_transaction:
            # Other processes that create the same binding would have to wait for the caller's transaction. So the
            # binding is not stored: the consumer of the queue will do that, and this process remembers it.
            self.connection.unsaved.append((exchange, routing_key, queue))
        else:
            self.store.bind(exchange, routing_key, queue)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        """Remove the binding of a queue to an exchange."""
        self.state.binding_delete(queue, exchange or "", routing_key)
        row = (exchange or "", routing_key, queue)
        self.connection.unsaved = [other for other in self.connection.unsaved if other != row]
        self.store.unbind(*row)

    def close(self) -> None:
        """Close the channel, and remove the transient queues from which it has taken messages."""
        if not self.closed:
            for queue in self._consumed & set(self._transient):
                self._drop_quietly(queue)
        super().close()

    def _drop_quietly(self, queue: str) -> None:
        try:
            self.queue_delete(queue)
        except CONNECTION_ERRORS as error:
            logger.warning("Could not remove queue %r now; the next consumer does it: %s", queue, error)


def _parse(delivery_tag: str) -> tuple[int, UUID]:
    pk, _, owner = delivery_tag.partition("/")
    return int(pk), UUID(owner)
