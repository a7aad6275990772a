"""Prefect in an environment of its own: flows run in one process, their states are kept in PostgreSQL."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.drivers import Driver
from benchmarks.environments import PREFECT
from benchmarks.places import Places
from benchmarks.project import empty_database

from . import DEADLINE, Contender

READY = 100
"""Seconds in which the server must have started: making its tables takes 15 when nothing else runs."""


class Prefect(Contender):
    """Its flows; Prefect starts a server for their states as a child of the process that runs them."""

    name = "prefect"

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        self.stack = ExitStack()

    def start(self) -> None:
        python = str(PREFECT.python())
        self.stack.enter_context(empty_database(self.database.rpartition("/")[2]))
        command = [python, "-m", "benchmarks.prefect.starter"]
        self.driver = Driver(command, self.environment(), self.places.folder / "prefect.log", self.folder)
        self.stack.callback(self.driver.stop, 20)
        # The first flow starts the server.
        self.chain(3)
        self.watch([self.driver.pid])

    def stop(self) -> None:
        self.stack.close()

    def environment(self) -> dict[str, str]:
        database = self.database.partition("://")[2]
        return super().environment() | {
            "PREFECT_HOME": str(self.places.folder / "prefect"),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(READY),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    @property
    def database(self) -> str:
        return f"{self.places.database}_bench_prefect"

    def warm_up(self) -> None:
        self.chain(3)

    def chain(self, length: int) -> int:
        return self._run("chain", length)

    def fan(self, width: int) -> int:
        return self._run("fan", width)

    def map(self, items: int) -> int:
        """A map with its join."""
        return self._run("map", items)

    def etl(self, runs: int) -> int:
        return self._run("chain", 3, runs)

    def etl_in_order(self, runs: int) -> int:
        """Each flow starts when the one before it has ended."""
        return sum(self.chain(3) for _ in range(runs))

    def _run(self, shape: str, size: int, runs: int = 1) -> int:
        asked = {"shape": shape, "size": size, "runs": runs}
        return int(self.driver.ask(asked, DEADLINE)["tasks"])
