"""Two projects on one broker and one queue: each worker meets messages of the other."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.test import override_settings

from django_director.dispatch import installation
from django_director.models import Run, Task
from django_director.status import RunStatus

from . import checker
from .conftest import Site
from .harness import Worker, manage, wait_for
from .redis_server import Redis
from .settings import DIRECTOR

pytestmark = [pytest.mark.worker, pytest.mark.timeout(180), pytest.mark.fault(37), pytest.mark.thorough]

RUNS = 6
SECONDS = 10.0
"""Within which every run has to end: far less than the grace, after which a message is sent again."""
TAKEN = "took a message of another installation of django-director from queue `{queue}` on {broker}"
FIRST = "was taken by {worker} first, a worker of another installation"


class Project:
    """Another project, with a database of its own, on the same broker."""

    def __init__(self, broker: str, path: Path) -> None:
        self.broker = broker
        self.path = path
        self.environ = {"DATABASE_URL": f"sqlite:///{path}", "DIRECTOR_TEST_TIMES": "real"}

    def manage(self, *args: str) -> str:
        done = manage(self.broker, *args, **self.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, payload: dict[str, Any], times: int) -> None:
        code = f"from django_director import engine\nfor _ in range({times}): engine.start({name!r}, {payload!r})"
        self.manage("shell", "-c", code)

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.path) as database:
            return database.execute(query).fetchall()

    def has_ended(self) -> bool:
        return not self.rows("SELECT 1 FROM django_director_run WHERE finished_at IS NULL")


@pytest.fixture
def shared(site: Site, request: pytest.FixtureRequest, use_broker: Callable[[str], None]) -> Iterator[str]:
    """A broker that both projects see: the embedded one is in the database of one."""
    url = site.broker
    if url.startswith("director"):
        redis: Redis = request.getfixturevalue("redis")
        redis.start()
        url = redis.url
        use_broker(url)
    else:
        site.empty_broker()
    real = {
        key: value for key, value in DIRECTOR.items() if key not in ("DISPATCH_GRACE", "LEASE", "RENEW", "TICK")
    }
    with override_settings(DIRECTOR=real):
        yield url
    site.kill()


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with our tables and workflows."""
    project = Project("memory://", tmp_path_factory.mktemp("other") / "migrated.sqlite3")
    for command in ("migrate", "syncworkflows"):
        project.manage(command, "--verbosity", "0")
    return project.path


@pytest.fixture
def other(shared: str, migrated: Path, tmp_path: Path) -> Project:
    return Project(shared, shutil.copy(migrated, tmp_path / "other.sqlite3"))


def worker(site: Site, broker: str, **options: Any) -> Worker:
    return site.worker(broker=broker, concurrency=1, **({"DIRECTOR_TEST_TIMES": "real"} | options))


def stranger(site: Site, project: Project, **options: Any) -> Worker:
    history = str(project.path.with_suffix(".history"))
    return worker(site, project.broker, DIRECTOR_TEST_HISTORY=history, **options, **project.environ)


def assert_ended_undisturbed(runs: list[Run], own: Worker) -> None:
    """In time, by our own worker alone, and no message had to be sent again."""
    for run in runs:
        assert run.wait(SECONDS) == RunStatus.SUCCESS
    tasks = Task.objects.filter(run__in=runs)
    assert {task.worker for task in tasks} == {own.hostname}
    assert not tasks.filter(dispatches__gt=0).exists()


def without_user(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def is_empty(queue: str) -> bool:
    with current_app.connection_for_write() as connection, connection.channel() as channel:
        return bool(channel.queue_declare(queue=queue, durable=True, auto_delete=False).message_count == 0)


def test_each_has_its_own_messages_in_time(site: Site, shared: str, other: Project, trace: Path):
    own, foreign = worker(site, shared), stranger(site, other)
    runs = [site.start("fault.RUN", {"trace": str(trace)}) for _ in range(RUNS)]
    other.start("fault.RUN", {"trace": str(trace)}, RUNS)
    assert_ended_undisturbed(runs, own)
    wait_for(other.has_ended, SECONDS)
    assert other.rows("SELECT DISTINCT status FROM django_director_run") == [("success",)]
    assert other.rows("SELECT DISTINCT worker FROM django_director_task WHERE NOT is_hook") == [
        (foreign.hostname,)
    ]
    executed = checker.executions(trace)
    assert set(executed.values()) == {1}
    assert len(executed) == 2 * RUNS * 4
    wait_for(lambda: is_empty("celery"), 5)
    for one, two in ((own, foreign), (foreign, own)):
        assert one.text().count(TAKEN.format(queue="celery", broker=without_user(shared))) == 1
        assert one.text().count(FIRST.format(worker=two.hostname)) == 1


def test_a_stranger_that_does_not_know_the_task(site: Site, shared: str, other: Project, trace: Path):
    own = worker(site, shared, queues="special")
    foreign = stranger(site, other, queues="special", DIRECTOR_TEST_CODE="old")
    assert_ended_undisturbed([site.start("fault.NEW", {"trace": str(trace)}) for _ in range(RUNS)], own)
    assert foreign.text().count(TAKEN.format(queue="special", broker=without_user(shared))) == 1
    assert "unregistered" not in foreign.text()


def test_what_beat_sends_starts_its_run_in_its_own_project(site: Site, shared: str, other: Project, trace: Path):
    own, foreign = worker(site, shared), stranger(site, other)
    before = Run.objects.count()
    for _ in range(RUNS):
        current_app.send_task("django_director.run_workflow", args=["fault.LONG", {"trace": str(trace)}])
    wait_for(lambda: Run.objects.count() == before + RUNS, SECONDS, "each message has started a run here")
    runs = list(Run.objects.order_by("-created_at")[:RUNS])
    assert_ended_undisturbed(runs, own)
    assert other.rows("SELECT count(*) FROM django_director_run") == [(0,)]
    assert foreign.text().count(TAKEN.format(queue="celery", broker=without_user(shared))) == 1


@pytest.mark.slow
def test_a_busy_stranger_holds_nothing_back(site: Site, shared: str, other: Project, trace: Path):
    """Also what it has prefetched is handed on at once."""
    foreign = stranger(site, other, prefetch=16)
    other.start("fault.LONG", {"trace": str(trace), "seconds": 60}, 1)
    wait_for(trace.exists, what="it is busy")
    own = worker(site, shared)
    assert_ended_undisturbed([site.start("fault.RUN", {"trace": str(trace)}) for _ in range(RUNS)], own)
    assert "took a message of another installation" in foreign.text()


@pytest.mark.slow
def test_a_message_waits_among_strangers_for_its_own_worker(site: Site, shared: str, other: Project, trace: Path):
    foreign = stranger(site, other)
    run = site.start("fault.LONG", {"trace": str(trace)})
    wait_for(lambda: "took a message of another installation" in foreign.text())
    own = worker(site, shared)
    assert_ended_undisturbed([run], own)


@pytest.mark.slow
def test_a_copy_of_our_database_has_our_id_and_not_our_runs(site: Site, shared: str, other: Project, trace: Path):
    with sqlite3.connect(other.path) as database:
        database.execute("UPDATE django_director_installation SET uid = ?", [installation.current_id()])
    own, copy = worker(site, shared), stranger(site, other)
    assert_ended_undisturbed([site.start("fault.RUN", {"trace": str(trace)}) for _ in range(RUNS)], own)
    assert copy.text().count("whose database is a copy of this one") == 1
    assert "another installation" not in own.text()
