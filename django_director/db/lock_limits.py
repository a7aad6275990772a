"""How long the engine waits for locks of other database sessions: one locked row must not stop all the rest.

The supervisor works for all runs with one connection. Another session may hold a lock on a row of one run for
hours: an open `psql`, a worker that is frozen before its commit, a machine that has vanished. So inside
``bounded`` no transaction waits long.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, connections
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
_MYSQL_WAIT: Final = "innodb_lock_wait_timeout"


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
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(bound.next_wait * 1000)}ms"])
        else:
            _limit_session(bound, database, cursor)


def _limit_session(bound: _Bound, database: Any, cursor: CursorWrapper) -> None:
    # These databases have a limit for a session only, in whole seconds: at least 0 on MariaDB, and 1 on MySQL.
    if bound.restore is None:
        cursor.execute(f"SELECT @@SESSION.{_MYSQL_WAIT}")
        (before,) = cursor.fetchone()
        bound.restore = lambda: _restore(database, before)
    seconds = max(0 if database.mysql_is_mariadb else 1, int(bound.next_wait))
    if seconds != bound.session_seconds:
        cursor.execute(f"SET SESSION {_MYSQL_WAIT} = %s", [seconds])
        bound.session_seconds = seconds


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
    ``sessions`` sets one on the engine's own connection.
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


def _restore(database: BaseDatabaseWrapper, before: int) -> None:
    # If the connection was lost meanwhile, the next one does not have this limit.
    with contextlib.suppress(DatabaseError, InterfaceError):
        if database.connection is not None and not database.needs_rollback:
            with database.cursor() as cursor:
                cursor.execute(f"SET SESSION {_MYSQL_WAIT} = %s", [before])
