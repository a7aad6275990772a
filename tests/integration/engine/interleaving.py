"""Two transactions at once, in an order that the test chooses: the first is held at a fault point.

Whether the second runs past it or waits for one of its locks is the database's business; the test goes on when
either is certain.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_director.common import failpoints

PATIENCE = 30.0
IN_FINISH = ["finish.before", "finish.updated", "finish.settled", "finish.committed"]
"""The fault points of a transaction that ends a task, in order."""
_WAITING = {
    "postgresql": (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ),
    # InnoDB's table is the server's, and tests of other databases wait there too.
    "mysql": (
        "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist"
        " ON id = trx_mysql_thread_id WHERE db = DATABASE() AND trx_state = 'LOCK WAIT'"
    ),
}

needs_several_writers = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="skipped: SQLite has one writer at a time"
)


def overlap(point: str, first: Callable[[], Any], second: Callable[[], Any], folder: Path) -> list[Any]:
    """Hold ``first`` at ``point``, let ``second`` run until it has ended or waits for a lock, then let go.

    Returns what the two returned or raised. Fails when ``first`` never came to ``point``.
    """
    gate, reached = folder / "gate", folder / "reached"
    gate.touch()
    with _armed(f"{point}:hold:{gate}", reached), ThreadPoolExecutor(2) as pool:
        try:
            one = pool.submit(own_connection, first)
            until(lambda: reached.exists() or one.done())
            assert reached.exists(), f"it ended without passing {point}: {one.result()}"
            two = pool.submit(own_connection, second)
            until(lambda: two.done() or waiting())
        finally:
            gate.unlink()
        return [one.result(PATIENCE), two.result(PATIENCE)]


@contextmanager
def held_elsewhere(rows: Any) -> Iterator[None]:
    """Another session has locked these rows, as an open ``psql`` may."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            assert list(rows.order_by("pk").select_for_update())
            held.set()
            done.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(own_connection, hold)
        try:
            until(lambda: held.is_set() or holding.done())
            yield
        finally:
            done.set()
        assert holding.result(PATIENCE) is None


@contextmanager
def _armed(fault: str, once: Path) -> Iterator[None]:
    """Hit the first to get there, as another process's environment would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "_ARMED", fault)
        patch.setenv("DIRECTOR_FAULT_ONCE", str(once))
        yield


def own_connection(job: Callable[[], Any]) -> Any:
    try:
        return job()
    except Exception as error:
        return error
    finally:
        connections.close_all()


def waiting() -> int:
    """How many connections to this database wait for a lock."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Inside a transaction it would show what it showed first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(_WAITING[connection.vendor])
        return int(cursor.fetchone()[0])


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "neither ended nor waiting"
        # InnoDB refreshes that table only when nobody has read it for a tenth of a second.
        time.sleep(0.12 if connection.vendor == "mysql" else 0.01)
