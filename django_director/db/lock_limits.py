"""How long the engine waits for the locks of other sessions, where one row must not hold up the rest.

The supervisor works for all runs with one connection. Somebody may hold a lock on a row of one of them for hours:
an open `psql`, a worker that is frozen before its commit, a machine that has vanished. So inside ``bounded`` no
transaction waits for long, and ``each`` leaves what is locked, or in trouble, to a later tick.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from django_director.common.throttle import Throttle
from django_director.conf import director
from django_director.exceptions import LockedRow

from .compiled import ROW_SECONDS as ROW_SECONDS
from .compiled import wait_at_most

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
RowsType = TypeVar("RowsType", bound=QuerySet[Any])

SHORT_ROW_SECONDS: Final = 0.2
"""In place of ``ROW_SECONDS`` when a process has just waited in vain for several locked rows. PostgreSQL only."""
LOCK_SECONDS: Final = 1.0
"""How long one tick of the supervisor waits for locks, all its transactions together."""
VERB_SECONDS: Final = 5.0
"""How long somebody who asks for something waits for locks."""
LEAST_SECONDS: Final = 0.05
"""How long each transaction may wait when that is spent."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
"""Seconds for which what was locked is left alone: twice as many each time."""

_POSTGRES_LOCKED: Final = "55P03"
_MYSQL_LOCKED: Final = frozenset({1205, 3572})
_MYSQL_WAIT: Final = "innodb_lock_wait_timeout"


@dataclass(slots=True)
class _Bound:
    """The time that a block has for locks."""

    seconds: float
    restore: Callable[[], None] | None = None
    session_seconds: int | None = None
    """What the session waits, where that is how it is limited."""

    @property
    def next_wait(self) -> float:
        return max(self.seconds, LEAST_SECONDS)


_bound: ContextVar[_Bound | None] = ContextVar("director_bound", default=None)
_own: ContextVar[bool] = ContextVar("director_own_transaction", default=False)


@contextlib.contextmanager
def bounded(seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Let all engine transactions in the block together wait ``seconds`` for locks, and hardly after that.

    One that waits for longer raises ``OperationalError``, see ``is_locked``. SQLite has one lock for all, for
    which the connection's own time-out stands.
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
    """Say whether the engine's transactions must not wait for locks."""
    return _bound.get() is not None


def limit_locks(database: BaseDatabaseWrapper) -> None:
    """Limit the waits of the transaction that has begun, if they are bounded."""
    bound = _bound.get()
    if bound is None or database.vendor == "sqlite" or not is_own():
        return
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(bound.next_wait * 1000)}ms"])
        else:
            _limit_session(bound, database, cursor)


def _limit_session(bound: _Bound, database: Any, cursor: Any) -> None:
    # There is nothing smaller than a session. MariaDB's need not wait at all, MySQL's waits a second at least.
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
    """Say that the transaction of this block is the engine's, so that what is set for it concerns nobody else."""
    token = _own.set(True)
    try:
        yield
    finally:
        _own.reset(token)


def is_own() -> bool:
    """Say whether a statement stands in a transaction of the engine's, or would be one of its own."""
    return _own.get() or not connections[director.DATABASE].in_atomic_block


def row_seconds() -> float | None:
    """How long a statement shall let its transaction wait for the locks of other sessions, in seconds.

    ``None`` where a statement can't say so, or must not: MySQL knows limits of a session only, and a worker's own
    connection has one, see ``sessions``.
    """
    if connections[director.DATABASE].vendor != "postgresql" or is_bounded() or not is_own():
        return None
    return SHORT_ROW_SECONDS if _locks_met.are_many() else ROW_SECONDS


def limited(rows: RowsType) -> RowsType:
    """These rows, for a statement that limits how long its transaction waits to ``row_seconds``; no query more."""
    seconds = row_seconds()
    return rows if seconds is None else rows.filter(wait_at_most(seconds))


class _LocksMet:
    """When this process last waited for a locked row in vain: who has locked many must not cost it a wait each."""

    MANY: Final = 2
    SECONDS: Final = 15.0

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=self.MANY)

    def note(self) -> None:
        self._times.append(time.monotonic())

    def are_many(self) -> bool:
        return len(self._times) == self.MANY and time.monotonic() - self._times[0] < self.SECONDS

    def forget(self) -> None:
        self._times.clear()


_locks_met: Final = _LocksMet()


