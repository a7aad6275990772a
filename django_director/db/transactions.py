"""Whole transactions, tried again when the database asks for it."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from django_director.common import shutdown
from django_director.common.throttle import Throttle
from django_director.conf import director

from . import lock_limits
from .errors import is_contention, is_loss, is_of_data

P = ParamSpec("P")
T = TypeVar("T")
QueryType = TypeVar("QueryType", bound=QuerySet[Any])

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds a caller waits for the database to accept a transaction."""
WORKER_PATIENCE: Final = 300.0
"""The same for a worker with a message or a result in its hands: it waits out all but an error of the data."""
BATCH: Final = 500
"""How many rows one statement of the supervisor changes."""

_refusals: Final = Throttle()


def connection() -> BaseDatabaseWrapper:
    """The connection to the database of all of django-director's tables."""
    return connections[director.DATABASE]


def transact(work: Callable[[], T], *, patience: float = PATIENCE) -> T:
    """Run ``work`` in a transaction and return what it returns.

    Deadlocks, serialisation failures and lost connections roll everything back and start ``work`` anew, for
    ``patience`` seconds; with ``WORKER_PATIENCE`` so does every error that is not of the data, on a new
    connection: a time-out, a full disk, a column that is missing until a deployment is complete. A lock that lasts
    longer than a statement waits is raised at once, see ``bounds``. Inside a transaction of the caller's there is
    one try: the rest is the caller's to redo. ``work`` may run several times and must not do anything but write
    rows.
    """
    return _with_patience(partial(_atomically, work), patience)


def in_transaction(*, patience: float = PATIENCE) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Run each call of a function in a transaction of its own, as ``transact`` does; a decorator."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def whole(*args: P.args, **kwargs: P.kwargs) -> T:
            return transact(partial(function, *args, **kwargs), patience=patience)

        return whole

    return decorate


def statement(work: Callable[[], T], *, patience: float = PATIENCE) -> T:
    """As ``transact``, for ``work`` that is one statement and so needs no transaction."""
    # The limit of a wait for locks is one of a transaction.
    if lock_limits.is_bounded():
        return transact(work, patience=patience)
    return _with_patience(work, patience)


def update_unlocked(
    rows: QuerySet[Any], update: Callable[[Any], int], *, limit: int = BATCH, patience: float = PATIENCE
) -> int:
    """Call ``update`` with at most ``limit`` of ``rows``, without those that are locked; return its result.

    ``update`` is one statement and asks again for what it relies on. On SQLite, where rows have no locks, all.
    """
    if connection().features.has_select_for_update_skip_locked:
        return transact(lambda: _update(rows.model, _lock(rows, limit), update), patience=patience)
    chosen = list(rows.values_list("pk", flat=True)[:limit])
    return statement(partial(_update, rows.model, chosen, update), patience=patience)


def unlocked(rows: QueryType, limit: int) -> QueryType:
    """At most ``limit`` of ``rows``, without those that are locked now. ``rows`` joins no other table."""
    if not connection().features.has_select_for_update_skip_locked:
        return rows[:limit]
    chosen = transact(partial(_lock, rows, limit))
    return rows.filter(pk__in=chosen)


def _lock(rows: QuerySet[Any], limit: int) -> list[Any]:
    of = ("self",) if connection().features.has_select_for_update_of else ()
    if not rows.query.order_by:
        # By their usual order tasks are joined with their runs, and MariaDB would lock those too.
        rows = rows.order_by("pk")
    free = rows.select_for_update(skip_locked=True, of=of)
    return list(free.values_list("pk", flat=True)[:limit])


def _update(model: type[Model], chosen: list[Any], update: Callable[[Any], int]) -> int:
    return update(model._default_manager.filter(pk__in=chosen)) if chosen else 0


def after_commit(work: Callable[[], object]) -> None:
    """Call ``work`` when the transaction has committed; its errors are logged and harm nobody."""

    # Django logs the name of what failed, and a partial has none: that would be an error after all.
    def call() -> None:
        try:
            with lock_limits.bounded(lock_limits.VERB_SECONDS):
                work()
        except OperationalError as error:
            if not lock_limits.is_locked(error):
                raise
            logger.warning("Another database session has locked a row; what follows is left to the supervisor.")

    transaction.on_commit(call, using=director.DATABASE, robust=True)


def disconnect() -> None:
    """Let go of this thread's connection, in whatever state it is."""
    # MySQL's driver complains of closing what the server has closed; Django lets go of it all the same.
    with contextlib.suppress(DatabaseError, InterfaceError):
        connection().close()


def is_transient(error: DatabaseError | InterfaceError, used: object) -> bool:
    """Say whether a transaction on the driver's connection ``used`` may succeed when it is tried again at once."""
    return is_contention(error) or (is_loss(error) and _is_lost(used))


def _atomically(work: Callable[[], T]) -> T:
    is_own = lock_limits.is_own()
    with transaction.atomic(using=director.DATABASE):
        if not is_own:
            return work()
        with lock_limits.own_transaction():
            lock_limits.limit_locks(connection())
            return work()


def _with_patience(work: Callable[[], T], patience: float) -> T:
    began = time.monotonic()
    with shutdown.watch.waiting(began):
        return _persevere(work, began, patience)


def _persevere(work: Callable[[], T], began: float, patience: float) -> T:
    delay, tries = 0.02, 0
    while True:
        used, database = None, connection()
        try:
            database.ensure_connection()
            used = database.connection
            return work()
        except (DatabaseError, InterfaceError) as error:
            tries += 1
            if database.in_atomic_block or _is_over(began, patience):
                raise
            if lock_limits.is_row_locked(error):
                # It has waited as long as it shall.
                raise
            if patience >= WORKER_PATIENCE:
                _make_ready(error, tries)
            elif not is_transient(error, used):
                raise
        # Jitter keeps those who collided once from colliding again.
        time.sleep(delay * random.uniform(0.5, 1))
        delay = min(delay * 2, 1.0)


def _is_over(began: float, patience: float) -> bool:
    return time.monotonic() > min(began + patience, shutdown.ends_patience_of(began))


def _make_ready(error: Any, tries: int) -> None:
    """Make ready for another try, whatever went wrong; raises ``error`` when that would be of no use."""
    if is_of_data(error):
        raise error
    if is_contention(error) and tries < 5:
        return
    # The cause may be this session: what a task has set, a server that has become read only, a lost connection.
    disconnect()
    if tries > 1 and _refusals.passes(type(error).__name__):
        logger.warning(
            "The database refuses what a worker has to write, which is tried again: %s",
            str(error).strip(),
            extra={"action": "persevere"},
        )


def _is_lost(used: object) -> bool:
    # The end of a failed atomic block connects anew: alive is then another connection than the one that was lost.
    return connection().connection is not used or not _is_alive()


def _is_alive() -> bool:
    database = connection()
    if database.in_atomic_block:
        return True
    try:
        alive = database.connection is not None and database.is_usable()
    except (DatabaseError, InterfaceError):
        alive = False
    if not alive:
        disconnect()
    return alive
