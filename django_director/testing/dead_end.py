"""A broker that takes every message and delivers none, in place of a project's own while its code is tested."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from celery import Celery
from kombu import Connection
from kombu.transport import memory


class Channel(memory.Channel):
    """Forgets what it is given: in the memory of the process it would be there for the next test."""

    def _put(self, queue: str, message: object, **kwargs: object) -> None:
        pass

    def _put_fanout(
        self, exchange: str, message: object, routing_key: str | None = None, **kwargs: object
    ) -> None:
        pass


class Transport(memory.Transport):
    """Where the messages go."""

    Channel = Channel


@contextlib.contextmanager
def in_place_of_broker(app: Celery) -> Iterator[None]:
    """Let all that this app sends in the block end here, from whatever thread: calls of tasks, remote control."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(app, "connection_for_write", _connect))
        # Both keep connections that were made before.
        stack.enter_context(mock.patch.object(app, "_pool", None))
        stack.enter_context(mock.patch.object(app.amqp, "_producer_pool", None))
        yield


def _connect(url: str | None = None, **options: object) -> Connection:
    return Connection("memory://", transport=Transport)
