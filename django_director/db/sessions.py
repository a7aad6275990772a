"""Two connections for each thread of a worker: one that user code sees, and one that is the engine's alone.

Whatever a task or a receiver of a signal does to Django's connection (a raw BEGIN, another schema, role,
isolation or time-out, autocommit off) can't reach what the engine writes. Both stand under one alias, one at a
time: the user's unless ``engine_session`` says otherwise, so that a start inside a task joins the task's own
transaction.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from django_director.common import shutdown
from django_director.conf import director

from .lock_limits import ROW_SECONDS
from .transactions import connection

IDLE: Final = 60.0
"""Seconds of user code after which the engine's own connection is made anew: a firewall may have forgotten it."""

_FIRST_WORD: Final = re.compile(r"[\s(]*(\w+)")
#: Statements that leave a session as it was, or whose traces its transaction status shows.
_PLAIN: Final = frozenset(
    (
        *("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "REPLACE", "MERGE", "COPY", "TRUNCATE"),
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"),
        *("EXPLAIN", "SHOW", "FETCH", "MOVE", "CLOSE", "NOTIFY", "CALL"),
    )
)
_OWN: Final = "director_own"
"""Marks a connection as the engine's own."""
_IDLE_STATUS: Final = 0
"""libpq's PQTRANS_IDLE."""


class _Sessions(threading.local):
    """The connections of a thread in which the engine works: its own, and the user's."""

    own: Any = None
    theirs: Any = None
    keeps: bool = False
    kept: Any = None
    """What `one_session` keeps between two uses."""


_sessions: Final = _Sessions()
#: The engine's connections that no thread uses now. A pool of greenlets has a new thread for each task.
_idle: Final[list[Any]] = []


@contextlib.contextmanager
def engine_session() -> Iterator[None]:
    """Use a connection of the engine's own in this block, for this thread.

    Inside a transaction of the caller's nothing changes: the rest is to commit with it.
    """
    alias, theirs = director.DATABASE, connection()
    if theirs.in_atomic_block or _sessions.theirs is not None:
        yield
        return
    own = _take(alias) if _sessions.kept is None else _sessions.kept
    _sessions.own, _sessions.theirs, connections[alias] = own, theirs, own
    try:
        yield
    finally:
        _sessions.own, _sessions.theirs, connections[alias] = None, None, theirs
        if not _sessions.keeps:
            _give_back(own)
        else:
            _sessions.kept = own
            if is_pooled(own):
                # What comes until its next use may need its place in the pool.
                own.close()


@contextlib.contextmanager
def one_session() -> Iterator[None]:
    """Let all engine sessions of this thread in this block be one: what is between them is the user's.

    A connection that is not to be kept between tasks (``CONN_MAX_AGE``) is made once for all of them.
    """
    if _sessions.keeps:
        yield
        return
    _sessions.keeps = True
    try:
        yield
    finally:
        own, _sessions.kept, _sessions.keeps = _sessions.kept, None, False
        if own is not None:
            _give_back(own)


def _give_back(own: Any) -> None:
    _refresh(own)
    _idle.append(own)


def _take(alias: str) -> Any:
    try:
        own = _idle.pop()
    except IndexError:
        own = None
    if own is None or own.alias != alias:
        own = connections.create_connection(alias)
        setattr(own, _OWN, True)
        # One thread after the other.
        own.inc_thread_sharing()
    _refresh(own)
    return own


@receiver(connection_created, dispatch_uid="django_director.sessions")
def _limit_waits(connection: Any, **_: Any) -> None:
    """Let a session of the engine's own wait for locks as long as a worker may, where that is one of a session.

    PostgreSQL has it for a transaction too, see ``bounds.limited``; there a pooler may lend the session to others.
    """
    if connection.vendor == "mysql" and getattr(connection, _OWN, False):
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [ROW_SECONDS])