def met_lock(error: BaseException) -> bool:
    """Say whether a statement was given up because a row is locked, and remember that; see ``row_seconds``."""
    is_locked_now = is_row_locked(error)
    if is_locked_now:
        _locks_met.note()
    return is_locked_now


def charge(seconds: float) -> None:
    """Count a wait for a lock that came to nothing."""
    if (bound := _bound.get()) is not None:
        bound.seconds -= seconds


def is_locked(error: BaseException) -> bool:
    """Say whether a statement was given up because another session holds a lock."""
    return is_row_locked(error) or (isinstance(error, OperationalError) and "database is locked" in str(error))


def is_row_locked(error: BaseException) -> bool:
    """Say whether a statement was given up because another session holds a lock on a row; never on SQLite."""
    cause = error.__cause__ or error
    code = cause.args[0] if cause.args else None
    return getattr(cause, "sqlstate", None) == _POSTGRES_LOCKED or (
        isinstance(code, int) and code in _MYSQL_LOCKED
    )


def patient(verb: Callable[P, T]) -> Callable[P, T]:
    """Let what is asked of a run or a task wait ``VERB_SECONDS`` for locks, and raise ``LockedRow`` after that."""

    @wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with bounded(VERB_SECONDS):
                return verb(*args, **kwargs)
        except OperationalError as error:
            if not is_locked(error):
                raise
            what = next(iter([*args, *kwargs.values()]))
            raise LockedRow(f"{type(what).__name__.lower()} {what}") from error

    return wrapped


@dataclass(slots=True)
class _Avoided:
    """A run that is left alone for a while."""

    until: float = 0.0
    pause: float = FIRST_PAUSE / 2
    warnings: Throttle = field(default_factory=Throttle)


_avoided: dict[Any, _Avoided] = {}


def each(items: Iterable[T], work: Callable[[T], int], key: Callable[[T], Any]) -> int:
    """Do ``work`` for each item and return the sum of what it returns; what is wrong with one harms no other.

    ``key`` is the id of the run that an item belongs to. What is locked, or raises, is logged, and its run is left
    alone for a while. A connection that is lost is everybody's trouble: that error is raised.
    """
    return sum(_one(item, work, key(item)) for item in items)


def avoided() -> list[Any]:
    """The ids of the runs that are left alone now: many rows of theirs must not stand before all others."""
    now = time.monotonic()
    for run in [run for run, found in _avoided.items() if found.until < now - 10 * LONGEST_PAUSE]:
        del _avoided[run]
    return [run for run, found in _avoided.items() if found.until > now]


def forget() -> None:
    """Look at everything again at once, and wait for locks as ever."""
    _avoided.clear()
    _locks_met.forget()


def _one(item: T, work: Callable[[T], int], run: Any) -> int:
    avoided = _avoided.get(run)
    if avoided is not None and time.monotonic() < avoided.until:
        return 0
    began = time.monotonic()
    try:
        done = work(item)
    except Exception as error:
        if isinstance(error, (DatabaseError, InterfaceError)) and not is_locked(error) and is_connection_lost():
            raise
        charge(time.monotonic() - began)
        _avoid(run, error)
        return 0
    _avoided.pop(run, None)
    return done


def _avoid(run: Any, error: Exception) -> None:
    avoided = _avoided.setdefault(run, _Avoided())
    avoided.pause = min(avoided.pause * 2, LONGEST_PAUSE)
    avoided.until = time.monotonic() + avoided.pause
    if not avoided.warnings.passes("avoided"):
        return
    extra = {"action": "supervise", "run_id": str(run)}
    if is_locked(error):
        logger.warning(
            "Run %s can't be supervised: another database session has locked one of its rows; "
            "it is tried again in %g s, and the other runs go on.",
            run,
            avoided.pause,
            extra=extra,
        )
    else:
        logger.exception("Run %s can't be supervised; the other runs go on.", run, extra=extra)


def is_connection_lost() -> bool:
    """Say whether the connection to the engine's database does not work any more."""
    database = connections[director.DATABASE]
    if database.in_atomic_block:
        return False
    try:
        return database.connection is None or not database.is_usable()
    except (DatabaseError, InterfaceError):
        return True


def _restore(database: BaseDatabaseWrapper, before: int) -> None:
    # A connection that was lost meanwhile has no such limit.
    with contextlib.suppress(DatabaseError, InterfaceError):
        if database.connection is not None and not database.needs_rollback:
            with database.cursor() as cursor:
                cursor.execute(f"SET SESSION {_MYSQL_WAIT} = %s", [before])
