"""The embedded broker with real workers, on SQLite and, when it answers, PostgreSQL."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
POSTGRES = "postgres://postgres@127.0.0.1:5432/"
APP = "tests.acceptance.broker_app"
pytestmark = [pytest.mark.worker, pytest.mark.timeout(120)]


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """The first true value of ``condition``."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


class Site:
    """A database with the broker's tables, and the processes that work with it."""

    def __init__(self, url: str, out: Path) -> None:
        self.url = url
        self.out = out
        self.env = os.environ | {
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.acceptance.broker_settings",
            "BROKER_TEST_OUT": str(out),
            "PYTHONWARNINGS": "ignore",
        }
        self.processes: list[subprocess.Popen[str]] = []
        self.python("-m", "django", "migrate", "-v0")

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        """A Python process in a session of its own, so that its children can be ended with it."""
        process = subprocess.Popen(
            [sys.executable, *args], cwd=ROOT, env=self.env, text=True, start_new_session=True, **options
        )
        self.processes.append(process)
        return process

    def python(self, *args: str) -> str:
        process = self.start(*args, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return out

    def script(self, code: str) -> str:
        return self.python("-c", f"import django; django.setup()\n{code}")

    def worker(self, *args: str) -> subprocess.Popen[str]:
        """A worker that is ready."""
        log = self.out / f"worker-{len(self.processes)}.log"
        command = ["-m", "celery", "-A", APP, "worker", "-l", "INFO", "-c", "2", *args]
        with log.open("w") as file:
            process = self.start(*command, stdout=file, stderr=subprocess.STDOUT)
        until(lambda: " ready." in log.read_text(), f"worker ready: {log.read_text()}")
        return process

    def lines(self, kind: str) -> list[str]:
        path = self.out / kind
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def counts(self) -> dict[str, int]:
        """The number of rows of each table."""
        return {name: self.count(name.lower()) for name in ("Message", "TransientQueue", "Binding", "Consumer")}

    def count(self, table: str) -> int:
        query = f"SELECT count(*) FROM django_director_broker_{table}"
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as database:
                return int(database.execute(query).fetchone()[0])
        with psycopg.connect(self.url) as database:
            return int(database.execute(query).fetchone()[0])

    def is_empty(self) -> bool:
        """No message waits or is held."""
        return self.count("message") == 0

    def close(self) -> None:
        for process in self.processes:
            kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9 of a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


@contextmanager
def postgres_database() -> Iterator[str]:
    try:
        server = psycopg.connect(POSTGRES + "postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        message = "no PostgreSQL on 127.0.0.1:5432"
        if os.environ.get("DIRECTOR_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(f"skipped: {message}")
    name = f"broker_acceptance_{uuid4().hex[:12]}"
    with server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield POSTGRES + name
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "sqlite":
        yield from running(f"sqlite:///{tmp_path}/db.sqlite3", tmp_path)
    else:
        with postgres_database() as url:
            yield from running(url, tmp_path)


def running(url: str, out: Path) -> Iterator[Site]:
    site = Site(url, out)
    try:
        yield site
    finally:
        site.close()


SEND = f"from {APP} import app, mark, again, pid\n"


def test_a_killed_worker_loses_nothing(site: Site) -> None:
    worker = site.worker()
    site.script(SEND + "for n in range(30): mark.delay(str(n), 0.1)")
    until(lambda: len(site.lines("done")) >= 6, "some tasks done")
    kill(worker)
    assert len(set(site.lines("done"))) < 30
    left = site.counts()
    assert left["Consumer"] == left["TransientQueue"] == 1
    site.worker("-n", "second@%h")
    until(lambda: len(set(site.lines("done"))) == 30, "all tasks done")
    until(site.is_empty, "queue empty")
    # What the dead worker had: a consumer, a control queue and its binding.
    assert site.counts() == {"Message": 0, "TransientQueue": 1, "Binding": 2, "Consumer": 1}
    twice = len(site.lines("done")) - 30
    assert twice <= 2, "only what ran when the worker died may run again"


def test_a_killed_pool_process_harms_nobody(site: Site) -> None:
    worker = site.worker()
    site.script(SEND + "for n in range(20): pid.delay(str(n))")
    until(lambda: len(site.lines("pids")) == 20, "tasks done")
    before = {line.split()[1] for line in site.lines("pids")}
    for number in before:
        os.kill(int(number), signal.SIGKILL)
    site.script(SEND + "for n in range(20, 40): pid.delay(str(n))")
    until(lambda: len(site.lines("pids")) == 40, "tasks done by new processes")
    assert not before & {line.split()[1] for line in site.lines("pids")[20:]}
    assert worker.poll() is None
    until(site.is_empty, "queue empty")


PRODUCE = """
import sys
from kombu import Connection, Producer
import django_director.broker
with Connection("director://") as connection:
    producer = Producer(connection)
    for n in range(250):
        producer.publish(f"{sys.argv[1]}-{n}", routing_key="stress", serializer="json", retry=True)
"""
CONSUME = """
import sys
from kombu import Connection, Consumer, Queue
import django_director.broker
def received(body, message):
    file.write(body + "\\n")
    message.ack()
with Connection("director://") as connection, open(sys.argv[1], "w", buffering=1) as file:
    consumer = Consumer(connection, [Queue("stress")], callbacks=[received])
    consumer.qos(prefetch_count=8)
    with consumer:
        print("ready", flush=True)
        while True:
            try: connection.drain_events(timeout=3)
            except TimeoutError: break
"""


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_producers_and_consumers_neither_lose_nor_repeat(site: Site, number: int) -> None:
    outputs = [site.out / f"received-{n}" for n in range(number)]
    setup = "import django; django.setup()\n"
    consumers = [site.start("-c", setup + CONSUME, str(path), stdout=subprocess.PIPE) for path in outputs]
    for consumer in consumers:
        assert consumer.stdout
        assert consumer.stdout.readline() == "ready\n"
    producers = [site.start("-c", setup + PRODUCE, str(n)) for n in range(number)]
    for process in producers + consumers:
        assert process.wait(timeout=60) == 0
    received = [path.read_text().split() for path in outputs]
    everything = [line for lines in received for line in lines]
    assert sorted(everything) == sorted(f"{p}-{n}" for p in range(number) for n in range(250))
    assert all(received), "each consumer had a share"
    assert site.counts()["Message"] == 0


def test_remote_control(site: Site) -> None:
    site.worker("-n", "one@here")
    site.worker("-n", "two@here")
    # Four run, more wait: remote control must answer although every process of the pools is busy.
    site.script(SEND + "for n in range(20): mark.delay(str(n), 300)")
    until(lambda: len(site.lines("started")) == 4, "four tasks running")
    out = site.script(
        SEND
        + """
inspect = app.control.inspect(timeout=5, limit=2)
active, reserved = inspect.active(), inspect.reserved()
for answer in active, reserved:
    print({node: len(tasks) for node, tasks in sorted(answer.items())})
print(app.control.purge())
app.control.revoke([task["id"] for tasks in reserved.values() for task in tasks])
app.control.revoke([task["id"] for tasks in active.values() for task in tasks], terminate=True, signal="SIGKILL")
"""
    )
    assert out.splitlines() == ["{'one@here': 2, 'two@here': 2}", "{'one@here': 6, 'two@here': 6}", "4"]
    until(site.is_empty, "revoked and purged")
    assert len(site.lines("started")) == 4
    ping = site.python("-m", "celery", "-A", APP, "inspect", "ping", "-d", "two@here")
    assert "1 node online" in ping
    site.script(SEND + "app.control.shutdown()")
    for worker in site.processes[1:3]:
        assert worker.wait(timeout=30) == 0
    assert site.counts() == {"Message": 0, "TransientQueue": 0, "Binding": 1, "Consumer": 0}


OTHERS = (("postgresql", "prefork"), ("sqlite", "threads"), ("sqlite", "solo"))


@pytest.mark.parametrize(
    ("site", "pool"),
    [
        ("sqlite", "prefork"),
        *(pytest.param(*given, marks=pytest.mark.slow) for given in OTHERS),
    ],
    indirect=["site"],
)
def test_every_pool_works_and_stops_in_order(site: Site, pool: str) -> None:
    worker = site.worker("-P", pool)
    site.script(SEND + "[mark.delay(str(n)) for n in range(30)]; again.delay('refused once')")
    until(lambda: len(site.lines("done")) == 31, "tasks done")
    assert site.lines("started").count("refused once") == 2
    site.script(SEND + "[mark.delay(f'last {n}', 0.5) for n in range(4)]")
    until(lambda: len(site.lines("started")) > 32, "running")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    done = [line for line in site.lines("done") if line.startswith("last")]
    started = [line for line in site.lines("started") if line.startswith("last")]
    assert sorted(done) == sorted(started), "a warm shutdown ends what it has started"
    assert site.counts()["Message"] == 4 - len(done), "and gives the others back"


@pytest.mark.slow
@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_a_broken_connection_is_made_again(site: Site) -> None:
    worker = site.worker()
    site.script(SEND + "for n in range(10): mark.delay(str(n))")
    until(lambda: len(site.lines("done")) == 10, "tasks done")
    site.script(
        "from django.db import connection\n"
        "connection.cursor().execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity'\n"
        "    ' WHERE datname = current_database() AND pid <> pg_backend_pid()')"
    )
    site.script(SEND + "for n in range(10, 20): mark.delay(str(n))")
    until(lambda: len(set(site.lines("done"))) == 20, "tasks done after the break")
    assert worker.poll() is None
