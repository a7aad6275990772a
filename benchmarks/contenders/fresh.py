"""A project in which nothing is tuned: with Celery alone, and after django-director was added to it."""

from __future__ import annotations

import shutil
import sys
from abc import abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.drivers import Driver
from benchmarks.fresh import site
from benchmarks.measure import settle
from benchmarks.project import empty_database

from . import DEADLINE, CeleryContender


class Fresh(CeleryContender):
    """A project with a worker, and a process that starts work as a view of it would."""

    driver_module: str

    def prepare(self) -> None:
        self.stack = ExitStack()
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.site = self.make_site()
        super().prepare()
        command = [sys.executable, "-m", self.driver_module]
        log = self.places.folder / f"{self.name}-driver.log"
        self.driver = Driver(command, self.environment(), log, self.folder)
        self.stack.callback(self.driver.stop, 5)

    @abstractmethod
    def make_site(self) -> site.Site:
        """The project, new."""

    @property
    def folder(self) -> Path:
        return self.places.folder / self.name

    def environment(self) -> dict[str, str]:
        return super().environment() | {"DJANGO_SETTINGS_MODULE": "shop.settings"}

    def command(self, number: int) -> list[str]:
        """Celery's defaults; two processes are those of the machine that the figures are from."""
        words = ["worker", "-c", "2", "-Q", self.queue, "-n", f"{self.name}-{number}@%h", "--loglevel", "WARNING"]
        return [sys.executable, "-m", "celery", "-A", "shop", *words]

    def stop(self) -> None:
        with getattr(self, "stack", ExitStack()):
            super().stop()

    @property
    def keeps_connections(self) -> bool:
        # Nobody says so in such a project: the whole database server is counted.
        return False

    def is_still(self) -> None:
        """Return when the worker has nothing to do any more."""
        settle(self.meters["worker"])

    def etl(self, runs: int) -> int:
        return self._chains(3, runs)

    def chain(self, length: int) -> int:
        return self._chains(length, 1)

    def noops(self, count: int) -> int:
        return self.etl(-(-count // 3))

    @abstractmethod
    def _chains(self, length: int, runs: int) -> int: ...

    def _wait(self, before: int, tasks: int) -> int:
        """Let the caller wait for the outcomes from the first moment on, as callers do."""
        self.driver.ask({"wait": DEADLINE}, DEADLINE + 10)
        return self.finish(before, tasks)


class FreshCelery(Fresh):
    """Before: chains, chords and chunks, with results in Redis."""

    name = "celery-fresh"
    queue = "bench-fresh-plain"
    driver_module = "benchmarks.fresh.celery_driver"

    def make_site(self) -> site.Site:
        return site.make_before(self.folder, self.environment(), self.places, self.queue)

    @property
    def results(self) -> str:
        return self.places.results

    def fan(self, width: int) -> int:
        return self._run("fan", width, width + 1)

    def chords(self, width: int, count: int) -> int:
        """Chords of ``width`` items each with its join, all sent before the first is waited for."""
        return self._run("map", width, width + 1, count)

    def chunks(self, items: int) -> int:
        """``task.chunks(…, 50)`` with a join."""
        return self._run("chunks", items, items + 1)

    def _chains(self, length: int, runs: int) -> int:
        return self._run("chain", length, length, runs)

    def _run(self, shape: str, size: int, tasks: int, runs: int = 1) -> int:
        before = self.stamps.count
        asked = {"shape": shape, "size": size, "runs": runs}
        self.starting = self.driver.ask(asked, DEADLINE)["seconds"]
        return self._wait(before, tasks * runs)


class FreshDirector(Fresh):
    """After: the same work as workflows."""

    name = "director-fresh"
    queue = "bench-fresh"
    driver_module = "benchmarks.fresh.director_driver"

    def make_site(self) -> site.Site:
        if not self.database.startswith("sqlite"):
            self.stack.enter_context(empty_database(self.database.rpartition("/")[2]))
        return site.make_after(self.folder, self.environment(), self.places, self.queue)

    @property
    def database(self) -> str:
        return self.places.fresh_database

    def fan(self, width: int) -> int:
        return self._run(f"bench.FAN_{width}", width + 1)

    def map(self, workflow: str, items: int, ballast: int = 0) -> int:
        """A map with its join. The payload has the list, and ``ballast`` more numbers that nobody reads."""
        payload = {"items": list(range(items)), "ballast": list(range(10**6, 10**6 + ballast))}
        return self._run(workflow, items + 1, payload=payload)

    def map_of_task(self, workflow: str, count: int) -> int:
        """A map over the list that a task returns. Raises ``RuntimeError`` when it fails, and then stops."""
        asked = {"start": workflow, "payload": {"count": count}, "runs": 1}
        before = self.stamps.count
        self.starting = self.driver.ask(asked, DEADLINE)["seconds"]
        return self._wait(before, count + 1) + 1

    def _chains(self, length: int, runs: int) -> int:
        return self._run(f"bench.CHAIN_{length}", length, runs)

    def _run(self, workflow: str, tasks: int, runs: int = 1, payload: Any = None) -> int:
        before = self.stamps.count
        asked = {"start": workflow, "payload": payload, "runs": runs}
        self.starting = self.driver.ask(asked, DEADLINE)["seconds"]
        return self._wait(before, tasks * runs)
