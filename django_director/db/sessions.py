"""Two database connections for each thread of a worker: one for user code, and one for the engine alone.

A task or a receiver of a signal may do anything to Django's connection: begin a transaction with raw SQL, set
another schema, role, isolation level or time-out, switch autocommit off. With a connection of its own none of this
reaches what the engine writes. Both connections have the same alias, one at a time. Outside ``engine_session`` it
is the user's. So a run that a task starts joins the task's own transaction.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_director.common import shutdown
from django_director.conf import director

from .own_connections import check, close, close_idle, give_back, is_pooled, refresh, replace, take
from .transactions import connection

T = TypeVar("T")

_FIRST_WORD: Final = re.compile(r"[\s(]*(\w+)")
#: Statements that change no settings of a session. The driver knows if one of them leaves a transaction open.
_PLAIN: Final = frozenset(
    (
        *("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "REPLACE", "MERGE", "COPY", "TRUNCATE"),
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"),
        *("EXPLAIN", "SHOW", "FETCH", "MOVE", "CLOSE", "NOTIFY", "CALL"),
    )
)
_IDLE_STATUS: Final = 0
"""The status PQTRANS_IDLE of libpq: no transaction is open."""


class _Sessions(threading.local):
    """The connections of one thread while the engine works: ``own`` is the engine's, ``theirs`` the user's."""

    own: Any = None
    theirs: Any = None
    keeps: bool = False
    kept: Any = None
    """The engine's connection that ``one_session`` keeps between two engine sessions."""


_sessions: Final = _Sessions()


def _close_before_fork() -> None:
    """Close the engine's connections that are not in a transaction: a child must not have its parent's.

    The child could write on its parent's socket, or end the session when it ends.
    """
    close_idle()
    for own in {id(own): own for own in (_sessions.own, _sessions.kept) if own is not None}.values():
        if not own.in_atomic_block:
            close(own)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork)


@contextlib.contextmanager
def engine_session() -> Iterator[None]:
    """Let this thread use the engine's own connection in this block.

    Inside a transaction of the caller's the caller's connection stays: the engine's rows are committed with it.
    """
    alias, theirs = director.DATABASE, connection()
    if theirs.in_atomic_block or _sessions.theirs is not None:
        yield
        return
    own = take(alias) if _sessions.kept is None else _sessions.kept
    _sessions.own, _sessions.theirs, connections[alias] = own, theirs, own
    try:
        yield
    finally:
        # After a `user_session` that has failed there may be none, and in a thread it may be another one.
        own, _sessions.own = _sessions.own, None
        _sessions.theirs, connections[alias] = None, theirs
        if own is not None:
            _put_away(own)


@contextlib.contextmanager
def one_session() -> Iterator[None]:
    """Let all engine sessions of this thread in this block use one connection; between them user code may run.

    If connections are not kept between tasks (``CONNECTION_MAX_AGE`` is 0) one is made for all of these sessions.
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
            give_back(own)


def _put_away(own: BaseDatabaseWrapper) -> None:
    if not _sessions.keeps:
        give_back(own)
        return
    _sessions.kept = own
    if is_pooled(own):
        # User code that runs before the next engine session may need this connection's place in the pool.
        own.close()


@contextlib.contextmanager
def user_session() -> Iterator[None]:
    """Let user code run in this block with Django's own connection; afterwards that connection is put in order."""
    own, alias = connection(), director.DATABASE
    theirs = own if _sessions.theirs is None else _sessions.theirs
    if theirs.in_atomic_block:
        # The transaction is the caller's: a TestCase, or code that runs a workflow within its own transaction.
        yield
        return
    if is_pooled(own) and own is not theirs:
        # The user's code may need this connection's place in the pool.
        own.close()
    # Hundreds of greenlets may wait in user code, so other threads use the engine's connection meanwhile.
    is_lent = own is not theirs and threading.current_thread() is not threading.main_thread()
    if is_lent:
        _sessions.own = _sessions.kept = None
        give_back(own)
    began = time.monotonic()
    connections[alias] = theirs
    watch = _Watch(theirs)
    try:
        with watch:
            yield
    finally:
        if is_lent:
            own = _sessions.own = take(alias)
        connections[alias] = own
        _put_in_order(theirs, watch)
        if own is not theirs and not is_lent:
            check(own, time.monotonic() - began)


@contextlib.contextmanager
def receiver_session() -> Iterator[None]:
    """Let receivers of signals run in this block: not with the engine's own connection, and without its patience.

    Where the thread uses the engine's connection this is a ``user_session``; elsewhere the connection stays.
    """
    is_ours = _sessions.theirs is not None and connection() is _sessions.own
    with user_session() if is_ours else contextlib.nullcontext(), shutdown.watch.waiting(None):
        yield


class _Watch:
    """Notes whether statements of a block may have changed the session; statements of connecting do not count."""

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database: Any = database
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

    def __call__(self, execute: Callable[..., T], sql: object, *more: object) -> T:
        self.is_used = True
        if not self.is_changed:
            self.is_changed = changes_session(sql)
        return execute(sql, *more)

    def _note_connection(self) -> None:
        self._connect()
        self.is_changed = False


def changes_session(sql: object) -> bool:
    """Whether a statement may change its session. It is a guess: in case of doubt it is ``True``."""
    if not isinstance(sql, str):
        return True
    first = _FIRST_WORD.match(sql)
    if first is None or first[1].upper() not in _PLAIN:
        return True
    return "set_config" in sql or ";" in sql.rstrip("; \n")


def _put_in_order(database: BaseDatabaseWrapper, watch: _Watch) -> None:
    if database.connection is None:
        # The connection was closed, perhaps inside an atomic block that the code has never left.
        database.in_atomic_block = False
    elif database.in_atomic_block or watch.is_changed or not _is_idle(database, watch.is_used):
        # The engine must not commit a transaction that the code has begun and not ended.
        replace(database)
    elif is_pooled(database):
        database.close()
    else:
        refresh(database)


def _is_idle(database: BaseDatabaseWrapper, is_used: bool) -> bool:
    """Whether the driver says that its connection is open and in no transaction.

    MySQL's driver does not know of transactions. There a connection that was used is rolled back instead.
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
