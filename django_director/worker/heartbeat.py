"""Writes the signs of life of a worker, in a thread beside its supervisor.

The thread also finds out which frozen processes of the pool have lost their tasks, and lets them be killed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from django.db import DatabaseError, InterfaceError

from django_director.common.throttle import Throttle
from django_director.conf import director
from django_director.db.functions import later
from django_director.db.lock_limits import bounded
from django_director.db.transactions import disconnect
from django_director.engine.supervisor import lost_attempts, workers
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.models import Lease

from .frozen_processes import Watcher

logger = logging.getLogger(__name__)

REMINDER: Final = 3_600.0
"""Seconds between two warnings that there is no supervisor."""


class Heartbeat(threading.Thread):
    """Writes a worker's signs of life until ``leave`` is called.

    ``watcher`` watches the pool of processes beside this thread. Without one a task can hold up the signs, so no
    worker counts as lost by them. ``queues`` returns from which queues the worker takes tasks.
    """

    def __init__(
        self,
        key: int,
        name: str,
        watcher: Watcher | None = None,
        queues: Callable[[], list[str] | None] = lambda: None,
    ) -> None:
        super().__init__(name="director-heartbeat", daemon=True)
        self._key = key
        self._worker = name
        self._watcher = watcher
        self._queues = queues
        self._leaving = threading.Event()
        self._warnings = Throttle()
        self._reminders = Throttle(REMINDER)
        self._looked_at = time.monotonic()

    def run(self) -> None:
        """Write signs of life, and at the end that the worker has ended."""
        while not self._leaving.is_set():
            self._try(self._beat)
            if director.SUPERVISOR != "worker" and time.monotonic() - self._looked_at > director.LEASE:
                self._try(self._check_supervisor)
            self._leaving.wait(workers.beat_period())
        self._try(lambda: workers.remove_worker(self._key))
        disconnect()

    def leave(self, seconds: float) -> None:
        """Let the thread write that the worker has ended; wait for that ``seconds`` at most."""
        self._leaving.set()
        self.join(seconds)

    def _beat(self) -> None:
        workers.give_sign(self._key, self._worker, is_watched=self._watcher is not None, queues=self._queues())
        if self._watcher is not None:
            self._watcher.kill_lost(lost_attempts.still_held)

    def _check_supervisor(self) -> None:
        """Warn if no supervisor has worked for as long as a lease; for when it is a process of its own."""
        self._looked_at = time.monotonic()
        if Lease.objects.filter(name=LEASE_NAME, beat_at__gt=later(-director.LEASE)).exists():
            self._reminders.reset()
        elif self._reminders.passes("supervisor"):
            logger.warning(
                "No supervisor has worked for %g s: nothing finds lost workers, wakes what waits, or sends again"
                " what was lost. DIRECTOR['SUPERVISOR'] is \"process\": run `manage.py superviseworkflows`.",
                director.LEASE,
                extra={"action": "supervise"},
            )

    def _try(self, work: Callable[[], None]) -> None:
        try:
            with bounded():
                work()
        except (DatabaseError, InterfaceError) as error:
            disconnect()
            if self._warnings.passes("beat"):
                logger.warning("The worker can't write that it is alive: %s", error, extra={"action": "beat"})
