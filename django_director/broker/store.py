"""Reads and writes the broker's messages, queues and bindings in the database.

Each method is one statement, or one transaction that begins with a write. Outside of the caller's transaction a
statement that was stopped by a lock is repeated, and a broken connection is closed, so that its next use opens
another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, models, transaction
from django.db.models import F
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError

from .codec import UNDECODABLE
from .errors import CONNECTION_ERRORS, met_a_lock
from .models import Binding, Message, TransientQueue

T = TypeVar("T")


_LOCK_WAITS: Final = (0.02, 0.05, 0.1, 0.2, 0.4)


def later(seconds: float) -> models.Expression:
    """Return the time ``seconds`` from now by the database's clock, which all processes have in common."""
    return models.ExpressionWrapper(
        Now() + models.Value(timedelta(seconds=seconds)), output_field=models.DateTimeField()
    )


class Store:
    """The broker's tables in one database."""

    def __init__(self, alias: str) -> None:
        if alias not in connections:
            known = ", ".join(sorted(connections))
            raise ImproperlyConfigured(
                f"the broker URL names the database “{alias}”, which is not in DATABASES ({known})"
            )
        self.alias = alias

    @property
    def in_transaction(self) -> bool:
        """Whether this code runs inside ``transaction.atomic()`` of the caller."""
        return connections[self.alias].in_atomic_block

    def run(self, operation: Callable[[], T]) -> T:
        """Call ``operation`` and return its result; call it again if it was stopped by a lock.

        Raises Django's ``OperationalError`` or ``InterfaceError``.
        """
        connection = connections[self.alias]
        for wait in (*_LOCK_WAITS, None):
            try:
                return operation()
            except CONNECTION_ERRORS as error:
                if connection.in_atomic_block:
                    raise
                connection.close_if_unusable_or_obsolete()
                if wait is None or not met_a_lock(error):
                    raise
                time.sleep(wait)
        raise AssertionError("unreachable")

    def rows(self, model: type[models.Model]) -> models.QuerySet[Any]:
        """Return all rows of a model in the broker's database."""
        return model._default_manager.using(self.alias)

    def delete(self, rows: models.QuerySet[Any]) -> int:
        """Delete rows and return their number.

        It is one statement; ``QuerySet.delete()`` would add a transaction.
        """
        return self.run(lambda: int(rows._raw_delete(self.alias)))

    def update(self, rows: models.QuerySet[Any], **values: object) -> int:
        """Change rows and return their number."""
        return self.run(lambda: rows.update(**values))

    def check(self) -> None:
        """Raise kombu's ``OperationalError`` if the tables are missing, and Django's if the database is away."""
        try:
            self.run(lambda: self.rows(Message).filter(pk=0).exists())
        except DatabaseError as error:
            if self.in_transaction or Message._meta.db_table in self.run(self._tables):
                raise
            raise BrokerError(
                f"django_director.broker has no tables in the database “{self.alias}”:"
                f" run “manage.py migrate --database {self.alias}”"
            ) from error

    def _tables(self) -> list[str]:
        return connections[self.alias].introspection.table_names()

    # Messages

    def put(self, queues: Collection[str], rank: int, body: str) -> None:
        """Put a message into each of ``queues``."""
        rows = [Message(queue=queue, rank=rank, body=body) for queue in queues]
        if len(rows) == 1:
            self.run(lambda: rows[0].save(using=self.alias, force_insert=True))
        else:
            self.run(lambda: self.rows(Message).bulk_create(rows))

    def free(self, queue: str) -> models.QuerySet[Message]:
        """Return the messages that a consumer of ``queue`` may claim."""
        return self.rows(Message).filter(queue=queue, claimed_by=None)

    def first(self, queue: str, limit: int) -> Sequence[tuple[int, str, int]]:
        """Return the id, the body and the number of deliveries of the next messages.

        Another consumer may claim them before the caller does.
        """
        rows = self.free(queue).order_by("rank", "id").values_list("id", "body", "deliveries")
        return self.run(lambda: list(rows[:limit]))

    def claim(self, pk: int, owner: UUID) -> bool:
        """Claim a message for a holder; return ``False`` if another consumer was faster."""
        free = self.rows(Message).filter(pk=pk, claimed_by=None)
        return self.update(free, claimed_by=owner, deliveries=F("deliveries") + 1) == 1

    def take(self, pk: int) -> bool:
        """Claim a message and settle it at once; return ``False`` if another consumer was faster."""
        return self.delete(self.rows(Message).filter(pk=pk, claimed_by=None)) == 1

    def settle(self, pk: int, owner: UUID) -> bool:
        """Remove a message that was worked on; return ``False`` if it is not the owner's any more."""
        return self.delete(self.rows(Message).filter(pk=pk, claimed_by=owner)) == 1

    def release(self, pks: Collection[int], owner: UUID) -> int:
        """Give messages back to their places in the queue; return their number."""
        return self.update(self.rows(Message).filter(pk__in=pks, claimed_by=owner), claimed_by=None)

    def set_aside(self, pk: int) -> None:
        """Move an unreadable message to the queue ``UNDECODABLE``, so that it is neither lost nor in the way."""
        self.update(self.rows(Message).filter(pk=pk, claimed_by=None), queue=UNDECODABLE)

    # Queues and bindings

    def size(self, queue: str) -> int:
        """Return how many messages of a queue nobody has claimed."""
        return self.run(self.free(queue).count)

    def purge(self, queue: str) -> int:
        """Remove all messages of a queue that nobody holds; return their number."""
        return self.delete(self.free(queue))

    def exists(self, queue: str) -> bool:
        """Whether a queue exists: it has a binding, a row of its own, or a message."""
        return self.run(
            lambda: (
                self.rows(Binding).filter(queue=queue).exists()
                or self.rows(TransientQueue).filter(name=queue).exists()
                or self.rows(Message).filter(queue=queue).exists()
            )
        )

    def touch(self, queue: str, seconds: float, owner: UUID | None) -> bool:
        """Keep a transient queue for ``seconds``; return ``False`` if it does not exist."""
        rows = self.rows(TransientQueue).filter(name=queue)
        return self.update(rows, owner=owner, expires_at=later(seconds)) > 0

    def declare(self, queue: str, seconds: float, owner: UUID | None) -> None:
        """Create a transient queue, or change its owner if it exists."""
        if not self.touch(queue, seconds, owner):
            row = TransientQueue(name=queue, owner=owner, expires_at=later(seconds))
            self.run(lambda: self.rows(TransientQueue).bulk_create([row], ignore_conflicts=True))

    def drop(self, queue: str, *, only: models.QuerySet[Any] | None = None) -> bool:
        """Remove a queue with its bindings and messages; with ``only``, do so only if its row is among these."""
        return self.run(lambda: self._drop(queue, only))

    def _drop(self, queue: str, only: models.QuerySet[Any] | None) -> bool:
        rows = self.rows(TransientQueue) if only is None else only
        with transaction.atomic(using=self.alias):
            if not rows.filter(name=queue)._raw_delete(self.alias) and only is not None:
                return False
            self.rows(Binding).filter(queue=queue)._raw_delete(self.alias)
            self.rows(Message).filter(queue=queue)._raw_delete(self.alias)
        return True

    def bind(self, exchange: str, routing_key: str, queue: str) -> None:
        """Create a binding if it does not exist."""
        values = {"exchange": exchange, "routing_key": routing_key, "queue": queue}
        if not self.run(self.rows(Binding).filter(**values).exists):
            self.run(lambda: self.rows(Binding).bulk_create([Binding(**values)], ignore_conflicts=True))

    def unbind(self, exchange: str, routing_key: str, queue: str) -> None:
        """Remove a binding."""
        self.delete(self.rows(Binding).filter(exchange=exchange, routing_key=routing_key, queue=queue))

    def bindings(self, exchange: str) -> list[tuple[str, str]]:
        """Return the routing key and the queue of each binding of an exchange."""
        rows = self.rows(Binding).filter(exchange=exchange).values_list("routing_key", "queue")
        return self.run(lambda: list(rows))
