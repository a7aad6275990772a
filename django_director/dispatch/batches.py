"""Sends a batch of messages over one connection to the broker, and tells which of them it has refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from django_director.common import failpoints, ids

from . import installation, refusals, routing
from .messages import HEADER, INSTALLATION, Message, Publication, Refusal
from .routing import AsRouted, name_of

if TYPE_CHECKING:
    from kombu import Producer


SIZE: Final = 50
"""How many messages go to the broker together, where it can: the first must not wait for the last."""


class BrokerLost(Exception):
    """The broker takes no message at all now; the cause says why."""


class Batch:
    """Sends messages over one producer, together where the broker can take several at a time.

    What becomes of each message is written to ``publication``.
    """

    def __init__(self, producer: Producer, publication: Publication) -> None:
        self._producer: Any = producer
        """Without its type: the stubs of Kombu do not have all that is used of it."""
        self._publication = publication
        self._declared: dict[str, Any] = {}
        self._refused: dict[tuple[str, str], Refusal] = {}
        """The first refusal for each task's name and queue. Further messages of that kind are not tried: they
        would be refused too, and a refusal may take a round trip."""

    def send(self, messages: Sequence[Message]) -> None:
        """Send the messages in order. Raises ``BrokerLost``."""
        is_batch = len(messages) > 1 and getattr(self._producer, "supports_batch_publish", False)
        if not is_batch:
            self._send_each(messages)
        elif not self._send_together(messages):
            # The broker has refused one of them, and does not say which. To send the others twice is harmless.
            self._declared.clear()
            self._send_each(messages)

    def _send_together(self, messages: Sequence[Message]) -> bool:
        try:
            with self._producer.batch(max_size=SIZE):
                self._send_each(messages)
        except (BrokerLost, refusals.BatchPublishError) as error:
            # Some of the messages may have arrived, but the broker does not say which.
            self._publication.sent.clear()
            self._publication.refused.clear()
            if isinstance(error, BrokerLost):
                raise
            self._raise_if_lost(error)
            return False
        return True

    def _send_each(self, messages: Sequence[Message]) -> None:
        for message in messages:
            failpoints.point("publish.before")
            refusal = self._send_one(message)
            if refusal is None:
                self._publication.sent.append(message)
            else:
                self._publication.refused.append(refusal)
            failpoints.point("publish.half")

    def _send_one(self, message: Message) -> Refusal | None:
        kind = message.name, message.queue
        if kind in self._refused:
            return replace(self._refused[kind], message=message)
        error = self._try(message)
        connection = self._producer.connection
        if error is not None and refusals.closes_channel(error, connection):
            # An earlier message may have broken the channel, so that this one met its error.
            connection.revive(None)
            self._producer.revive(connection)
            error = self._try(message)
        if error is None:
            return None
        refusal = self._refused[kind] = refusals.refusal_of(message, error, connection)
        return refusal

    def _try(self, message: Message) -> Exception | None:
        """Send one message; return the error for which it can't be sent, or ``None``. Raises ``BrokerLost``."""
        try:
            send(message, self._producer, self._declared)
        except refusals.BatchPublishError:
            raise
        # A project's routers, serializers and options may raise any error, and so may the broker.
        except Exception as error:
            self._raise_if_lost(error)
            return error
        return None

    def _raise_if_lost(self, error: Exception) -> None:
        if refusals.is_of_broker(error, self._producer.connection):
            raise BrokerLost from refusals.cause_of(error)


def send(message: Message, producer: Producer, declared: dict[str, Any]) -> None:
    """Send one message over ``producer``. Raises ``Unroutable``, and any error of the broker.

    ``declared`` holds the queues that were declared already over this producer, by name: they are not declared
    again.
    """
    app: Any = routing.app()
    options = routing.route(message)
    queue = options.get("queue")
    name = name_of(queue)
    if name and name in declared and declared[name] == queue:
        options["declare"] = []
    app.send_task(
        message.name,
        task_type=app.tasks.get(message.name),
        task_id=ids.message_id(message.task_id, message.sequence),
        headers={
            HEADER: message.header | {INSTALLATION: installation.current_id()},
            "ignore_result": options.pop("ignore_result", None),
        },
        # This is for Celery in this process, where nobody waits for the result; the worker reads the header above.
        # Else some result backends would subscribe to the result, which costs a round trip, fails when they are
        # away, and is never undone.
        ignore_result=True,
        retries=message.retries,
        producer=producer,
        router=AsRouted,
        retry=False,
        add_to_parent=False,
        # The message has no arguments. Without these texts Celery would make them, in a fifth of a message's time.
        argsrepr="()",
        kwargsrepr="{}",
        root_id=str(message.run_id),
        parent_id=str(message.run_id),
        **options,
    )
    declared[name] = queue
