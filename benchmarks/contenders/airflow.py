"""Airflow in an environment of its own, with its LocalExecutor and PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from benchmarks.drivers import Driver
from benchmarks.environments import AIRFLOW
from benchmarks.places import ROOT, Places
from benchmarks.project import empty_database
from benchmarks.web import HOST, free_port, wait_for_answer

from . import DEADLINE, Contender

PROCESSES = ("api-server", "scheduler", "dag-processor")
DAGS = ROOT / "benchmarks" / "airflow" / "dags.py"
READY = 120.0
"""Seconds in which its server must answer, and then in which Airflow must have read the DAGs."""


class Airflow(Contender):
    """Its DAGs, with its defaults."""

    name = "airflow"

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        self.stack = ExitStack()
        self.home = places.folder / "airflow"
        self.port = free_port()

    def start(self) -> None:
        self.python = str(AIRFLOW.python())
        (self.home / "dags").mkdir(parents=True)
        shutil.copy(DAGS, self.home / "dags")
        self.stack.enter_context(empty_database(self.database.rpartition("/")[2]))
        self._make_tables()
        for name in PROCESSES:
            self.programs.append(self.program(self.command(name), name))
            self.stack.callback(self.programs[-1].stop, 30)
        command = [self.python, "-m", "benchmarks.airflow.starter"]
        self.driver = Driver(command, self.environment(), self.places.folder / "airflow-driver.log", self.folder)
        self.stack.callback(self.driver.stop, 5)
        wait_for_answer(self.port, "/api/v2/monitor/health", READY)
        if missing := self.driver.ask({"known": READY}, READY + 10)["missing"]:
            raise TimeoutError(f"Airflow has not read {missing}\n{self.programs[-1].tail()}")
        self.watch([program.pid for program in self.programs])
        self.chain(3)

    def _make_tables(self) -> None:
        words = self.command("db", "migrate")
        made = subprocess.run(words, env=self.environment(), capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"Airflow's tables: {made.stderr[-2000:]}")

    def stop(self) -> None:
        self.stack.close()
        self.programs.clear()

    def command(self, *words: str) -> list[str]:
        """One of Airflow's commands."""
        return [self.python, "-m", "airflow", *words]

    def environment(self) -> dict[str, str]:
        database = self.database.partition("://")[2]
        return super().environment() | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{self.port}/execution/",
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            # For a busy machine: a task whose first question is not answered in five seconds fails.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }

    @property
    def database(self) -> str:
        return f"{self.places.database}_bench_airflow"

    @property
    def folder(self) -> Path:
        return self.home

    def warm_up(self) -> None:
        self.chain(3)

    def chain(self, length: int) -> int:
        return self._run(f"chain_{length}", length)

    def fan(self, width: int) -> int:
        return self._run(f"fan_{width}", width + 1)

    def map(self, items: int) -> int:
        """A map with its join."""
        return self._run(f"map_{items}", items + 1)

    def etl(self, runs: int) -> int:
        return self._run("chain_3", 3, runs)

    def _run(self, dag: str, tasks: int, runs: int = 1) -> int:
        self.starting = self.driver.ask({"start": dag, "runs": runs}, DEADLINE)["seconds"]
        if left := self.driver.ask({"wait": DEADLINE}, DEADLINE + 10)["unfinished"]:
            raise TimeoutError(f"Airflow: {left} of {runs} runs of {dag} have no outcome")
        return tasks * runs