@contextlib.contextmanager
def user_session() -> Iterator[None]:
    """Let user code run in this block: with Django's connection, which is put in order behind it."""
    own, alias = connection(), director.DATABASE
    theirs = own if _sessions.theirs is None else _sessions.theirs
    if theirs.in_atomic_block:
        # The caller's: a TestCase, or code that runs a workflow within its own transaction.
        yield
        return
    if is_pooled(own) and own is not theirs:
        # Its place in the pool may be the one that the code needs.
        own.close()
    began = time.monotonic()
    connections[alias] = theirs
    watch = _Watch(theirs)
    try:
        with watch:
            yield
    finally:
        connections[alias] = own
        _put_in_order(theirs, watch)
        if own is not theirs and time.monotonic() - began > IDLE:
            replace(own)


@contextlib.contextmanager
def receiver_session() -> Iterator[None]:
    """As ``user_session``, for receivers of signals, where the engine would lend them a connection of its own."""
    is_ours = _sessions.theirs is not None and connection() is _sessions.own
    with user_session() if is_ours else contextlib.nullcontext(), shutdown.watch.waiting(None):
        yield


class _Watch:
    """Notes whether statements of a block may have changed the session; those of connecting do not count."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.is_used = self.is_changed = False

    def __enter__(self) -> None:
        self._outer = vars(self._database).get("connect")
        self._connect = self._database.connect
        self._database.connect = self._note_connection
        self._database.execute_wrappers.append(self)

    def __exit__(self, *_: object) -> None:
        if self._outer is None:
            del self._database.connect
        else:
            self._database.connect = self._outer
        with contextlib.suppress(ValueError):
            self._database.execute_wrappers.remove(self)

    def __call__(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        self.is_used = True
        if not self.is_changed:
            self.is_changed = changes_session(sql)
        return execute(sql, params, many, context)

    def _note_connection(self) -> None:
        self._connect()
        self.is_changed = False


def changes_session(sql: Any) -> bool:
    """Whether a statement may leave something behind in its session; a guess that errs towards yes."""
    if not isinstance(sql, str):
        return True
    first = _FIRST_WORD.match(sql)
    if first is None or first[1].upper() not in _PLAIN:
        return True
    return "set_config" in sql or ";" in sql.rstrip("; \n")


def is_pooled(database: Any) -> bool:
    """Whether closing a connection gives it back to a pool of the process."""
    return bool(getattr(database, "pool", None))


def _refresh(database: Any) -> None:
    try:
        database.close_if_unusable_or_obsolete()
    except (DatabaseError, InterfaceError):
        replace(database)


def _put_in_order(database: Any, watch: _Watch) -> None:
    if database.connection is None:
        # Closed, perhaps inside a block that was never left.
        database.in_atomic_block = False
    elif database.in_atomic_block or watch.is_changed or not _is_idle(database, watch.is_used):
        # A transaction that the code has begun and not ended is not ours to commit.
        replace(database)
    elif is_pooled(database):
        database.close()
    else:
        _refresh(database)


def replace(database: Any) -> None:
    """Let go of a connection for good; the next statement makes a new one."""
    driver = database.connection
    database.in_atomic_block = False
    with contextlib.suppress(DatabaseError, InterfaceError), database.wrap_database_errors:
        if is_pooled(database):
            # The pool throws away what comes back closed.
            driver.close()
    with contextlib.suppress(DatabaseError, InterfaceError):
        database.close()
    if database.closed_in_transaction:
        # Django keeps what was closed within a transaction, for its errors.
        database.connection = None


def _is_idle(database: Any, is_used: bool) -> bool:
    """Whether the driver's connection, beneath Django, is open and in no transaction: the driver knows.

    MySQL's does not. There a transaction is ended instead, if the connection was used.
    """
    if database.autocommit != database.settings_dict["AUTOCOMMIT"]:
        return False
    driver = database.connection
    try:
        with database.wrap_database_errors:
            if database.vendor == "postgresql":
                return bool(driver.info.transaction_status == _IDLE_STATUS)
            if database.vendor == "sqlite":
                return not driver.in_transaction
            if database.vendor == "mysql":
                if is_used:
                    driver.rollback()
                return bool(driver.open and driver.get_autocommit())
    except (DatabaseError, InterfaceError):
        return False
    return True
