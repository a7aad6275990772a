"""django-director."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from benchmarks.processes import Program, worker_command
from benchmarks.web import Request

from . import DEADLINE, CeleryContender

CHAINS = (3, 10, 100)
FANS = (10, 100, 1000)
QUEUE = "bench-director"


def write_workflows(
    path: Path,
    queue: str = QUEUE,
    *,
    chains: Iterable[int] = CHAINS,
    fans: Iterable[int] = FANS,
    tens: bool = True,
) -> None:
    """A file with chains, groups with a join, and ten groups of ten; celery-director reads it too."""
    shapes = {f"CHAIN_{n}": _many(n) for n in chains}
    shapes |= {f"FAN_{n}": f"[G: {{type: group, tasks: {_many(n)}}}, NOOP]" for n in fans}
    if tens:
        groups = ", ".join(f"G{i}: {{type: group, tasks: {_many(10)}}}" for i in range(10))
        shapes["TENS"] = f"[{groups}]"
    lines = [f"bench.{name}: {{queue: {queue}, tasks: {tasks}}}" for name, tasks in shapes.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _many(count: int) -> str:
    return f"[{', '.join(['NOOP'] * count)}]"


class Director(CeleryContender):
    """Workflows of this package."""

    name = "director"
    queue = QUEUE

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

        before, begun = self.stamps.count, time.monotonic()
        started = [start(workflow).pk for _ in range(runs)]
        self.starting = time.monotonic() - begun
        self.finish(before, tasks * runs)
        self._confirm(started)
        return tasks * runs

    def drain(self) -> None:
        """Return when every run has an outcome."""
        from django_director.models import Run

        self._confirm(list(Run.objects.filter(finished_at=None).values_list("pk", flat=True)))

    def web(self, port: int) -> Program:
        """The API."""
        words = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "benchmarks.wsgi"]
        return Program(words, self.places.environment(), self.places.folder / "director-web.log")

    def request(self) -> Request:
        """What starts a run of three tasks through the API, as a user with a token."""
        from django.contrib.auth import get_user_model
        from rest_framework.authtoken.models import Token

        user, _ = get_user_model().objects.get_or_create(username="bench", is_superuser=True, is_staff=True)
        token, _ = Token.objects.get_or_create(user=user)
        return Request("/director/api/workflows/bench.CHAIN_3/runs/", {"payload": {}}, f"Token {token.key}")

    def _confirm(self, started: list[UUID]) -> None:
        from django_director.models import Run
        from django_director.status import RunStatus

        deadline = time.monotonic() + DEADLINE
        while Run.objects.filter(pk__in=started, finished_at=None).exists():
            if time.monotonic() > deadline:
                raise TimeoutError("all tasks have run, and a run has no outcome")
            time.sleep(0.002)
        assert Run.objects.filter(pk__in=started, status=RunStatus.SUCCESS).count() == len(started)
