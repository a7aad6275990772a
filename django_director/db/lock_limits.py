"""How long the engine waits for locks of other database sessions: one locked row must not stop all the rest.

The supervisor works for all runs with one connection. Another session may hold a lock on a row of one run for
hours: an open `psql`, a worker that is frozen before its commit, a machine that has vanished. So inside
``bounded`` no transaction waits long.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet

from django_director.conf import director

from .compiled import ROW_SECONDS as ROW_SECONDS
from .compiled import wait_at_most
from .errors import is_row_locked

RowsType = TypeVar("RowsType", bound=QuerySet[Any])

SHORT_ROW_SECONDS: Final = 0.2
"""The limit in place of ``ROW_SECONDS`` after a process has waited in vain for several rows. PostgreSQL only."""
LOCK_SECONDS: Final = 1.0
"""How many seconds all transactions of one tick of the supervisor together wait for locks."""
VERB_SECONDS: Final = 5.0
"""How many seconds an operation that a person asks for, such as a retry, waits for locks."""
LEAST_SECONDS: Final = 0.05
"""How many seconds each transaction may still wait when the time of its block is spent."""
_MYSQL_WAITS: Final = ("innodb_lock_wait_timeout", "lock_wait_timeout")
"""The variables of MySQL and MariaDB for the locks of rows, and for those of tables."""


@dataclass(slots=True)
class _Bound:
    """The time that is left to a block for waiting for locks, in seconds."""

    seconds: float
    restore: Callable[[], None] | None = None
    session_seconds: int | None = None
    """The limit that was set for the whole session, on databases that have no limit for a transaction."""

    @property
    def next_wait(self) -> float:
        """How many seconds the next transaction may wait."""
        return max(self.seconds, LEAST_SECONDS)


_bound: ContextVar[_Bound | None] = ContextVar("director_bound", default=None)
_own: ContextVar[bool] = ContextVar("director_own_transaction", default=False)


@contextlib.contextmanager
def bounded(seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Let all transactions of the engine in this block together wait about ``seconds`` for locks.

    When that time is spent each further transaction waits ``LEAST_SECONDS``. A transaction that would wait longer
    raises ``OperationalError``, see ``errors.is_locked``. SQLite has one lock for the whole database; there the
    time-out of the connection counts.
    """
    bound = _Bound(seconds)
    token = _bound.set(bound)
    try:
        yield
    finally:
        _bound.reset(token)
        if bound.restore is not None:
            bound.restore()


def is_bounded() -> bool:
    """Whether this code runs inside ``bounded``, where transactions must not wait long for locks."""
    return _bound.get() is not None


def limit_locks(database: BaseDatabaseWrapper) -> None:
    """Limit how long the transaction that has just begun waits for locks, if this code runs inside ``bounded``."""
    bound = _bound.get()
    if bound is None or database.vendor == "sqlite" or not is_own():
        return
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            _set_transaction_limit(cursor, _milliseconds(bound.next_wait))
        else:
            _limit_session(bound, database, cursor)


def _limit_session(bound: _Bound, database: Any, cursor: CursorWrapper) -> None:
    if bound.restore is None:
        before = _session_limits(cursor)
        bound.restore = lambda: _restore(database, before)
    seconds = _whole_seconds(database, bound.next_wait)
    if seconds != bound.session_seconds:
        _set_session_limits(cursor, (seconds, seconds))
        bound.session_seconds = seconds


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"


def _set_transaction_limit(cursor: CursorWrapper, limit: str) -> str:
    """Limit the waits of the present transaction, on PostgreSQL; return the limit that it had."""
    cursor.execute(
        "WITH present AS MATERIALIZED (SELECT current_setting('lock_timeout') AS was) "
        "SELECT was, set_config('lock_timeout', %s, true) FROM present",
        [limit],
    )
    return str(cursor.fetchone()[0])


def _whole_seconds(database: Any, seconds: float) -> int:
    # MySQL and MariaDB have a limit for a session only, in whole seconds: at least 0 on MariaDB, and 1 on MySQL.
    return max(0 if database.mysql_is_mariadb else 1, int(seconds))


def _session_limits(cursor: CursorWrapper) -> tuple[int, ...]:
    cursor.execute("SELECT " + ", ".join(f"@@SESSION.{name}" for name in _MYSQL_WAITS))
    return tuple(cursor.fetchone())


def _set_session_limits(cursor: Any, limits: Sequence[int]) -> None:
    cursor.execute("SET " + ", ".join(f"@@SESSION.{name} = %s" for name in _MYSQL_WAITS), limits)


