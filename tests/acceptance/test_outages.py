"""A broker that is down, silent, or back without its messages; a database that does not answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import current_app

from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from tests.services import needs_mysqlclient, require_service

from . import checker
from .conftest import Site
from .harness import Worker, database_url, manage, pid_in, wait_for
from .redis_server import Redis
from .tcp_proxy import Proxy

pytestmark = [pytest.mark.worker, pytest.mark.timeout(180)]

LEASE = 3.0
"""Seconds, as in the settings of the acceptance tests."""
PATIENCE = 10.0
"""Seconds a caller may wait for a broker that does not answer."""


@pytest.fixture
def outage(checked: Site) -> Iterator[Site]:
    """Celery reports the broker's absence as errors; it is what these tests are about."""
    # A message that Celery has taken before can't be acknowledged then.
    checked.expected |= {"consumer: Cannot connect", "Connection to broker lost", "Couldn't ack "}
    yield checked
    checked.check()
    checked.kill()


def timed_start(site: Site, name: str, payload: object = None) -> tuple[Run, float]:
    began = time.monotonic()
    run = site.start(name, payload)
    return run, time.monotonic() - began


@pytest.mark.fault(13)
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


@pytest.mark.fault(13)
@pytest.mark.slow
def test_a_broker_that_is_away_for_a_minute(outage: Site, redis: Redis, use_broker: Callable[[str], None]):
    """The worker is there before it, and callers start runs all the time."""
    use_broker(redis.url)
    worker = Worker(redis.url, outage.folder, DIRECTOR_TEST_HISTORY=str(outage.history))
    outage.programs.append(worker)
    worker.launch()
    back_at = time.monotonic() + 60
    runs: list[Run] = []
    while time.monotonic() < back_at:
        run, seconds = timed_start(outage, "example.ETL")
        assert seconds < 3, "nobody waits for a broker that refuses"
        runs.append(run)
        next_at = min(back_at, time.monotonic() + 6)
        wait_for(lambda next_at=next_at: time.monotonic() >= next_at)
    assert len(runs) > 3
    assert not Run.objects.finished().filter(pk__in=[run.pk for run in runs]).exists()
    redis.start()
    outage.wait(runs, 60)
    assert {run.result for run in runs} == {60}
    assert {task.attempt for run in runs for task in run.tasks.all()} == {1}


@pytest.mark.fault(12)
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


@pytest.mark.fault(12)
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


@pytest.mark.fault(10)
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


@pytest.fixture
def wire() -> Iterator[Callable[[str], tuple[Proxy, str]]]:
    """A proxy before the suite's database, and the URL through it, for one worker."""
    proxies: list[Proxy] = []

    def lay(url: str) -> tuple[Proxy, str]:
        parts = urlsplit(url)
        if parts.scheme == "sqlite":
            pytest.skip("skipped: SQLite has no server")
        proxy = Proxy((parts.hostname or "127.0.0.1", parts.port or {"mysql": 3306}.get(parts.scheme, 5432)))
        proxies.append(proxy)
        return proxy, f"{parts.scheme}://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}{parts.path}"

    yield lay
    for proxy in proxies:
        proxy.close()


@pytest.mark.fault(12)
@pytest.mark.slow
def test_a_silent_rabbitmq_holds_nobody_up(outage: Site, use_broker: Callable[[str], None]):
    require_service("RabbitMQ", "127.0.0.1", 5672)
    proxy = Proxy(("127.0.0.1", 5672))
    try:
        use_broker(f"amqp://guest:guest@127.0.0.1:{proxy.port}//")
        proxy.freeze()
        run, seconds = timed_start(outage, "example.ETL")
        assert seconds < PATIENCE
        assert Run.objects.get(pk=run.pk).status == RunStatus.RUNNING
    finally:
        proxy.close()
    outage.worker()
    run.wait(30)
    assert run.result == 60


@pytest.mark.fault(14)
@pytest.mark.slow
def test_backends_terminated_again_and_again(outage: Site, wire: Callable[[str], tuple[Proxy, str]], trace: Path):
    """An RST on every connection of a worker is what it sees of a terminated backend."""
    proxy, url = wire(database_url())
    outage.expected |= {"consumer: "}
    outage.worker(DATABASE_URL=url)
    runs = [outage.start("fault.RUN", {"trace": str(trace), "seconds": 0.3}) for _ in range(6)]
    for number in range(1, 6):
        wait_for(lambda number=number: checker.executions(trace).total() >= 4 * number, what="some have run")
        proxy.reset()
    outage.wait(runs, 60)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}


