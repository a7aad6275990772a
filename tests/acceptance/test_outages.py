"""A broker that is down, silent, or back without its messages; a database that does not answer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from tests.services import needs_mysqlclient, unmet

from . import checker
from .conftest import Site
from .harness import manage, wait_for
from .tcp_proxy import Proxy

pytestmark = [pytest.mark.worker, pytest.mark.timeout(180)]

PATIENCE = 10.0
"""Seconds a caller may wait for a broker that does not answer."""


class Redis:
    """A Redis server of our own, without persistence."""

    def __init__(self, binary: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.command = [
            binary,
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
        ]
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.DEVNULL)
        wait_for(self._answers, 10, "redis-server answers")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    binary = shutil.which("redis-server")
    if binary is None:
        unmet("no redis-server on the path")
    server = Redis(str(binary), tmp_path)
    yield server
    server.kill()


@pytest.fixture
def outage(checked: Site) -> Iterator[Site]:
    """Celery reports the broker's absence as errors; it is what these tests are about."""
    checked.expected |= {"consumer: Cannot connect", "Connection to broker lost"}
    yield checked
    checked.check()
    checked.kill()


def timed_start(site: Site, name: str, payload: object = None) -> tuple[Run, float]:
    began = time.monotonic()
    run = site.start(name, payload)
    return run, time.monotonic() - began


@pytest.mark.slow
def test_a_broker_that_refuses_delays_and_loses_nothing(
    outage: Site, redis: Redis, use_broker: Callable[[str], None]
):
    use_broker(redis.url)
    run, seconds = timed_start(outage, "example.ETL")
    assert seconds < PATIENCE
    assert Run.objects.get(pk=run.pk).status == RunStatus.RUNNING
    assert run.tasks.get(step="EXTRACT").status == TaskStatus.QUEUED
    redis.start()
    outage.worker(broker=redis.url)
    run.wait(30)
    assert run.result == 60


@pytest.mark.slow
def test_a_silent_broker_holds_nobody_up(outage: Site, redis: Redis, use_broker: Callable[[str], None]):
    redis.start()
    proxy = Proxy(("127.0.0.1", redis.port))
    try:
        use_broker(f"redis://127.0.0.1:{proxy.port}/0")
        proxy.freeze()
        first, waited = timed_start(outage, "example.ETL")
        assert waited < PATIENCE
        second, again = timed_start(outage, "example.ETL")
        assert again < 1, "nobody asks a silent broker again at once"
        proxy.thaw()
    finally:
        proxy.close()
    outage.worker(broker=redis.url)
    outage.wait([first, second], 30)
    assert [first.result, second.result] == [60, 60]


@pytest.mark.slow
def test_a_broker_that_falls_silent_in_a_connection(outage: Site, redis: Redis, use_broker: Callable[[str], None]):
    redis.start()
    proxy = Proxy(("127.0.0.1", redis.port))
    try:
        use_broker(f"redis://127.0.0.1:{proxy.port}/0")
        outage.worker(broker=redis.url)
        outage.run("example.ETL")
        proxy.freeze()
        run, seconds = timed_start(outage, "example.ETL")
        assert seconds < PATIENCE
        # The worker's own way to the broker is open.
        run.wait(30)
        assert run.result == 60
    finally:
        proxy.close()


@pytest.mark.slow
def test_a_broker_killed_and_back_without_its_messages(
    outage: Site, redis: Redis, use_broker: Callable[[str], None], trace: Path
):
    redis.start()
    use_broker(redis.url)
    outage.worker(broker=redis.url)
    payload = {"trace": str(trace), "seconds": 0.1}
    runs = [outage.start("fault.RUN", payload) for _ in range(8)]
    wait_for(lambda: checker.executions(trace).total() >= 8, what="some tasks have run")
    redis.kill()
    runs.append(outage.start("fault.RUN", payload))
    redis.start()
    outage.wait(runs, 60)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    assert set(checker.executions(trace)) == {str(task.pk) for run in runs for task in run.tasks.all()}


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("runworkflow example.ETL", "sqlite:////nowhere/db.sqlite3"),
        ("runworkflow example.ETL", "postgres://nobody@127.0.0.1:1/none"),
        pytest.param("listruns", "mysql://nobody@127.0.0.1:1/none", marks=needs_mysqlclient),
    ],
)
def test_a_database_that_is_down_is_a_clear_message(site: Site, command: str, url: str):
    done = manage(site.broker, *command.split(), DATABASE_URL=url)
    assert done.returncode == 1
    assert "the database does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
