"""What a site does while everything breaks: start runs, cancel some, retry those that failed."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from django_director import engine
from django_director.exceptions import Conflict
from django_director.models import Run

WORKFLOWS = {
    "chaos.CHAIN": 4,
    "chaos.JOIN": 4,
    "chaos.NESTED": 3,
    "chaos.FLAKY": 3,
    "chaos.FAILING": 2,
    "chaos.SLOW": 2,
    "chaos.LIMITED": 3,
    "chaos.MAP": 3,
}
MOST_ACTIVE = 40
"""No run is started while so many have no outcome."""
SLOT = 5
"""Seconds between two slots of the schedule, which both operators serve, as two beats would."""


class Load:
    """Threads that use the engine as web servers and commands do."""

    def __init__(self, seed: int, rate: float) -> None:
        self.rate = rate
        self.refused = 0
        self.canceled = 0
        self.retried = 0
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._use, args=(work, random.Random(seed + number)), name=work.__name__)
            for number, work in enumerate((self._start, self._operate, self._operate))
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _use(self, work: Any, numbers: random.Random) -> None:
        while not self._stop.is_set():
            close_old_connections()
            try:
                work(numbers)
            except Conflict:
                pass
            except (DatabaseError, InterfaceError) as error:
                self.refused += 1
                self.errors.append(f"{work.__name__}: {error!r}"[:200])
                self._stop.wait(0.5)
        connections.close_all()

    def _start(self, numbers: random.Random) -> None:
        if Run.objects.active().count() < MOST_ACTIVE:
            (name,) = numbers.choices(list(WORKFLOWS), list(WORKFLOWS.values()))
            engine.start(name)
        self._stop.wait(numbers.expovariate(self.rate))

    def _operate(self, numbers: random.Random) -> None:
        """Cancel or retry a run; the other operator may have chosen the same one."""
        now = int(time.time()) // SLOT * SLOT
        engine.start("chaos.CHAIN", schedule="chaos", scheduled_for=datetime.fromtimestamp(now, UTC))
        if numbers.random() < 0.4:
            run = Run.objects.active().order_by("-id").first()
            if run is not None:
                engine.cancel(run, force=numbers.random() < 0.3)
                self.canceled += 1
        else:
            run = Run.objects.retryable().order_by("-finished_at").first()
            if run is not None:
                engine.retry(run)
                self.retried += 1
        self._stop.wait(numbers.uniform(0.5, 1.5))
