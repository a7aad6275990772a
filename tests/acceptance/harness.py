"""Real workers as subprocesses, on the test run's own database and on a broker of the machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import DEFAULT_DB_ALIAS, connections

ROOT = Path(__file__).parents[2]
READY = " ready."
BOOT_SECONDS = 60.0
SETTINGS = "tests.acceptance.settings"
APP = "tests.testapp"
"""Whose Celery app the programs are of."""

_ERROR = re.compile(r"^\[[^\]]*: (ERROR|CRITICAL)/")
#: How Celery logs that a task has failed: the test's business, not the engine's.
_TASK_FAILED = re.compile(r"Task \S+\[\S+\] raised unexpected: ")


def wait_for(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Return the first true value of ``condition``; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)


def pid_in(trace: Path) -> int:
    """The process of the first execution in a trace, once its line is whole: the file is there before."""
    line: str = wait_for(lambda: trace.exists() and trace.read_text().partition("\n")[1] and trace.read_text())
    return int(line.split()[2])


def database_url(alias: str = DEFAULT_DB_ALIAS) -> str:
    """The test database of this process, as a URL for others."""
    connection = connections[alias]
    given = connection.settings_dict
    name = str(given["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    scheme = "postgres" if connection.vendor == "postgresql" else "mysql"
    password = f":{quote(given['PASSWORD'])}" if given["PASSWORD"] else ""
    port = f":{given['PORT']}" if given["PORT"] else ""
    return f"{scheme}://{given['USER']}{password}@{given['HOST']}{port}/{name}"


def environment(broker: str, **more: str) -> dict[str, str]:
    """The environment of another process on the same database."""
    return (
        os.environ
        | {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "DATABASE_URL": database_url(),
            "CELERY_BROKER_URL": broker,
            "PYTHONUNBUFFERED": "1",
        }
        | more
    )


def manage(broker: str, *args: str, timeout: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    """A management command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "django", *args],
        cwd=ROOT,
        env=environment(broker, **environ),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Program:
    """A Celery program with everything that belongs to it, in a process group of its own."""

    ready = READY

    def __init__(self, broker: str, folder: Path, *args: str, app: str = APP, **environ: str) -> None:
        self.log = folder / f"{args[0]}-{uuid.uuid4().hex[:8]}.log"
        self.command = [sys.executable, "-m", "celery", "-A", app, *args]
        self.broker = broker
        self.environ = environ
        self.process: subprocess.Popen[bytes] | None = None
        self._checked = 0

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> Program:
        self.launch()
        wait_for(self.is_ready, BOOT_SECONDS, "ready")
        return self

    def launch(self) -> None:
        """Start it, without waiting until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment(self.broker, **self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.tail()
        return self.ready in self.text()

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        return "\n".join(self.text().splitlines()[-40:])

    def signal(self, number: int) -> None:
        """To the program and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it and all its children at once, as a lost machine would."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.signal(signal.SIGKILL)

    def errors(self, *expected: str) -> list[str]:
        """New errors in the log, but a task's own failure and lines with one of the ``expected`` words."""
        lines = self.text().splitlines()
        new, self._checked = lines[self._checked :], len(lines)
        return [
            line
            for line in new
            if _ERROR.match(line) and not _TASK_FAILED.search(line) and not any(word in line for word in expected)
        ]


class Worker(Program):
    """One Celery worker."""

    def __init__(
        self,
        broker: str,
        folder: Path,
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        queues: str = "",
        prefetch: int = 4,
        **environ: str,
    ) -> None:
        self.pool = pool
        self.hostname = f"w{uuid.uuid4().hex[:8]}@tests"
        super().__init__(
            broker,
            folder,
            "worker",
            *("--pool", pool, "--concurrency", str(concurrency), "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle", "--hostname", self.hostname),
            *("--prefetch-multiplier", str(prefetch)),
            *(("--queues", queues) if queues else ()),
            **environ,
        )

    def children(self) -> set[int]:
        """The process ids of the pool and, with prefork, the supervisor."""
        try:
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return set()
        return {int(pid) for pid in listed.split()}


class Beat(Program):
    """One beat with the schedules of the database."""

    ready = "beat: Starting..."

    def __init__(self, broker: str, folder: Path, **environ: str) -> None:
        name = folder / f"beat-{uuid.uuid4().hex[:8]}"
        super().__init__(
            broker,
            folder,
            "beat",
            *("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler", "--max-interval", "1"),
            *("--loglevel", "INFO", "--pidfile", f"{name}.pid"),
            **environ,
        )


@contextlib.contextmanager
def worker(broker: str, folder: Path, **options: Any) -> Iterator[Worker]:
    started = Worker(broker, folder, **options)
    try:
        started.start()
        yield started
    finally:
        started.stop()