@pytest.mark.fault(14)
@pytest.mark.slow
def test_a_commit_whose_answer_is_lost_is_resolved(
    outage: Site, wire: Callable[[str], tuple[Proxy, str]], trace: Path
):
    proxy, url = wire(database_url())
    outage.worker(DATABASE_URL=url)
    run = outage.start("fault.RUN", {"trace": str(trace), "seconds": 2})
    wait_for(trace.exists, what="a task works")
    # Its own commit, or the supervisor's: neither may be done twice, nor be forgotten.
    proxy.lose_answer_to(b"COMMIT")
    run.wait(40)
    assert proxy.answers_lost == 1
    assert run.status == RunStatus.SUCCESS
    assert set(checker.executions(trace).values()) == {1}, "no attempt was repeated"


@pytest.mark.fault(15)
@pytest.mark.slow
def test_a_database_away_for_three_leases_loses_no_attempt(
    outage: Site, wire: Callable[[str], tuple[Proxy, str]], trace: Path
):
    proxy, url = wire(database_url())
    outage.worker(DATABASE_URL=url)
    run = outage.start("fault.RUN", {"trace": str(trace), "seconds": 4})
    wait_for(trace.exists, what="a long task works")
    proxy.cut()
    away_until = time.monotonic() + 3 * LEASE
    wait_for(lambda: time.monotonic() > away_until)
    proxy.heal()
    run.wait(60)
    assert run.status == RunStatus.SUCCESS
    assert set(checker.executions(trace).values()) == {1}
    assert {task.crashes for task in run.tasks.all()} == {0}


@pytest.mark.fault(34)
@pytest.mark.slow
def test_a_worker_that_has_lost_a_process_waits_for_no_silent_database(
    outage: Site, wire: Callable[[str], tuple[Proxy, str]], trace: Path
):
    if outage.broker.startswith("director"):
        pytest.skip("skipped: the broker is in the database")
    outage.expected |= {"Task handler raised error", "exited with 'signal 9 (SIGKILL)'"}
    proxy, url = wire(database_url())
    worker = outage.worker(DATABASE_URL=url, DIRECTOR_TEST_TIMES="real")
    outage.define("lost.SILENT", "HANG_ONCE")
    run = outage.start("lost.SILENT", {"trace": str(trace)})
    wait_for(trace.exists, what="a task hangs")
    proxy.freeze()
    os.kill(pid_in(trace), signal.SIGKILL)
    wait_for(lambda: "Task handler raised error" in worker.text(), 5, "its worker knows")
    for _ in range(3):
        assert current_app.control.ping(destination=[worker.hostname], timeout=5, limit=1), "it listens"
    assert run.tasks.running().exists()
    proxy.heal()
    assert run.wait(10) == RunStatus.SUCCESS
    assert checker.executions(trace).total() == 2


@pytest.mark.fault(16)
@pytest.mark.slow
def test_a_slow_database_only_slows(outage: Site, wire: Callable[[str], tuple[Proxy, str]], trace: Path):
    proxy, url = wire(database_url())
    proxy.delay(100)
    outage.worker(DATABASE_URL=url)
    run = outage.start("fault.LONG", {"trace": str(trace), "seconds": 2 * LEASE})
    run.wait(60)
    assert run.status == RunStatus.SUCCESS
    assert set(checker.executions(trace).values()) == {1}, "no false expiry"
    assert {task.crashes for task in run.tasks.all()} == {0}


@pytest.mark.fault(17)
@pytest.mark.slow
def test_a_worker_cut_from_the_database_is_fenced(
    outage: Site, wire: Callable[[str], tuple[Proxy, str]], trace: Path
):
    outage.worker(queues="celery")  # its supervisor can see the database
    proxy, url = wire(database_url())
    outage.worker(queues="victim", concurrency=1, DATABASE_URL=url, DIRECTOR_TEST_SUPERVISOR="process")
    run = outage.start("fault.VICTIM", {"trace": str(trace), "seconds": 1})
    wait_for(trace.exists, what="a task works")
    proxy.freeze()
    helper = outage.worker(queues="victim", concurrency=1)
    run.wait(60)
    first = run.tasks.get(step="TRACE")
    assert run.status == RunStatus.SUCCESS
    assert (first.worker, first.crashes) == (helper.hostname, 1)
    claim = first.claim
    proxy.heal()
    # The late finish arrives now; a new run through the same worker or the other shows that it is over.
    assert outage.run("fault.VICTIM", {"trace": str(trace), "seconds": 0}).status == RunStatus.SUCCESS
    first.refresh_from_db()
    assert (first.claim, first.status) == (claim, TaskStatus.SUCCESS)