@contextlib.contextmanager
def limited_transaction(database: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    """Execute this block in a transaction, or in a savepoint of the caller's, with a limit for locks of its own.

    Each of its statements, and its commit, waits about ``seconds`` at most for a lock of a row or a table; MySQL
    and MariaDB wait for a second at least. What the caller's transaction does later has the limit that it had
    before. On SQLite the time-out of the connection counts.
    """
    limits = {"postgresql": _limited_savepoint, "mysql": _limited_session}
    limited = limits.get(database.vendor, _unlimited)
    with limited(database, seconds):
        yield


def limited_reads(database: BaseDatabaseWrapper, seconds: float) -> contextlib.AbstractContextManager[None]:
    """Execute this block, which only reads; each of its statements waits for a lock for ``seconds`` at most.

    On SQLite it begins no transaction: with ``IMMEDIATE`` that would wait for the one writer, and reads need not.
    """
    return contextlib.nullcontext() if database.vendor == "sqlite" else limited_transaction(database, seconds)


@contextlib.contextmanager
def _unlimited(database: BaseDatabaseWrapper, _: float) -> Iterator[None]:
    with transaction.atomic(using=database.alias):
        yield


@contextlib.contextmanager
def _limited_savepoint(database: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    with transaction.atomic(using=database.alias):
        with database.cursor() as cursor:
            before = _set_transaction_limit(cursor, _milliseconds(seconds))
        # An error undoes the limit with the savepoint.
        yield
        # A whole transaction keeps its limit for the commit, which may wait for rows that foreign keys refer to.
        if database.savepoint_ids:
            with database.cursor() as cursor:
                _set_transaction_limit(cursor, before)


@contextlib.contextmanager
def _limited_session(database: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    with database.cursor() as cursor:
        before = _session_limits(cursor)
        _set_session_limits(cursor, [max(1, round(seconds))] * len(before))
    try:
        with transaction.atomic(using=database.alias):
            yield
    finally:
        _restore(database, before)


def hold_keys(database: BaseDatabaseWrapper, rows: QuerySet[Any]) -> bool:
    """Say whether there are ``rows``. On PostgreSQL nobody can delete them until the present transaction ends."""
    if database.vendor != "postgresql":
        return rows.exists()
    sql, params = rows.order_by().values_list("pk").query.get_compiler(database.alias).as_sql()
    with database.cursor() as cursor:
        cursor.execute(f"{sql} FOR KEY SHARE", params)
        return bool(cursor.fetchall())


@contextlib.contextmanager
def own_transaction() -> Iterator[None]:
    """Mark the transaction of this block as the engine's own: then the engine may set limits for it."""
    token = _own.set(True)
    try:
        yield
    finally:
        _own.reset(token)


def is_own() -> bool:
    """Whether a statement that is executed now is in a transaction of the engine's own, or in none."""
    return _own.get() or not connections[director.DATABASE].in_atomic_block


def row_seconds() -> float | None:
    """Return how many seconds a statement lets its transaction wait for the locks of other sessions.

    ``None`` where a statement can't set such a limit, or must not: MySQL has limits for a session only, and
    ``own_connections`` sets one on the engine's own.
    """
    if connections[director.DATABASE].vendor != "postgresql" or is_bounded() or not is_own():
        return None
    return SHORT_ROW_SECONDS if _locks_met.are_many() else ROW_SECONDS


def limited(rows: RowsType) -> RowsType:
    """Return the queryset ``rows`` with a limit: its transaction waits ``row_seconds`` at most for locks."""
    seconds = row_seconds()
    return rows if seconds is None else rows.filter(wait_at_most(seconds))


class _LocksMet:
    """The times at which this process has waited in vain for a locked row.

    If another session has locked many rows, this process must not wait the full time for each of them.
    """

    MANY: Final = 2
    SECONDS: Final = 15.0

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=self.MANY)

    def note_wait(self) -> None:
        """Note that a wait has just been in vain."""
        self._times.append(time.monotonic())

    def are_many(self) -> bool:
        """Whether there were ``MANY`` such waits in the last ``SECONDS``."""
        return len(self._times) == self.MANY and time.monotonic() - self._times[0] < self.SECONDS

    def clear(self) -> None:
        """Forget all waits."""
        self._times.clear()


_locks_met: Final = _LocksMet()


def met_lock(error: BaseException) -> bool:
    """Whether a statement was given up because a row is locked; if so ``row_seconds`` takes note of it."""
    is_locked_now = is_row_locked(error)
    if is_locked_now:
        _locks_met.note_wait()
    return is_locked_now


def forget_waits() -> None:
    """Forget which waits for locks were in vain."""
    _locks_met.clear()


def charge(seconds: float) -> None:
    """Take the ``seconds`` of a wait for a lock that was in vain from the time of the block inside ``bounded``."""
    if (bound := _bound.get()) is not None:
        bound.seconds -= seconds


def is_connection_lost() -> bool:
    """Whether the connection to the engine's database does not work any more."""
    database = connections[director.DATABASE]
    if database.in_atomic_block:
        return False
    try:
        return database.connection is None or not database.is_usable()
    except (DatabaseError, InterfaceError):
        return True


def _restore(database: Any, before: Sequence[int]) -> None:
    # If the connection was lost meanwhile, the next one does not have this limit. The driver's own cursor works
    # in a transaction that Django will roll back, too.
    with contextlib.suppress(DatabaseError, InterfaceError), database.wrap_database_errors:
        if database.connection is not None:
            with database.connection.cursor() as cursor:
                _set_session_limits(cursor, before)
