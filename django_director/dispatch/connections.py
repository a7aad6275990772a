"""Connections to the broker that give up after a few seconds and cost little time for each message."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from kombu import Connection

if TYPE_CHECKING:
    from kombu.pidbox import Mailbox


TIMEOUT: Final = 3.0
"""Seconds until a connection attempt or a write to the broker is given up."""

#: By default Kombu tries again after two and after four seconds if a broker refuses, however short the time-out
#: is.
_ONE_MORE_TRY: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
_BOUNDS: Final[dict[str, dict[str, float]]] = {
    "redis": {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT} | _ONE_MORE_TRY,
    "amqp": {"read_timeout": TIMEOUT, "write_timeout": TIMEOUT} | _ONE_MORE_TRY,
}
_REDIS: Final = "kombu.transport.redis"


def connect(app: Celery) -> Connection:
    """Return a connection to write to the app's broker, with time limits; it is not open yet."""
    driver = str(app.connection_for_write().transport_cls)
    bounds = next((bounds for family, bounds in _BOUNDS.items() if family in driver), None)
    options: dict[str, Any] = {} if bounds is None else {"transport_options": bounds}
    return app.connection_for_write(connect_timeout=TIMEOUT, **options)


def mailbox(app: Celery, connection: Connection) -> Mailbox:
    """Return the mailbox of the app's remote control, which sends over ``connection`` only.

    Celery's ``control.broadcast`` sends by a producer of the app's own pool, whatever connection it is given. That
    producer has no time limits, and may have been made for another broker.
    """
    control: Any = app.control
    found: Mailbox = control.mailbox(connection)
    found.producer_pool = None
    return found


def connect_to_publish(app: Celery) -> Any:
    """Return a connection to publish many messages to the app's broker, with time limits; it is not open yet."""
    connection: Any = connect(app)
    transport = connection.get_transport_cls()
    if (transport.__module__, transport.__name__) == (_REDIS, "Transport"):
        connection.transport_cls = _keep_clients(transport)
    return connection


@cache
def _keep_clients(transport: Any) -> type[Any]:
    """Return a subclass of Kombu's Redis transport whose channels keep their Redis client.

    Kombu itself makes a client for each message, which takes a quarter of the message's time. If Kombu renames the
    method that is overridden here, it is not called any more, and messages are sent as by Kombu's own transport.
    """

    class Channel(transport.Channel):  # type: ignore[misc]
        _kept: Any = None

        def _create_client(self, asynchronous: bool = False) -> object:
            if asynchronous:
                return super()._create_client(asynchronous)
            # After a lost connection, or a fork, the channel has another pool.
            if self._kept is None or self._kept.connection_pool is not self.pool:
                self._kept = super()._create_client()
            return self._kept

    return type("Transport", (transport,), {"Channel": Channel, "__module__": __name__})
