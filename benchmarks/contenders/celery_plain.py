"""Plain Celery: nothing is tracked, the rest of a chain travels in its messages."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import chain, chord, group

from benchmarks.processes import worker_command

from . import DEADLINE, CeleryContender


class CeleryPlain(CeleryContender):
    """Chains and chords with results in Redis."""

    name = "celery"
    queue = "bench-plain"

    def prepare(self) -> None:
        os.environ["CELERY_BROKER_URL"] = self.places.broker
        os.environ["BENCH_RESULTS_URL"] = self.places.results
        from benchmarks import plain_app  # reads the places from the environment

        self.tasks = plain_app
        super().prepare()

    def command(self, number: int) -> list[str]:
        return worker_command(sys.executable, "benchmarks.plain_app", self.queue, number)

    @property
    def results(self) -> str:
        return self.places.results

    def noops(self, count: int) -> int:
        return self._send(self.tasks.noop, count)

    def ignored(self, count: int) -> int:
        """Independent tasks without results."""
        return self._send(self.tasks.ignored, count)

    def _send(self, task: Any, count: int) -> int:
        before = self.stamps.count
        with self.tasks.app.producer_or_acquire() as producer:
            for _ in range(count):
                task.apply_async(producer=producer)
        return self.finish(before, count)

    def chain(self, length: int) -> int:
        return self._run([chain(*self._members(length))], length)

    def fan(self, width: int) -> int:
        return self._run([chord(group(self._members(width)), self.tasks.noop.si())], width + 1)

    def etl(self, runs: int) -> int:
        return self._run([chain(*self._members(3)) for _ in range(runs)], 3 * runs)

    def _members(self, count: int) -> list[Any]:
        return [self.tasks.noop.si() for _ in range(count)]

    def _run(self, signatures: list[Any], tasks: int) -> int:
        before = self.stamps.count
        results = [signature.apply_async() for signature in signatures]
        self.finish(before, tasks)
        for result in results:
            result.get(timeout=DEADLINE)
        return tasks
