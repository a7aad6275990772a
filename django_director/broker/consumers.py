"""The holders of messages, and what becomes of their messages when a holder is gone.

A claimed message names its holder, and each holder has a row. A message whose holder has no row is free again, and
a transient queue whose owner has no row is removed. A holder that has lost its row by mistake gets a new name: the
messages that it held are not its own any more, and to settle one of them does nothing.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final
from uuid import UUID, uuid4

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from .errors import CONNECTION_ERRORS
from .liveness import Process, is_gone, this_process
from .models import Consumer, Message, TransientQueue
from .store import Store, later

logger = logging.getLogger(__name__)

LEASE: Final = 300.0
SWEEP: Final = 5.0
_CHUNK: Final = 500

_living: set[UUID] = set()
"""The holders of this process that have not ended: a holder may end while its process lives on."""


class Holder:
    """Holds messages for one broker connection, under a name of its own.

    ``lease`` is for how many seconds other machines believe that it lives without a renewal. It looks for holders
    that are gone every ``sweep`` seconds.
    """

    def __init__(self, store: Store, *, lease: float = LEASE, sweep: float = SWEEP) -> None:
        self.store = store
        self.lease = lease
        self.sweep_every = sweep
        self.id: UUID | None = None
        self._renew_at = self._sweep_at = 0.0

    def ensure(self) -> UUID:
        """Return the name of this holder; give it a name and a row if it has none."""
        if self.id is None:
            process, name = this_process(), uuid4()
            row = Consumer(id=name, lease_until=later(self.lease), **process._asdict())
            _living.add(name)
            self.store.run(lambda: row.save(using=self.store.alias, force_insert=True))
            self.id = name
            self._renew_at = time.monotonic() + self.lease / 5
        return self.id

    def tend(self) -> None:
        """Renew the lease, and look for holders that are gone, each if it is due."""
        if self.id is None:
            return
        if time.monotonic() >= self._renew_at:
            self._renew(self.id)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + self.sweep_every
            sweep(self.store)

    def _renew(self, name: UUID) -> None:
        mine = self.store.rows(Consumer).filter(pk=name)
        if self.store.update(mine, lease_until=later(self.lease)):
            self._renew_at = time.monotonic() + self.lease / 5
            return
        logger.warning("The lease of this consumer has expired; its unsettled messages may be delivered again.")
        _living.discard(name)
        self.id = None
        self.ensure()

    def end(self) -> None:
        """Remove the row of this holder: messages that it still holds are free for others from now on."""
        name, self.id = self.id, None
        if name is None:
            return
        _living.discard(name)
        try:
            self.store.delete(self.store.rows(Consumer).filter(pk=name))
        except CONNECTION_ERRORS as error:
            logger.warning("Could not sign off from the broker; the next consumer does it: %s", error)


def sweep(store: Store) -> None:
    """Remove consumers that are gone, free the messages that they held, and remove their transient queues."""
    _remove_gone(store)
    orphans = store.rows(Message).filter(claimed_by__isnull=False).filter(~_has_consumer("claimed_by"))
    while pks := store.run(lambda: list(orphans.values_list("pk", flat=True)[:_CHUNK])):
        freed = store.update(orphans.filter(pk__in=pks), claimed_by=None)
        logger.info("%d message(s) of consumers that are gone go back to their queues", freed)
    stale = store.rows(TransientQueue).filter(
        Q(owner=None, expires_at__lt=Now()) | (Q(owner__isnull=False) & ~_has_consumer("owner"))
    )
    for name in store.run(lambda: list(stale.values_list("name", flat=True))):
        store.drop(name, only=stale)


def _has_consumer(field: str) -> Exists:
    return Exists(Consumer.objects.filter(pk=OuterRef(field)))


def _remove_gone(store: Store) -> None:
    expired = ExpressionWrapper(Q(lease_until__lt=Now()), output_field=BooleanField())
    rows = store.rows(Consumer).annotate(expired=expired)
    for row in store.run(lambda: list(rows)):
        gone = _row_if_gone(store, row, is_expired=row.expired)
        if gone is not None and store.delete(gone):
            logger.warning("Consumer %s (process %d on %s) is gone", row.pk, row.pid, row.machine)


def _row_if_gone(store: Store, row: Consumer, *, is_expired: bool) -> QuerySet[Any] | None:
    """Return the row of a consumer as a queryset if the consumer is gone, else ``None``."""
    process, here = Process(row.machine, row.pid, row.started), this_process()
    mine = store.rows(Consumer).filter(pk=row.pk)
    if process == here:
        return None if row.pk in _living else mine
    if process.machine == here.machine:
        return mine if is_gone(process) else None
    # The consumer may have renewed its lease since the row was read.
    return mine.filter(lease_until__lt=Now()) if is_expired else None
