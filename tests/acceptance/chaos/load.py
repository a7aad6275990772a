"""What a site does while everything breaks: start runs, and steer them with every verb that there is."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from django_director import engine
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.status import TASK_RETRYABLE

from .plan import HURTING

WORKFLOWS = {
    "chaos.CHAIN": 4,
    "chaos.JOIN": 4,
    "chaos.NESTED": 3,
    "chaos.FLAKY": 3,
    "chaos.FAILING": 2,
    "chaos.SLOW": 2,
    "chaos.LIMITED": 3,
    "chaos.MAP": 3,
    "chaos.BATCH": 3,
}
OFTEN = 2
"""The weight of those that hurt their own worker."""
VERBS = {"cancel": 8, "retry": 8, "rerun": 4, "skip": 3, "relaunch": 2, "pause": 4}
"""What the operators do, and how often."""
MOST_ACTIVE = 40
"""No run is started while so many have no outcome."""
SLOT = 5
"""Seconds between two slots of the schedule, which both operators serve, as two beats would."""


class Load:
    """Threads that use the engine as web servers and commands do."""

    def __init__(self, seed: int, rate: float, hurting: Iterable[str] = ()) -> None:
        """``hurting``: which of the workflows ``HURTING`` are among the load."""
        self.rate = rate
        self.workflows = WORKFLOWS | {HURTING[word]: OFTEN for word in sorted(hurting)}
        self.refused = 0
        self.done: Counter[str] = Counter()
        """How often the operators did what."""
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
            (name,) = numbers.choices(list(self.workflows), list(self.workflows.values()))
            engine.start(name)
        self._stop.wait(numbers.expovariate(self.rate))

    def resume_all(self) -> None:
        """Nothing may stay paused when the load has ended."""
        for run in Run.objects.active().filter(paused_at__isnull=False):
            with contextlib.suppress(Conflict):
                engine.resume(run)

    def _operate(self, numbers: random.Random) -> None:
        """Steer a run; the other operator may have chosen the same one."""
        now = int(time.time()) // SLOT * SLOT
        engine.start("chaos.CHAIN", schedule="chaos", scheduled_for=datetime.fromtimestamp(now, UTC))
        (verb,) = numbers.choices(list(VERBS), list(VERBS.values()))
        if getattr(self, f"_{verb}")(numbers):
            self.done[verb] += 1
        self._stop.wait(numbers.uniform(0.5, 1.5))

    def _cancel(self, numbers: random.Random) -> bool:
        run = Run.objects.active().order_by("-id").first()
        return run is not None and bool(engine.cancel(run, force=numbers.random() < 0.3))

    def _retry(self, numbers: random.Random) -> bool:
        run = Run.objects.retryable().order_by("-finished_at").first()
        return run is not None and bool(engine.retry(run))

    def _rerun(self, numbers: random.Random) -> bool:
        run = Run.objects.resettable().order_by("-finished_at").first()
        task = None if run is None else _any(numbers, run.tasks.steps())
        return task is not None and bool(engine.rerun(task))

    def _skip(self, numbers: random.Random) -> bool:
        broken = Task.objects.steps().filter(run__in=Run.objects.retryable(), status__in=TASK_RETRYABLE)
        task = _any(numbers, broken.order_by("-finished_at")[:5])
        return task is not None and bool(engine.skip(task, comment="chaos"))

    def _relaunch(self, numbers: random.Random) -> bool:
        run = Run.objects.resettable().order_by("-finished_at").first()
        return run is not None and bool(engine.relaunch(run, version=numbers.choice(["same", "current"])))

    def _pause(self, numbers: random.Random) -> bool:
        """And resume those that were paused before."""
        self.resume_all()
        run = Run.objects.active().filter(paused_at=None).order_by("-id").first()
        return run is not None and bool(engine.pause(run))


def _any(numbers: random.Random, tasks: Any) -> Task | None:
    rows = list(tasks.select_related("run__version", "run__workflow"))
    return numbers.choice(rows) if rows else None
