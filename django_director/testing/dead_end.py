"""A broker that drops every message. It replaces the broker of a project while its code is tested."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from celery import Celery
from kombu import Connection
from kombu.transport import memory


class Channel(memory.Channel):
    """Drops each message: kombu's memory broker would keep it for the next test."""

    def _put(self, queue: str, message: object, **kwargs: object) -> None:
        pass

    def _put_fanout(
        self, exchange: str, message: object, routing_key: str | None = None, **kwargs: object
    ) -> None:
        pass


class Transport(memory.Transport):
    """The transport whose channels drop each message."""

    Channel = Channel


@contextlib.contextmanager
def in_place_of_broker(app: Celery) -> Iterator[None]:
    """Drop all messages that this app sends in the block, in any thread: calls of tasks and remote control."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(app, "connection_for_write", _connect))
        # Both of these keep connections that were made before the block.
        stack.enter_context(mock.patch.object(app, "_pool", None))
        stack.enter_context(mock.patch.object(app.amqp, "_producer_pool", None))
        yield


def _connect(url: str | None = None, **options: object) -> Connection:
    return Connection("memory://", transport=Transport)
