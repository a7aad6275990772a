"""The servers a test needs: skip without them, or fail where they are required."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

#: mysqlclient is built against a library of the system, so a bare machine has none.
needs_mysqlclient = pytest.mark.skipif(find_spec("MySQLdb") is None, reason="skipped: no mysqlclient")
BROKERS = {"redis": ("Redis", 6379), "amqp": ("RabbitMQ", 5672)}


def require_service(name: str, host: str, port: int) -> None:
    """Skip the test when nobody listens there; fail it with ``DIRECTOR_REQUIRE_SERVICES=1``."""
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        unmet(f"no {name} on {host}:{port}")


def require_broker(url: str) -> None:
    """``require_service`` for the server of a broker's URL, if it has one."""
    parts = urlsplit(url)
    if parts.scheme in BROKERS:
        name, port = BROKERS[parts.scheme]
        require_service(name, parts.hostname or "127.0.0.1", parts.port or port)


def unmet(what: str) -> None:
    """Skip, or fail where everything is required."""
    if os.environ.get("DIRECTOR_REQUIRE_SERVICES") == "1":
        pytest.fail(what)
    pytest.skip(f"skipped: {what}")
