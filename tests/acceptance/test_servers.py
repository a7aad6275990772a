"""Servers that restart in the middle of runs: private ones, for others use the machine's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from django_director.models import Task
from django_director.status import RunStatus
from django_director.sync import versions
from tests.services import unmet

from . import checker
from .conftest import Site
from .harness import wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(300)]

BOOT_SECONDS = 90
"""An Erlang node on a busy machine takes half a minute."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def program(name: str, *folders: str) -> str:
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *folders)))
    if found is None:
        unmet(f"no {name} on the path")
    return str(found)


class RabbitMQ:
    """A node of our own, with a name, ports and a folder that no other has."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.server = program("rabbitmq-server", "/usr/sbin")
        self.control = program("rabbitmqctl", "/usr/sbin")
        self.environ = os.environ | {
            "RABBITMQ_NODENAME": f"director-{uuid.uuid4().hex[:8]}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # Neither the machine's ports nor its plugins.
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [self.server],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._answers, BOOT_SECONDS, f"RabbitMQ answers: {self.output}")

    def command(self, *args: str, check: bool = True) -> None:
        done = subprocess.run(
            [self.control, *args],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=BOOT_SECONDS,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr

    def stop(self) -> None:
        if self.process is None:
            return
        self.command("stop", check=False)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output.read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(2)
                connection.sendall(b"AMQP\0\0\x09\x01")
                return bool(connection.recv(1))
        except OSError:
            return False


class PostgreSQL:
    """A cluster of our own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / "postgres"
        self.programs = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
        self.command("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        self.options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"

    def start(self) -> None:
        self.command("pg_ctl", "start", "--wait", "--log", str(self.folder / "output"), "--options", self.options)

    def stop(self, mode: str = "immediate") -> None:
        self.command("pg_ctl", "stop", "--wait", "--mode", mode, check=False)

    def command(self, name: str, *args: str, check: bool = True) -> None:
        # The server refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        done = subprocess.run(
            [program(name, *self.programs), *args, "--pgdata", str(self.folder)],
            # A server that goes on must not hold a pipe open.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=user,
            timeout=BOOT_SECONDS,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{name} {args}: {done.returncode}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short and open to other users, as neither pytest's nor a long path for a socket is."""
    with tempfile.TemporaryDirectory(prefix="director-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def rabbitmq(folder: Path) -> Iterator[RabbitMQ]:
    server = RabbitMQ(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgresql(folder: Path, site: Site) -> Iterator[PostgreSQL]:
    """A server that has the test database's tables, and is what this process and its workers use."""
    if connection.vendor != "postgresql":
        pytest.skip("skipped: the tests run on another database")
    server = PostgreSQL(folder)
    given = dict(connection.settings_dict)
    mine = {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": "postgres", "PASSWORD": "", "NAME": "postgres"}
    try:
        server.start()
        connection.close()
        connection.settings_dict.update(mine)
        call_command("migrate", verbosity=0)
        versions.sync()
        yield server
    finally:
        site.kill()
        connection.close()
        connection.settings_dict.update(given)
        server.stop()


@pytest.fixture
def outage(checked: Site) -> Iterator[Site]:
    """Celery reports the broker's absence as errors; it is what these tests are about."""
    checked.expected |= {"consumer: ", "Connection to broker lost", "Couldn't ack"}
    yield checked
    checked.check()
    checked.kill()


@pytest.mark.fault(11)
def test_rabbitmq_restarts_in_the_middle_of_runs(
    outage: Site, rabbitmq: RabbitMQ, use_broker: Callable[[str], None], trace: Path
):
    use_broker(rabbitmq.url)
    outage.worker(broker=rabbitmq.url)
    payload = {"trace": str(trace), "seconds": 0.5}
    runs = [outage.start("fault.RUN", payload) for _ in range(8)]
    wait_for(lambda: checker.executions(trace).total() >= 6, what="some tasks have run")
    rabbitmq.command("stop_app")
    runs.append(outage.start("fault.RUN", payload))
    rabbitmq.command("start_app")
    outage.wait(runs, 120)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    assert set(checker.executions(trace)) == {str(task.pk) for run in runs for task in run.tasks.all()}


@pytest.mark.fault(14)
def test_postgresql_restarts_at_once_in_the_middle_of_runs(checked: Site, postgresql: PostgreSQL, trace: Path):
    """An immediate stop ends every connection without a word, and recovers from the log at its next start."""
    concurrency, restarts = 2, 3
    checked.worker(concurrency=concurrency)
    runs = [checked.start("fault.RUN", {"trace": str(trace), "seconds": 0.5}) for _ in range(10)]
    for number in range(restarts):
        wait_for(lambda number=number: checker.executions(trace).total() >= 8 * (number + 1), what="some have run")
        postgresql.stop()
        postgresql.start()
    connection.close()
    checked.wait(runs, 120)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    executed = checker.executions(trace)
    assert set(executed) == {str(task.pk) for task in Task.objects.filter(run__in=runs)}
    # A claim is not made durable before its task begins: what was claimed just then may run once more.
    assert executed.total() - len(executed) <= concurrency * restarts
    checked.check(undone_claims=concurrency * restarts)
    checked.history.unlink()
