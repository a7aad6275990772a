"""Transactions that hardly wait for what another session has locked, as a ``psql`` that is open for hours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from django.db import transaction

from django_director.conf import director
from django_director.querysets import TaskQuerySet

from .transactions import connection

#: A second is the least that MariaDB and MySQL know, and theirs is the session's.
_SHORT: Final = {
    "postgresql": "SET LOCAL lock_timeout = '1s'",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
}


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """A transaction in which a statement waits for a lock for a second at most, and then raises ``DatabaseError``.

    On MariaDB and MySQL that holds for what follows on this connection too: let go of it afterwards. On SQLite
    there is no transaction, for one that begins to read may not write; what waits is bounded there anyhow.
    """
    short = _SHORT.get(connection().vendor)
    if short is None:
        yield
        return
    with transaction.atomic(using=director.DATABASE):
        with connection().cursor() as cursor:
            cursor.execute(short)
        yield


def free(tasks: TaskQuerySet) -> list[UUID]:
    """Lock those of ``tasks`` that no other session has locked, without waiting; return their ids."""
    return list(tasks.select_for_update(skip_locked=True).values_list("pk", flat=True))
