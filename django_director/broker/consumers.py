"""Who holds messages, and what becomes of them when the holder is gone.

A claim names its holder, and the holder has one row. A message whose holder has no row is free again, and so goes
a transient queue. A holder that lost its row by mistake comes back under a new name: what it held is not its own
any more, and settling it does nothing.
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
"""The holders in this process, for a holder may end while its process lives on."""


class Holder:
    """The name under which one broker connection holds messages. Times are seconds.

    ``lease`` is how long other machines believe in it without a sign, ``sweep`` how often it looks for the dead.
    """

    def __init__(self, store: Store, *, lease: float = LEASE, sweep: float = SWEEP) -> None:
        self.store = store
        self.lease = lease
        self.sweep_every = sweep
        self.id: UUID | None = None
        self._renew_at = self._sweep_at = 0.0

    def ensure(self) -> UUID:
        """The name; registered when there is none."""
        if self.id is None:
            process, name = this_process(), uuid4()
            row = Consumer(id=name, lease_until=later(self.lease), **process._asdict())
            _living.add(name)
            self.store.run(lambda: row.save(using=self.store.alias, force_insert=True))
            self.id = name
            self._renew_at = time.monotonic() + self.lease / 5
        return self.id

    def tend(self) -> None:
        """Renew and sweep, each when it is due."""
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
        """Whatever is still held is free for others from now on."""
        name, self.id = self.id, None
        if name is None:
            return
        _living.discard(name)
        try:
            self.store.delete(self.store.rows(Consumer).filter(pk=name))
        except CONNECTION_ERRORS as error:
            logger.warning("Could not sign off from the broker; the next consumer does it: %s", error)


def sweep(store: Store) -> None:
    """Remove consumers that are gone, free what they held, and drop the queues that went with them."""
    _bury(store)
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


def _bury(store: Store) -> None:
    expired = ExpressionWrapper(Q(lease_until__lt=Now()), output_field=BooleanField())
    rows = store.rows(Consumer).annotate(expired=expired)
    for row in store.run(lambda: list(rows)):
        grave = _grave(store, row)
        if grave is not None and store.delete(grave):
            logger.warning("Consumer %s (process %d on %s) is gone", row.pk, row.pid, row.machine)


def _grave(store: Store, row: Any) -> QuerySet[Any] | None:
    """The row to delete if the consumer is dead."""
    process, here = Process(row.machine, row.pid, row.started), this_process()
    mine = store.rows(Consumer).filter(pk=row.pk)
    if process == here:
        return None if row.pk in _living else mine
    if process.machine == here.machine:
        return mine if is_gone(process) else None
    # It may have renewed since it was read.
    return mine.filter(lease_until__lt=Now()) if row.expired else None
