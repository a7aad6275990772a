"""Leadership: the lease by which one of several supervisors works while the others stand by."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Q

from django_director.conf import director
from django_director.db import lock_limits
from django_director.db.functions import Now, later
from django_director.db.transactions import statement
from django_director.models import Lease

logger = logging.getLogger(__name__)

LEASE_NAME: Final = "supervisor"
LEASE_SECONDS: Final = 3.6
"""How long a supervisor that gives no sign keeps the others out; less where tasks' leases are shorter."""


def lease_seconds() -> float:
    """Seconds for which the lease is taken or renewed."""
    return min(LEASE_SECONDS, float(director.LEASE) / 2)


class Leadership:
    """The lease as one supervisor knows it."""

    def __init__(self, name: str, warn: Callable[..., None]) -> None:
        """``name`` names the supervisor; ``warn`` takes the subject of a warning, and its text with arguments."""
        self.name = name
        self.is_held = False
        """Whether this supervisor had the lease when it last tried to take it."""
        self.free_in = 0.0
        """Seconds until another supervisor's lease ends if it is not renewed."""
        self.renewed_at = 0.0
        self._warn = warn

    @property
    def is_fresh(self) -> bool:
        """Whether the lease was ours a moment ago: it is renewed each third of its time, not at each tick."""
        return self.is_held and time.monotonic() - self.renewed_at < lease_seconds() / 3

    def acquire(self) -> bool:
        """Take or renew the lease; say whether this supervisor is to work."""
        self.renewed_at = time.monotonic()
        try:
            with lock_limits.bounded():
                self.is_held = self._take()
        except OperationalError as error:
            if not lock_limits.is_locked(error):
                raise
            # Two that work are harmless, and none would be no supervisor at all.
            self._warn(
                "lease", "Another session has locked the supervisor's lease; %s works without it.", self.name
            )
            self.is_held = True
        return self.is_held

    def release(self) -> None:
        """Let another supervisor take the lease at once."""
        try:
            with lock_limits.bounded():
                own = Lease.objects.filter(name=LEASE_NAME, holder=self.name)
                statement(lambda: own.update(holder="", until=Now()))
        except (DatabaseError, InterfaceError):
            logger.info("The supervisor's lease is left to run out.")

    def _take(self) -> bool:
        mine = Lease.objects.filter(Q(holder=self.name) | Q(until__lt=Now()), name=LEASE_NAME)
        changes = {"holder": self.name, "until": later(lease_seconds()), "beat_at": Now()}
        before = None if self.is_held else Lease.objects.annotate(now=Now()).filter(name=LEASE_NAME).first()
        self.free_in = 0.0 if before is None else (before.until - before.now).total_seconds()
        held = bool(statement(lambda: mine.update(**changes)))
        if not held and before is None and not self.is_held:
            lease = Lease(name=LEASE_NAME, holder=self.name, until=Now(), beat_at=Now())
            Lease.objects.bulk_create([lease], ignore_conflicts=True)
            held = bool(statement(lambda: mine.update(**changes)))
        if held and before is not None and before.holder not in ("", self.name):
            self._warn("old", "The supervisor %s has given no sign since %s.", before.holder, before.beat_at)
        return held
