"""The systems that are compared: each runs the same shapes of work to their end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kombu import Connection

from benchmarks import processes
from benchmarks.measure import Meter
from benchmarks.places import ROOT, Places, port
from benchmarks.stamps import Stamps

DEADLINE = 300.0
"""Seconds after which a scenario is given up."""
WARM_UP = 10
"""Tasks of the chain that a contender runs before it is measured."""


class Contender(ABC):
    """A system with its processes. The shapes return how many tasks they ran, after the outcome is there."""

    name: str
    starting = 0.0
    """Seconds that the last call took that starts runs, without what they did."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.stamps = Stamps(places.folder / f"{self.name}.stamps")
        self.programs: list[processes.Program] = []
        self.meters: dict[str, Meter] = {}

    @abstractmethod
    def start(self) -> None:
        """Start what it needs and wait until it works."""

    def stop(self) -> None:
        """Stop all that ``start`` started."""
        while self.programs:
            self.programs.pop().stop()

    def warm_up(self) -> None:
        """What it runs before it is measured: who did nothing for a minute begins slowly, a busy site does not."""
        self.chain(WARM_UP)

    @abstractmethod
    def chain(self, length: int) -> int:
        """Tasks one after the other."""

    @abstractmethod
    def fan(self, width: int) -> int:
        """A group, then one task that waits for all of it."""

    @abstractmethod
    def etl(self, runs: int) -> int:
        """Chains of three, all started at once."""

    def finish(self, before: int, tasks: int) -> int:
        """Wait until ``tasks`` more than ``before`` have run."""
        self.stamps.wait(before + tasks, DEADLINE)
        return tasks

    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        return self.places.environment(BENCH_STAMPS=str(self.stamps.path))

    def program(self, command: list[str], name: str) -> processes.Program:
        """Start a process; its log is called ``name``."""
        log = self.places.folder / f"{self.name}-{name}.log"
        return processes.Program(command, self.environment(), log, cwd=self.folder)

    @property
    def folder(self) -> Path:
        """Where its processes run."""
        return ROOT

    def watch(self, pids: list[int]) -> None:
        """Measure these processes with all that they start, and the servers that they use."""
        self.meters = {"worker": partial(trees, pids)} | self._servers()

    def _servers(self) -> dict[str, Meter]:
        pids: dict[str, int] = {}
        for role, url in (("broker", self.broker), ("results", self.results), ("database", self.database)):
            number = port(url) if url else None
            pid = processes.listener(number) if number else None
            # One Redis for messages and results is one process, counted once.
            if pid is not None and pid not in pids.values():
                pids[role] = pid
        meters: dict[str, Meter] = {role: partial(trees, [pid]) for role, pid in pids.items()}
        if "database" in meters and self.database.startswith("postgres") and self.keeps_connections:
            meters["database"] = partial(processes.backends, self.database.rpartition("/")[2])
        return meters

    @property
    def keeps_connections(self) -> bool:
        """Do its connections outlast a measurement, so that the CPU of each can be read after it?"""
        return True

    @property
    def broker(self) -> str:
        """The URL of the broker, if there is one."""
        return ""

    @property
    def results(self) -> str:
        """The URL of the result backend, if there is one."""
        return ""

    @property
    def database(self) -> str:
        """The URL of the database, if there is one."""
        return ""


class CeleryContender(Contender):
    """A system whose tasks Celery's workers run."""

    queue: str

    def __init__(self, places: Places, workers: int = 1) -> None:
        super().__init__(places)
        self.workers = workers

    def start(self) -> None:
        self.prepare()
        for number in range(self.workers):
            self.programs.append(self.program(self.command(number), str(number)))
        self.watch([program.pid for program in self.programs])
        try:
            self.chain(3)
        except TimeoutError as error:
            raise TimeoutError(f"{self.name}: {error}\n{self.programs[0].tail()}") from error
        self.noops(50)

    def prepare(self) -> None:
        """What is made before the worker starts; the queue begins empty."""
        with self.channel() as channel:
            channel.queue_declare(queue=self.queue, durable=True, auto_delete=False)
            channel.queue_purge(queue=self.queue)

    @abstractmethod
    def command(self, number: int) -> list[str]:
        """The worker's command line."""

    def stop(self) -> None:
        """Stop the worker, and leave no queue behind."""
        super().stop()
        with self.channel() as channel:
            channel.queue_delete(self.queue)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel to the broker."""
        with Connection(self.places.broker) as connection, connection.channel() as channel:
            yield channel

    @abstractmethod
    def noops(self, count: int) -> int:
        """Independent tasks."""

    @property
    def broker(self) -> str:
        return self.places.broker

    @property
    def keeps_connections(self) -> bool:
        return self.places.keeps_connections


def trees(roots: list[int]) -> dict[int, float]:
    """CPU seconds of process trees, also of their members that have ended."""
    return {root: processes.cpu_seconds(root) for root in roots}


@contextmanager
def running(*contenders: Contender) -> Iterator[None]:
    """All contenders with their workers at work."""
    with ExitStack() as stack:
        for contender in contenders:
            stack.callback(contender.stop)
            contender.start()
        yield
