"""A broker's worst day: takes what comes into one queue, and puts it into another thrice, shuffled, or not at all.

``python -m tests.acceptance.relay FROM TO SEED``, on the broker of the environment, until it is killed.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any, Final

import django
from celery import current_app
from kombu import Consumer, Producer

DROPPED: Final = 0.3
COPIES: Final = 3
WINDOW: Final = 0.3
"""Seconds in which messages are collected, to be shuffled."""


def relay(source: str, target: str, rng: random.Random) -> None:
    """Pass messages on for ever."""
    with current_app.connection_for_write() as connection, connection.channel() as channel:
        queues = [current_app.amqp.queues[name](channel) for name in (source, target)]
        for queue in queues:
            queue.declare()
        producer = Producer(channel)
        held: list[Any] = []
        with Consumer(channel, queues[:1], callbacks=[lambda body, message: held.append(message)]):
            print("ready", flush=True)
            while True:
                _collect(connection, time.monotonic() + WINDOW)
                taken, held[:] = held[:], []
                copies = [message for message in taken if rng.random() >= DROPPED] * COPIES
                rng.shuffle(copies)
                for message in copies:
                    _publish(producer, queues[1], message)
                for message in taken:
                    message.ack()
                if taken:
                    print(f"{len(taken)} came, {len(copies)} went", flush=True)


def _collect(connection: Any, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        try:
            connection.drain_events(timeout=left)
        except TimeoutError:
            return


def _publish(producer: Producer, queue: Any, message: Any) -> None:
    kept = {key: message.properties.get(key) for key in ("correlation_id", "reply_to")}
    producer.publish(
        message.body,
        exchange=queue.exchange,
        routing_key=queue.routing_key,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers,
        **{key: value for key, value in kept.items() if value is not None},
    )


if __name__ == "__main__":
    django.setup()
    from tests.testapp.celery import app

    app.set_current()
    relay(sys.argv[1], sys.argv[2], random.Random(sys.argv[3]))
