"""Kombu's transport ``director://``, which polls the database: often while there are messages, rarely otherwise.

It takes part in Celery's event loop by a timer, as Celery's main transports do by their sockets. A blocking loop
would hold up remote control while all processes of a pool are busy, and would put threads beside a pool that
forks. Where there is no event loop (kombu's own consumers, replies, gevent), ``drain_events`` waits for messages.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import cached_property
from queue import Empty
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from kombu.transport import virtual

from .channel import Channel
from .errors import CONNECTION_ERRORS
from .pace import FAST, SLOW, Pace

if TYPE_CHECKING:
    from kombu import Connection

    from .consumers import Holder
    from .store import Store

BATCH: Final = 8
"""How many messages of one queue are taken before it is the other queues' turn."""
BUDGET: Final = 64
"""How many messages are taken before Celery's event loop does other work."""
_AT_ONCE: Final = 0.001
"""Seconds of a timer that is due at once. It is not zero: the loop calls such timers ten times and then sleeps."""


class _Consuming(threading.local):
    """The aliases of the databases that this thread polls for messages."""

    def __init__(self) -> None:
        self.aliases: set[str] = set()


_consuming = _Consuming()


def _close_before_fork() -> None:
    """Close the connections before a fork: a child must not have its parent's.

    SQLite forbids a process to have a connection that was open at a fork, and with MySQL the child would end it.
    """
    for alias in _consuming.aliases:
        connection = connections[alias]
        in_memory = getattr(connection, "is_in_memory_db", None)
        if not connection.in_atomic_block and not (in_memory and in_memory()):
            connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork)


def alias_of(url: str | None) -> str:
    """Return the database alias in the URL ``director://ALIAS``."""
    rest = (url or "").partition("://")[2] if "://" in (url or "") else (url or "")
    return rest.strip("/") or DEFAULT_DB_ALIAS


def _nothing_to_read() -> None:
    """Do nothing: nothing is ever written to the other end of the socket."""


class Transport(virtual.Transport):
    """The transport of ``broker_url = "director://"``.

    Its ``broker_transport_options``, all in seconds, are ``polling_interval`` (the longest pause, 0.5),
    ``polling_fast`` (the shortest pause, 0.02), ``lease`` (300) and ``sweep`` (5).
    """

    Channel = Channel
    can_parse_url = True
    driver_type = "director"
    driver_name = "django"
    polling_interval = SLOW
    default_connection_params: Any = MappingProxyType({})
    channels: Any
    cycle: Any
    connection_errors = (*virtual.Transport.connection_errors, *CONNECTION_ERRORS)
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Connection, **kwargs: object) -> None:
        super().__init__(client, **kwargs)
        self.alias = alias_of(client.hostname)
        self.options: dict[str, Any] = dict(client.transport_options or {})
        fast = self.options.get("polling_fast", FAST)
        self.pace = Pace(fast=fast, slow=self.polling_interval or SLOW)
        self.batch = 1
        self.unsaved: list[tuple[str, str, str]] = []
        self._loop: Any = None
        self._timer: Any = None
        self._anchor: tuple[socket.socket, socket.socket] | None = None
        self._is_full = False

    def driver_version(self) -> str:
        """Return the version of Django, by which the database is used."""
        return django.get_version()

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return the URL unchanged: it contains no password."""
        return uri

    @cached_property
    def store(self) -> Store:
        """The broker's tables. Raises ``ImproperlyConfigured`` if the app of the broker is not installed."""
        # Models can't be imported before the apps are loaded, and commands like `celery inspect` do not load them.
        if not apps.ready:
            django.setup()
        if not apps.is_installed("django_director.broker"):
            raise ImproperlyConfigured(
                "broker_url is director://: add “django_director.broker” to INSTALLED_APPS"
                " and run “manage.py migrate”"
            )
        from .store import Store

        return Store(self.alias)

    @cached_property
    def holder(self) -> Holder:
        """The holder of this connection's messages."""
        from .consumers import LEASE, SWEEP, Holder  # imports models, which need loaded apps

        return Holder(self.store, lease=self.options.get("lease", LEASE), sweep=self.options.get("sweep", SWEEP))

    def establish_connection(self) -> Self:
        """Check that the tables exist, then connect. Raises ``connection_errors``."""
        self.store.check()
        return super().establish_connection()

    def close_connection(self, connection: Connection) -> None:
        """Stop polling, close the channels, and free the messages that this connection holds."""
        self._stop_polling()
        try:
            super().close_connection(connection)
        finally:
            self.holder.end()

    # Polling

    def poll(self) -> bool:
        """Deliver messages of one queue; return ``False`` if there are none. Raises ``connection_errors``."""
        _consuming.aliases.add(self.alias)
        self.holder.tend()
        for channel in list(self.channels):
            channel.tend()
        try:
            self.cycle.get(self._deliver)
        except Empty:
            return False
        self.pace.active()
        return True

    def drain_events(self, connection: object, timeout: float | None = None, **kwargs: object) -> None:
        """Wait for a message and deliver it. Raises ``TimeoutError`` if none comes within ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.poll():
            wait = self.pace.wait()
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                wait = min(wait, left)
            time.sleep(wait)

    # Celery's event loop

    def register_with_event_loop(self, connection: object, loop: Any) -> None:
        """Keep Celery's event loop, which calls this."""
        self._loop = loop

    def start_polling(self) -> None:
        """Begin to poll; the first consumer calls this, because a connection that only publishes need not poll."""
        if self._loop is None or self._anchor is not None:
            return
        # With nothing to read (pools of threads, solo) the loop would sleep and not notice that a task has ended.
        self._anchor = socket.socketpair()
        self._loop.add_reader(self._anchor[0], _nothing_to_read)
        self._schedule(_AT_ONCE)

    def wake(self) -> None:
        """Poll soon, because a message was settled: there may be room for another one."""
        self.pace.active()
        if self._is_full and self._loop is not None:
            self._is_full = False
            self._schedule(_AT_ONCE)

    def _stop_polling(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._anchor is not None:
            self._loop.remove_reader(self._anchor[0])
            for end in self._anchor:
                end.close()
        self._timer = self._loop = self._anchor = None

    def _schedule(self, seconds: float) -> None:
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            more = self._poll_often()
        except self.connection_errors:
            raise  # Celery makes a new connection and uses this one no more.
        except Exception:
            # The loop logs the error and goes on, so polling must go on too.
            self._schedule(self.pace.slow)
            raise
        self._is_full = any(channel._consumers and not channel.qos.can_consume() for channel in self.channels)
        self._schedule(_AT_ONCE if more else self.pace.wait())

    def _poll_often(self) -> bool:
        """Deliver up to ``BUDGET`` messages; return whether there may be more."""
        self.batch = BATCH
        try:
            return all(self.poll() for _ in range(BUDGET // BATCH))
        finally:
            self.batch = 1
