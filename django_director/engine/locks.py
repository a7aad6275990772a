"""Transactions that hardly wait for what another session has locked, as a ``psql`` that is open for hours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction

from django_director.conf import director
from django_director.querysets import TaskQuerySet

from .transactions import connection


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """A transaction in which a statement waits for a lock for a second at most, and then raises ``DatabaseError``.

    On SQLite there is no transaction, for one that begins to read may not write; its own time-out is the bound.
    """
    vendor = connection().vendor
    if vendor == "sqlite":
        yield
        return
    with transaction.atomic(using=director.DATABASE), _bounded_on_mysql() if vendor == "mysql" else _bounded():
        yield


def free(tasks: TaskQuerySet) -> list[UUID]:
    """Lock those of ``tasks`` that no other session has locked, without waiting; return their ids."""
    # In their usual order their runs would be locked with them.
    rows = tasks.order_by("pk").select_for_update(skip_locked=True)
    return list(rows.values_list("pk", flat=True))


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '1s'")
    yield


@contextlib.contextmanager
def _bounded_on_mysql() -> Iterator[None]:
    # There it is the session's, which others go on to use; and a second is the least.
    with connection().cursor() as cursor:
        cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
        (before,) = cursor.fetchone()
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        try:
            yield
        finally:
            # A connection that is lost needs no more.
            with contextlib.suppress(DatabaseError, InterfaceError):
                cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [before])
