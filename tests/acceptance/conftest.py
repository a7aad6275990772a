"""A database that other processes see, a broker, and workers, each once for a module of tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from django.test.utils import setup_databases, teardown_databases

from django_director import engine
from django_director.dispatch import publisher
from django_director.models import Lease, Run
from django_director.models import Worker as WorkerRow
from django_director.sync import versions
from tests.factories import definition, make_workflow
from tests.services import require_broker, unmet

from . import checker
from .browser import browser, open_page  # noqa: F401 - fixtures
from .harness import Beat, Program, Worker
from .redis_server import Redis

QUEUES = ("celery", "special", "victim", "routed")


class Site:
    """The processes of a module's tests, and what its tests have started."""

    def __init__(self, broker: str, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self.history = folder / "history"
        self.programs: list[Program] = []
        self.runs: list[Run] = []
        #: Words of errors in the logs that the module's tests bring about.
        self.expected: set[str] = set()

    def worker(self, **options: Any) -> Worker:
        """A worker that is ready; ``options`` as ``Worker`` takes them."""
        broker = options.pop("broker", self.broker)
        options.setdefault("DIRECTOR_TEST_HISTORY", str(self.history))
        worker = Worker(broker, self.folder, **options)
        self.programs.append(worker)
        worker.start()
        return worker

    def beat(self) -> Beat:
        beat = Beat(self.broker, self.folder)
        self.programs.append(beat)
        beat.start()
        return beat

    def start(self, name: str, payload: Any = None, **options: Any) -> Run:
        run = engine.start(name, payload, **options)
        self.runs.append(run)
        return run

    def run(self, name: str, payload: Any = None, *, timeout: float = 30) -> Run:
        """Start a workflow of the files and wait for its outcome."""
        run = self.start(name, payload)
        run.wait(timeout)
        return run

    def define(self, name: str, *tasks: Any, **fields: Any) -> None:
        """A workflow that no file has, for what a file can't say or would say at length."""
        make_workflow(definition(name, *tasks, **fields))

    def wait(self, runs: list[Run], timeout: float = 60) -> None:
        for run in runs:
            run.wait(timeout)

    def check(self, undone_claims: int = 0) -> None:
        """The invariants; for the runs and logs since the last check."""
        runs, self.runs = self.runs, []
        for run in runs:
            run.refresh_from_db()
            checker.check_run(run)
        checker.check_keys(runs)
        checker.check_history(self.history, undone_claims)
        errors = [line for program in self.programs for line in program.errors(*self.expected)]
        assert not errors, "\n".join(errors)

    def kill(self) -> None:
        """End all processes at once: a stop in good order takes seconds, and has its own test."""
        while self.programs:
            self.programs.pop().kill()
        # Of those that were killed: the next tests need not wait for the end of a lease, and nobody is missed.
        Lease.objects.all().delete()
        WorkerRow.objects.all().delete()

    def empty_broker(self) -> None:
        """Lose every message, as a broker without persistence does."""
        if self.broker.startswith("redis"):
            self._flush_redis()
        elif self.broker.startswith("director"):
            from django_director.broker.models import Message

            Message.objects.all().delete()
        else:
            self._purge()

    def _flush_redis(self) -> None:
        import redis

        with redis.Redis.from_url(self.broker) as client:
            client.flushdb()

    def _purge(self) -> None:
        with current_app.connection_for_write() as connection, connection.channel() as channel:
            for queue in QUEUES:
                channel.queue_declare(queue=queue, durable=True, auto_delete=False)
                channel.queue_purge(queue)


def reset_publishing() -> None:
    """Forget the broker of earlier tests."""
    if publisher._pool.cache_info().currsize:
        publisher._pool(os.getpid()).force_close_all()
    publisher._pool.cache_clear()
    # Celery's own pool goes to the broker of its first use.
    current_app.amqp._producer_pool = None
    publisher.breaker.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Show the ends of the programs' logs with a failure: they are gone afterwards."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.when == "call" and report.failed and site is not None:
        report.sections += [(f"log of {program.log.stem}", program.tail()) for program in site.programs]
    return report


@pytest.fixture
def use_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let this process publish to another broker for one test."""

    def use(url: str) -> None:
        # Celery reads it at each access, before its configuration.
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        reset_publishing()

    yield use
    monkeypatch.undo()
    reset_publishing()


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    """The broker of this run of the suite; this process publishes to it too."""
    url = os.environ.get("CELERY_BROKER_URL", "director://")
    require_broker(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", url)
        reset_publishing()
        yield url
    reset_publishing()


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, also in a session without tests that are marked as using it."""
    if any(item.get_closest_marker("django_db") for item in request.session.items):
        yield
        return
    with django_db_blocker.unblock():
        made = setup_databases(0, interactive=False, aliases={"default"})
        yield
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="module")
def site(
    broker_url: str,
    database: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """The module's site: rows are committed, and gone at its end."""
    from .settings import DIRECTOR

    site = Site(broker_url, tmp_path_factory.mktemp("site"))
    with django_db_blocker.unblock(), override_settings(DIRECTOR=DIRECTOR):
        site.empty_broker()
        versions.sync()
        try:
            yield site
        finally:
            site.kill()
            site.empty_broker()
            call_command("flush", verbosity=0, interactive=False)
            connections.close_all()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    binary = shutil.which("redis-server")
    if binary is None:
        unmet("no redis-server on the path")
    server = Redis(str(binary), tmp_path)
    yield server
    server.kill()


@pytest.fixture
def checked(site: Site) -> Iterator[Site]:
    """The site, with the invariants checked at the end of the test."""
    yield site
    site.check()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file in which TRACE writes each execution."""
    return tmp_path / "trace"
