"""celery-director 0.10.0, with its own environment, database and home."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from benchmarks import processes
from benchmarks.celery_director import environment
from benchmarks.places import ROOT
from benchmarks.project import empty_database
from benchmarks.web import Request

from . import DEADLINE, Contender
from .ours import write_workflows

FILES = Path(environment.__file__).parent


class CeleryDirector(Contender):
    """The same workflows from the same file, on the same servers."""

    name = "celery-director"
    queue = "bench-other"

    def prepare(self) -> None:
        self.python = str(environment.python())
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
        self.starter = Starter(self.python, self.environment())

    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        return self.places.environment(
            BENCH_STAMPS=str(self.stamps.path),
            DIRECTOR_HOME=str(self.home),
            DIRECTOR_DATABASE_URI=self.database.replace("postgres://", "postgresql://"),
            DIRECTOR_BROKER_URI=self.places.broker,
            DIRECTOR_RESULT_BACKEND_URI=self.places.results,
        )

    def worker(self, number: int) -> processes.Program:
        log = self.places.folder / f"{self.name}-{number}.log"
        return processes.Program(self.command(number), self.environment(), log)

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
        return processes.Program(words, self.environment(), self.places.folder / "celery-director-web.log")

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
        self.starting = self.starter.start(workflow, runs)
        self.finish(before, tasks * runs)
        if left := self.starter.unfinished(DEADLINE):
            raise TimeoutError(f"celery-director: {left} of {runs} runs of {workflow} have no outcome")
        return tasks * runs


class Starter:
    """A process of celery-director's environment that starts runs when told."""

    def __init__(self, python: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.celery_director.starter"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._read(60)

    def start(self, workflow: str, runs: int = 1, seconds: float = DEADLINE) -> float:
        """Start runs; how many seconds that took. Raises ``TimeoutError``, and ``RuntimeError`` when it fails."""
        return float(self._ask({"start": workflow, "runs": runs}, seconds)["seconds"])

    def unfinished(self, seconds: float) -> int:
        """Wait for the outcomes of what was started; how many are missing."""
        return int(self._ask({"wait": seconds}, seconds + 10)["unfinished"])

    def stop(self) -> None:
        """Kill it: it may be busy with a message that has no end."""
        self.process.kill()
        self.process.communicate()

    def _ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._read(seconds)

    def _read(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            raise TimeoutError(f"no answer in {seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"celery-director: {self.process.communicate()[1][-1000:]}")
        return cast("dict[str, Any]", json.loads(line))
