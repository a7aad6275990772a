"""The engine's own database connections, which a process of a worker keeps from task to task.

Django closes a connection at the end of a web request, unless ``CONN_MAX_AGE`` says otherwise. A worker has no
requests: with a new connection for each task the engine would take several times as long. So these connections
have an age of their own, ``DIRECTOR["CONNECTION_MAX_AGE"]``. All threads of a process share them, because a pool
of greenlets has a new thread for each task.
"""

from __future__ import annotations

import contextlib
import select
import time
from functools import cache
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.utils import load_backend
from django.dispatch import receiver

from django_director.conf import director

from . import plans
from .lock_limits import ROW_SECONDS

AS_DJANGO: Final = "django"
"""The value of ``CONNECTION_MAX_AGE`` with which ``CONN_MAX_AGE`` holds for these connections too."""
IDLE: Final = 60.0
"""Seconds without a statement after which a connection has to answer before it is used: a firewall may have
dropped it. A connection that no thread has needed for so long is closed when others are given back."""
ANSWER_SECONDS: Final = 1.0
"""For how long a connection may take to answer; a firewall that drops it says nothing at all."""

#: The connections that no thread uses now, each with the time since when. The last one is used first. So those
#: that are not needed any more grow old at the begin of the list.
_idle: Final[list[tuple[Any, float]]] = []


class _Own:
    """The first base class of the engine's own connections; the second is the class of the project's backend."""

    force_debug_cursor: bool

    @property
    def queries_logged(self) -> bool:
        """Whether Django keeps the texts of statements. ``DEBUG`` alone is no reason: nobody reads them."""
        return self.force_debug_cursor


class _OwnMySQL(_Own):
    """An own connection to MySQL or MariaDB, whose transactions begin and end with two round trips, not three.

    Django switches autocommit off and on again. ``BEGIN`` does without that.
    """

    connection: Any
    wrap_database_errors: Any

    def _start_transaction_under_autocommit(self) -> None:
        with self.wrap_database_errors:
            self.connection.query("BEGIN")

    def _set_autocommit(self, autocommit: bool) -> None:
        # The driver knows this without asking the server.
        if autocommit != bool(self.connection.get_autocommit()):
            super()._set_autocommit(autocommit)  # type: ignore[misc]


def take(alias: str) -> BaseDatabaseWrapper:
    """Return a connection of the engine's own that no other thread uses; it may still have to be opened."""
    with contextlib.suppress(IndexError):
        own, since = _idle.pop()
        if own.alias == alias:
            refresh(own)
            check(own, time.monotonic() - since)
            taken: BaseDatabaseWrapper = own
            return taken
        close(own)
    return _make(alias)


def give_back(own: BaseDatabaseWrapper) -> None:
    """Keep a connection that this thread does not need any more, for the next one that does."""
    refresh(own)
    _idle.append((own, time.monotonic()))
    if len(_idle) > 1:
        close_unused()


def close_idle() -> None:
    """Close all connections that no thread uses now."""
    with contextlib.suppress(IndexError):
        while True:
            close(_idle.pop()[0])


def close_unused() -> None:
    """Close the connections that no thread has needed for a while, as after a time with many tasks."""
    with contextlib.suppress(IndexError):
        while time.monotonic() - _idle[0][1] >= IDLE:
            close(_idle.pop(0)[0])


def check(own: BaseDatabaseWrapper, seconds: float) -> None:
    """Close a connection that was not used for ``seconds`` if the server does not have it any more."""
    if own.connection is None or own.in_atomic_block:
        return
    try:
        with own.wrap_database_errors:
            is_open = _is_open(own, seconds)
    # A driver may give no valid number for a socket that is closed already.
    except (DatabaseError, InterfaceError, ValueError):
        is_open = False
    if not is_open:
        replace(own)


def refresh(database: BaseDatabaseWrapper) -> None:
    """Close a connection that is too old, or on which an error has occurred and that does not work any more."""
    try:
        database.close_if_unusable_or_obsolete()
    except (DatabaseError, InterfaceError):
        replace(database)


