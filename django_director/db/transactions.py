"""Transactions of the engine, which are tried again when the database gives a reason for it."""

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
from .errors import is_contention, is_locked, is_loss, is_of_data, is_row_locked

P = ParamSpec("P")
T = TypeVar("T")
QueryType = TypeVar("QueryType", bound=QuerySet[Any])

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""For how many seconds a transaction is tried again."""
WORKER_PATIENCE: Final = 300.0
"""For how many seconds a worker that has a message or a result tries a transaction again.

It tries again after every error but one of the data.
"""
BATCH: Final = 500
"""How many rows one statement of the supervisor changes at most."""

_refusals: Final = Throttle()


def connection() -> BaseDatabaseWrapper:
    """Return the connection to the database that holds django-director's tables."""
    return connections[director.DATABASE]


def transact(work: Callable[[], T], *, patience: float = PATIENCE) -> T:
    """Call ``work`` in a transaction and return what it returns.

    After a deadlock, a serialisation failure or a lost connection the transaction is rolled back and ``work`` is
    called again, for ``patience`` seconds. With ``WORKER_PATIENCE`` this is so after every error that is not one
    of the data, and on a new connection: a time-out, a full disk, a column that is missing until a deployment is
    complete. When a lock lasts longer than a statement waits, the error is raised at once, see ``lock_limits``.
    Inside a transaction of the caller's ``work`` is called once: only the caller can repeat that transaction.
    ``work`` may be called several times, so it must do nothing but write rows.
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
    """Call ``work``, which executes a single statement and so needs no transaction; return what it returns.

    It is called again after errors by the rules of ``transact``.
    """
    # Inside `bounded` the wait for locks is limited, and only a transaction can have such a limit.
    if lock_limits.is_bounded():
        return transact(work, patience=patience)
    return _with_patience(work, patience)


def update_unlocked(
    rows: QuerySet[Any], update: Callable[[Any], int], *, limit: int = BATCH, patience: float = PATIENCE
) -> int:
    """Call ``update`` with a queryset of at most ``limit`` unlocked ``rows``; return its result.

    ``update`` executes one statement, which must check its conditions again: rows may have changed since they were
    chosen. On SQLite, where rows have no locks, no row is left out.
    """
    if connection().features.has_select_for_update_skip_locked:
        return transact(lambda: _update(rows.model, _lock(rows, limit), update), patience=patience)
    chosen = list(rows.values_list("pk", flat=True)[:limit])
    return statement(partial(_update, rows.model, chosen, update), patience=patience)


def unlocked(rows: QueryType, limit: int) -> QueryType:
    """Return a queryset of at most ``limit`` of ``rows``, none of which is locked now.

    ``rows`` must not join other tables.
    """
    if not connection().features.has_select_for_update_skip_locked:
        return rows[:limit]
    chosen = transact(partial(_lock, rows, limit))
    return rows.filter(pk__in=chosen)


def _lock(rows: QuerySet[Any], limit: int) -> list[Any]:
    of = ("self",) if connection().features.has_select_for_update_of else ()
    if not rows.query.order_by:
        # The default order of tasks joins their runs, and MariaDB would lock these too.
        rows = rows.order_by("pk")
    free = rows.select_for_update(skip_locked=True, of=of)
    return list(free.values_list("pk", flat=True)[:limit])


def _update(model: type[Model], chosen: list[Any], update: Callable[[Any], int]) -> int:
    return update(model._default_manager.filter(pk__in=chosen)) if chosen else 0


def after_commit(work: Callable[[], object]) -> None:
    """Call ``work`` once the present transaction has committed; its errors are logged and not raised."""

    # A named function: Django logs the name of a function that fails, and a partial has no name.
    def call() -> None:
        try:
            with lock_limits.bounded(lock_limits.VERB_SECONDS):
                work()
        except OperationalError as error:
            if not is_locked(error):
                raise
            logger.warning("Another database session has locked a row; what follows is left to the supervisor.")

    transaction.on_commit(call, using=director.DATABASE, robust=True)


def disconnect() -> None:
    """Close this thread's connection, in whatever state it is."""
    # MySQL's driver raises an error for a connection that the server has closed; Django forgets it all the same.
    with contextlib.suppress(DatabaseError, InterfaceError):
        connection().close()


def is_transient(error: DatabaseError | InterfaceError, used: object) -> bool:
    """Whether a transaction that failed on the driver's connection ``used`` may succeed when it is tried again."""
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
            if is_row_locked(error):
                # The statement has waited for the lock as long as it may.
                raise
            if patience >= WORKER_PATIENCE:
                _prepare_retry(error, tries)
            elif not is_transient(error, used):
                raise
        # The random part keeps two transactions that collided once from colliding again.
        time.sleep(delay * random.uniform(0.5, 1))
        delay = min(delay * 2, 1.0)


def _is_over(began: float, patience: float) -> bool:
    return time.monotonic() > min(began + patience, shutdown.give_up_time(began))


def _prepare_retry(error: DatabaseError | InterfaceError, tries: int) -> None:
    """Prepare another try after any error but one of the data: that is raised, for it would come again."""
    if is_of_data(error):
        raise error
    if is_contention(error) and tries < 5:
        return
    # The cause may be this session: settings of a task, a server that has become read only, a lost connection.
    disconnect()
    if tries > 1 and _refusals.passes(type(error).__name__):
        logger.warning(
            "The database refuses what a worker has to write, which is tried again: %s",
            str(error).strip(),
            extra={"action": "persevere"},
        )


def _is_lost(used: object) -> bool:
    # At the end of a failed atomic block Django connects anew. So if there is another connection now, the one that
    # was used has been lost.
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
