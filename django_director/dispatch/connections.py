"""Connections to the broker that give up soon, and cost little for each message."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from celery import Celery

TIMEOUT: Final = 3.0
"""Seconds until a connection attempt or a write to the broker is given up."""

#: Kombu tries a broker that refuses again after two seconds and after four, however small the time-out.
_ONE_MORE_TRY: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
_BOUNDS: Final[dict[str, dict[str, float]]] = {
    "redis": {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT} | _ONE_MORE_TRY,
    "amqp": {"read_timeout": TIMEOUT, "write_timeout": TIMEOUT} | _ONE_MORE_TRY,
}
_REDIS: Final = "kombu.transport.redis"


def connect(app: Celery) -> Any:
    """A bounded connection, not yet open, to write to the app's broker."""
    driver = str(app.connection_for_write().transport_cls)
    bounds = next((bounds for family, bounds in _BOUNDS.items() if family in driver), None)
    options: dict[str, Any] = {} if bounds is None else {"transport_options": bounds}
    return app.connection_for_write(connect_timeout=TIMEOUT, **options)


def mailbox(app: Celery, connection: Any) -> Any:
    """What control commands go through, over this connection alone.

    Whatever connection Celery's ``control.broadcast`` is given, it sends by a producer of the app's own pool,
    which is not bounded and may have been made for another broker.
    """
    control: Any = app.control
    found = control.mailbox(connection)
    found.producer_pool = None
    return found


def connect_to_publish(app: Celery) -> Any:
    """The same, for many messages."""
    connection: Any = connect(app)
    transport = connection.get_transport_cls()
    if (transport.__module__, transport.__name__) == (_REDIS, "Transport"):
        connection.transport_cls = _keeping(transport)
    return connection


@cache
def _keeping(transport: Any) -> Any:
    """Kombu's Redis transport with channels that keep their client.

    Kombu makes one for each message, which takes a quarter of the time that the message takes. Were the method
    renamed there, ours would not be called, and all be as before.
    """

    class Channel(transport.Channel):  # type: ignore[misc]
        _kept: Any = None

        def _create_client(self, asynchronous: bool = False) -> Any:
            if asynchronous:
                return super()._create_client(asynchronous)
            # After a lost connection or a fork the channel has another pool.
            if self._kept is None or self._kept.connection_pool is not self.pool:
                self._kept = super()._create_client()
            return self._kept

    return type("Transport", (transport,), {"Channel": Channel, "__module__": __name__})
