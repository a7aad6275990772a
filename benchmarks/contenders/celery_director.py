"""celery-director 0.10.0, with its own environment, database and home."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from benchmarks import processes
from benchmarks.drivers import Driver
from benchmarks.environments import CELERY_DIRECTOR
from benchmarks.project import empty_database
from benchmarks.web import Request

from . import DEADLINE, CeleryContender
from .ours import write_workflows

FILES = Path(__file__).parent.parent / "celery_director"


class CeleryDirector(CeleryContender):
    """The same workflows from the same file, on the same servers."""

    name = "celery-director"
    queue = "bench-other"

    def prepare(self) -> None:
        self.python = str(CELERY_DIRECTOR.python())
        self.home = self.places.folder / "celery-director"
        write_workflows(self.home / "workflows.yml", self.queue)
        (self.home / "tasks").mkdir()
        shutil.copy(FILES / "tasks.py", self.home / "tasks" / "bench.py")
        (self.home / ".env").touch()
        self.stack = ExitStack()
        self.stack.enter_context(empty_database(self.database.rpartition("/")[2]))
        words = [self.python, "-m", "flask", "--app", "director._auto:app", "db", "upgrade"]
        made = subprocess.run(words, env=self.environment(), capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"celery-director's tables: {made.stderr[-2000:]}")
        super().prepare()
        self.starter = self.new_starter()

    def new_starter(self) -> Driver:
        """A process of its environment that starts runs when told."""
        command = [self.python, "-m", "benchmarks.celery_director.starter"]
        return Driver(command, self.environment(), self.places.folder / "celery-director-starter.log", self.folder)

    def environment(self) -> dict[str, str]:
        return self.places.environment(
            BENCH_STAMPS=str(self.stamps.path),
            DIRECTOR_HOME=str(self.home),
            DIRECTOR_DATABASE_URI=self.database.replace("postgres://", "postgresql://"),
            DIRECTOR_BROKER_URI=self.places.broker,
            DIRECTOR_RESULT_BACKEND_URI=self.places.results,
        )

    def command(self, number: int) -> list[str]:
        return processes.worker_command(self.python, "director._auto:cel", self.queue, number)

    def drain(self) -> None:
        """Throw away what waits for the worker, then return when it works again."""
        # Each run keeps a process for half a second at its end: working it off would take minutes.
        with self.channel() as channel:
            channel.queue_purge(self.queue)
        self.chain(3)

    def request(self) -> Request:
        """What starts a run of three tasks through the API; it asks for no user."""
        return Request("/api/workflows", {"project": "bench", "name": "CHAIN_3", "payload": {}})

    def web(self, port: int) -> processes.Program:
        """Its API."""
        words = [
            self.python,
            "-m",
            "gunicorn.app.wsgiapp",
            "-w",
            "2",
            "-b",
            f"127.0.0.1:{port}",
            "director._auto:app",
        ]
        return self.program(words, "web")

    def stop(self) -> None:
        if hasattr(self, "starter"):
            self.starter.stop()
        super().stop()
        if hasattr(self, "stack"):
            self.stack.close()

    @property
    def results(self) -> str:
        return self.places.results

    @property
    def database(self) -> str:
        return self.places.other_database

    def noops(self, count: int) -> int:
        return self.etl(-(-count // 3))

    def chain(self, length: int) -> int:
        return self._run(f"CHAIN_{length}", length)

    def fan(self, width: int) -> int:
        return self._run(f"FAN_{width}", width + 1)

    def etl(self, runs: int) -> int:
        return self._run("CHAIN_3", 3, runs)

    def _run(self, workflow: str, tasks: int, runs: int = 1) -> int:
        before = self.stamps.count
        self.starting = self.starter.ask({"start": workflow, "runs": runs}, DEADLINE)["seconds"]
        self.finish(before, tasks * runs)
        if left := self.starter.ask({"wait": DEADLINE}, DEADLINE + 10)["unfinished"]:
            raise TimeoutError(f"celery-director: {left} of {runs} runs of {workflow} have no outcome")
        return tasks * runs
