"""Renews the leases of tasks that run long, as long as their process lives.

One thread of the process renews the leases of all its claims. It sleeps until the oldest claim is ``RENEW``
seconds old, even if that claim ends earlier: to wake the thread for each short task would cost more than all the
rest of the bookkeeping for that task.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Iterator

from django.db import OperationalError

from django_director.common.process_signs import page
from django_director.common.throttle import Throttle
from django_director.conf import director
from django_director.db.errors import is_locked
from django_director.db.functions import later
from django_director.db.lock_limits import bounded, charge
from django_director.db.transactions import disconnect, statement
from django_director.engine.attempts.claim import Claim
from django_director.models import Task

logger = logging.getLogger(__name__)

LOCKED_PERIOD = 1.0
"""Seconds until the renewal of a lease is tried again, if another session has locked its row."""


class Keeper:
    """Renews the leases of claims; ``keep`` is a context manager for one claim."""

    def __init__(self) -> None:
        self._pid = 0
        self._refusals = Throttle()
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[int, tuple[float, Claim]] = {}
        self._wakes_at = math.inf
        """The time at which the thread wakes: when the first claim is due, or earlier if that claim has ended."""

    @contextlib.contextmanager
    def keep(self, claim: Claim) -> Iterator[None]:
        """Renew a claim's lease until the block ends."""
        self._ensure_thread()
        page.show_claim(claim.task_id, claim.token)
        due = time.monotonic() + director.RENEW
        with self._changed:
            self._due[claim.token] = (due, claim)
            if due < self._wakes_at:
                self._wakes_at = due
                self._changed.notify()
        try:
            yield
        finally:
            page.hide_claim()
            with self._changed:
                self._due.pop(claim.token, None)

    def _ensure_thread(self) -> None:
        # A forked process does not have the thread of its parent, and has a copy of the lock in any state.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._reset()
            threading.Thread(target=self._run, name="director-leases", daemon=True).start()

    def _run(self) -> None:
        while True:
            claims = self._wait()
            try:
                with bounded():
                    for claim in claims:
                        self._try_to_renew(claim)
            # No error may end this thread: every long task of the process would be lost.
            except Exception as error:
                if self._refusals.passes(type(error).__name__):
                    logger.warning("A lease could not be renewed: %s", error, extra={"action": "renew"})
            finally:
                disconnect()

    def _wait(self) -> list[Claim]:
        """Wait until claims are due, set when they are due next, and return them."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [(token, claim) for token, (at, claim) in self._due.items() if at <= now]
                if due:
                    for token, claim in due:
                        self._due[token] = (now + director.RENEW, claim)
                    return [claim for _, claim in due]
                if self._wakes_at <= now:
                    self._wakes_at = min((at for at, _ in self._due.values()), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)

    def _try_to_renew(self, claim: Claim) -> None:
        began = time.monotonic()
        try:
            self._renew(claim)
        except OperationalError as error:
            if not is_locked(error):
                raise
            # As long as its row is locked, no other worker can take the task. The other claims must not wait for
            # it.
            charge(time.monotonic() - began)
            with self._changed:
                if claim.token in self._due:
                    self._due[claim.token] = (time.monotonic() + LOCKED_PERIOD, claim)

    def _renew(self, claim: Claim) -> None:
        mine = Task.objects.running().filter(pk=claim.task_id, claim=claim.token)
        if not statement(lambda: mine.update(lease_until=later(director.LEASE))):
            with self._changed:
                self._due.pop(claim.token, None)


keeper = Keeper()