def renew(database: BaseDatabaseWrapper) -> None:
    """Close a connection that is too old, for a process that uses the same one all the time.

    Where connections are closed after each task, such a process keeps its connection nevertheless.
    """
    if director.CONNECTION_MAX_AGE not in (0, AS_DJANGO) and not is_pooled(database):
        refresh(database)


def close(database: BaseDatabaseWrapper) -> None:
    """Close a connection; the next statement opens it again. Errors of the driver do not matter."""
    with contextlib.suppress(DatabaseError, InterfaceError):
        database.close()


def replace(database: BaseDatabaseWrapper) -> None:
    """Close a connection for good, a pooled one too; the next statement makes a new one."""
    driver = database.connection
    database.in_atomic_block = False
    with contextlib.suppress(DatabaseError, InterfaceError), database.wrap_database_errors:
        if is_pooled(database):
            # The pool discards a connection that comes back closed.
            driver.close()
    close(database)
    if database.closed_in_transaction:
        # Django keeps a connection that was closed inside a transaction, so that further statements raise errors.
        database.connection = None


def is_pooled(database: BaseDatabaseWrapper) -> bool:
    """Whether a connection comes from a pool of this process: closing it gives it back."""
    return bool(getattr(database, "pool", None))


def close_before_fork() -> None:
    """Close the connections of this thread, and what a pool of this process has: a child must not inherit them.

    Two processes would write on one socket. Where other threads work with the pool this must not be called.
    """
    connections.close_all()
    for database in connections.all(initialized_only=True):
        if is_pooled(database):
            database.close_pool()  # type: ignore[attr-defined]


def _make(alias: str) -> BaseDatabaseWrapper:
    settings = connections.settings[alias]
    own: BaseDatabaseWrapper = _class_of(settings["ENGINE"])(settings, alias)
    # Several threads use it, one after the other.
    own.inc_thread_sharing()
    # A pool keeps its connections itself, and Django allows it no other age.
    if director.CONNECTION_MAX_AGE != AS_DJANGO and not is_pooled(own):
        kept = {"CONN_MAX_AGE": director.CONNECTION_MAX_AGE, "CONN_HEALTH_CHECKS": False}
        own.settings_dict = {**own.settings_dict, **kept}
    return own


@cache
def _class_of(engine: str) -> Any:
    theirs = load_backend(engine).DatabaseWrapper
    return type(theirs.__name__, (_OwnMySQL if theirs.vendor == "mysql" else _Own, theirs), {})


def _is_open(own: BaseDatabaseWrapper, seconds: float) -> bool:
    """Whether a connection can be used. To ask the server each time would cost a round trip for each task."""
    driver: Any = own.connection
    if own.vendor == "sqlite" or is_pooled(own):
        return True
    if seconds > IDLE:
        return plans.is_plain(own) and _answers(driver)
    # The server writes nothing by itself, unless it closes the connection.
    return not _is_readable(driver, 0) or own.is_usable()


def _is_readable(driver: Any, seconds: float) -> bool:
    """Whether something comes from the server, or its end of the connection is closed."""
    if not hasattr(select, "poll") or not hasattr(driver, "fileno"):
        return False
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def _answers(driver: Any) -> bool:
    """Whether the server answers to psycopg 3 in time. Psycopg's own functions wait without a limit."""
    connection = driver.pgconn
    connection.send_query(b"SELECT 1")
    connection.flush()
    if not _is_readable(driver, ANSWER_SECONDS):
        return False
    while connection.get_result() is not None:
        pass
    return not driver.closed


@receiver(connection_created, dispatch_uid="django_director.own_connections")
def _prepare(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Prepare a session of the engine's own that begins.

    On MySQL and MariaDB limit how long it waits for locks. On PostgreSQL each transaction has its own limit, see
    ``lock_limits.limited``: a pooler may lend the session to other clients, so no limit is set for it.
    """
    if not isinstance(connection, _Own):
        return
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [ROW_SECONDS])
    elif connection.vendor == "postgresql" and not is_pooled(connection):
        plans.keep(connection)
