"""django-director."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.processes import worker_command

from . import DEADLINE, Contender

CHAINS = (3, 10, 100)
FANS = (10, 100, 1000)
GROUPS = (50,)


def write_workflows(path: Path, *, chains: Iterable[int] = CHAINS, fans: Iterable[int] = FANS) -> None:
    """A file with a chain and a group with a join of each size, and sizes without a join for single tasks."""
    lines = [f"bench.CHAIN_{n}: {{tasks: [{', '.join(['NOOP'] * n)}]}}" for n in chains]
    lines += [f"bench.FAN_{n}: {{tasks: [G: {{type: group, tasks: {_many(n)}}}, NOOP]}}" for n in fans]
    lines.append(
        f"bench.TENS: {{tasks: [{', '.join(f'G{i}: {{type: group, tasks: {_many(10)}}}' for i in range(10))}]}}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _many(count: int) -> str:
    return f"[{', '.join(['NOOP'] * count)}]"


class Director(Contender):
    """Workflows of this package."""

    name = "director"
    queue = "bench-director"

    def command(self, number: int) -> list[str]:
        return worker_command(sys.executable, "benchmarks.app", self.queue, number)

    @property
    def database(self) -> str:
        return self.places.bench_database

    def noops(self, count: int) -> int:
        """Runs of a chain of three: a run of one task would measure starting."""
        return self.etl(-(-count // 3))

    def chain(self, length: int) -> int:
        return self.run(f"bench.CHAIN_{length}", length)

    def fan(self, width: int) -> int:
        return self.run(f"bench.FAN_{width}", width + 1)

    def etl(self, runs: int) -> int:
        return self.run("bench.CHAIN_3", 3, runs)

    def tens(self) -> int:
        """Ten groups of ten, one after the other."""
        return self.run("bench.TENS", 100)

    def run(self, workflow: str, tasks: int, runs: int = 1) -> int:
        """Start ``runs`` of a workflow of so many tasks, and return when the last has its outcome."""
        from django_director import start

        before = self.stamps.count
        started = [start(workflow).pk for _ in range(runs)]
        self.finish(before, tasks * runs)
        self._confirm(started)
        return tasks * runs

    def _confirm(self, started: list[object]) -> None:
        from django_director.models import Run
        from django_director.status import RunStatus

        deadline = time.monotonic() + DEADLINE
        while Run.objects.filter(pk__in=started, finished_at=None).exists():
            if time.monotonic() > deadline:
                raise TimeoutError("all tasks have run, and a run has no outcome")
            time.sleep(0.002)
        assert Run.objects.filter(pk__in=started, status=RunStatus.SUCCESS).count() == len(started)
