"""A database that refuses what a worker has to write, and sessions that a task has spoilt."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from django_director import engine
from django_director.checks.static import check_charset
from django_director.db import texts
from django_director.db.transactions import PATIENCE
from django_director.models import Attempt, Run, Task, TaskLog
from django_director.status import RunStatus
from tests.services import needs_mysqlclient

from . import checker
from .conftest import Site
from .harness import Worker, database_url, pid_in, wait_for
from .tcp_proxy import Proxy

pytestmark = [pytest.mark.worker, pytest.mark.timeout(120), pytest.mark.thorough]

REFUSED = "The database refuses what a worker has to write"
TRIGGER = "tests_refusing"
COUNTER = "tests_refused"


@pytest.fixture(scope="module")
def worker(site: Site) -> Worker:
    """One process for all tests, so that each meets what the one before has left."""
    return site.worker(queues="victim,celery", concurrency=1)


@contextlib.contextmanager
def refusing(error: str, what: str = "NEW.status = 'success'") -> Iterator[Callable[[], int]]:
    """Let the database raise an error wherever a task would become a success, or so; yields how often it did."""
    is_postgresql = connection.vendor == "postgresql"
    counting = (
        f"PERFORM nextval('{COUNTER}')" if is_postgresql else f"UPDATE {COUNTER} SET last_value = last_value + 1"
    )
    body = f"BEGIN IF {what} THEN {counting}; {error}; END IF;"
    trigger = f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE ON django_director_task FOR EACH ROW"
    if is_postgresql:
        function = f"CREATE FUNCTION {TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} RETURN NEW; END $$"
        execute(f"CREATE SEQUENCE {COUNTER}", function, f"{trigger} EXECUTE FUNCTION {TRIGGER}()")
    else:
        # Whatever is rolled back, such a table keeps.
        execute(f"CREATE TABLE {COUNTER} (last_value int) ENGINE=MyISAM", f"INSERT INTO {COUNTER} VALUES (0)")
        execute(f"{trigger} {body} END")
    try:
        yield lambda: read(f"SELECT last_value FROM {COUNTER}")
    finally:
        if is_postgresql:
            execute(f"DROP FUNCTION {TRIGGER}() CASCADE", f"DROP SEQUENCE {COUNTER}")
        else:
            execute(f"DROP TRIGGER {TRIGGER}", f"DROP TABLE {COUNTER}")


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def read(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


#: Time-out, full disk, too many connections, read only, missing column, missing right; their numbers on MySQL.
PASSING = {
    "postgresql": ["57014", "53100", "53300", "25006", "42703", "42501"],
    "mysql": [1969, 1021, 1040, 1290, 1054, 1142],
}
OF_DATA = {"postgresql": ["22001", "23514"], "mysql": [1406, 1366, 4025]}


WHY_NOT = "skipped: triggers of SQLite raise no error of another kind"
NONE = [pytest.param(None, marks=pytest.mark.skip(WHY_NOT))]


def raising(code: Any) -> str:
    if connection.vendor == "postgresql":
        return f"RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'"
    return f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'as asked'"


@pytest.mark.fault(42)
@pytest.mark.parametrize("code", PASSING.get(connection.vendor, NONE))
def test_a_passing_refusal_costs_no_result(checked: Site, worker: Worker, trace: Path, code):
    with refusing(raising(code)) as refused:
        run = checked.start("fault.HELD", {"trace": str(trace)})
        wait_for(lambda: refused() >= 3, what="the database has refused it again and again")
        assert run.tasks.get(step="TRACE").status == "running"
    run.wait(30)
    assert run.status == RunStatus.SUCCESS, run.error
    assert (run.tasks.first().attempt, run.tasks.first().attempts.count()) == (1, 0)
    assert checker.executions(trace).total() == 1


@pytest.mark.fault(42)
@pytest.mark.skipif(connection.vendor == "sqlite", reason=WHY_NOT)
def test_a_process_that_is_ended_waits_out_a_refusal_to_say_so(checked: Site, worker: Worker, trace: Path):
    """As long as for a result: else its parent would write of a lost process, without the signal."""
    checked.expected |= {"Task handler raised error", "exited with 'exitcode"}
    code = PASSING[connection.vendor][0]
    with refusing(raising(code), "NEW.crashes > OLD.crashes") as refused:
        run = checked.start("fault.HELD", {"trace": str(trace), "seconds": 60})
        os.kill(pid_in(trace), signal.SIGTERM)
        wait_for(refused, what="the crash is refused")
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > PATIENCE + 1 and refused() >= 3, what="it is refused for long")
        assert (run.tasks.get(step="TRACE").status, run.tasks.get(step="TRACE").crashes) == ("running", 0)
    wait_for(lambda: run.tasks.get(step="TRACE").crashes, what="the crash is written")
    assert run.tasks.get(step="TRACE").attempts.get().error == "WorkerLost: its process was ended by SIGTERM"
    engine.cancel(run, force=True)
    run.wait(30)


@pytest.mark.fault(42)
@pytest.mark.parametrize("code", OF_DATA.get(connection.vendor, NONE))
def test_data_that_the_database_refuses_fail_their_task_once(checked: Site, worker: Worker, trace: Path, code):
    with refusing(raising(code)):
        run = checked.start("fault.HELD", {"trace": str(trace)})
        run.wait(30)
    assert run.status == RunStatus.FAILED
    assert "the result could not be stored: " in run.error
    assert "as asked" in run.error
    assert checker.executions(trace).total() == 1


def statements(*given: str, **more: Any) -> dict[str, Any]:
    return {"statements": given, **more}


SPOILING: dict[str, dict[str, dict[str, Any]]] = {
    "postgresql": {
        "a transaction": statements("BEGIN", "UPDATE auth_group SET name = name"),
        "a failed transaction": statements("BEGIN; LOCK TABLE auth_group"),
        "a transaction beneath Django": statements("BEGIN", raw=True),
        "autocommit off": statements(autocommit=True),
        "schema": statements("SET search_path TO nowhere"),
        "schema by a function": statements("SELECT set_config('search_path', 'nowhere', false)"),
        "tables of the same name": statements(
            "CREATE TEMP TABLE django_director_task (LIKE django_director_task)",
            "CREATE TEMP TABLE auth_group (id int)",
        ),
        "read only": statements("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"),
        "role": statements("SET ROLE pg_monitor"),
        "time zone": statements("SET TIME ZONE 'Asia/Tokyo'"),
        "isolation": statements("SET default_transaction_isolation TO serializable"),
        "time-outs": statements("SET statement_timeout TO 1; SET lock_timeout TO 1"),
        "prepared statements": statements("DEALLOCATE ALL"),
    },
    "mysql": {
        "a transaction": statements("BEGIN", "UPDATE auth_group SET name = name"),
        "a transaction beneath Django": statements("BEGIN", raw=True),
        "autocommit off": statements(autocommit=True),
        "autocommit off by SQL": statements("SET autocommit = 0", "UPDATE auth_group SET name = name"),
        "autocommit off beneath Django": statements("SET autocommit = 0", raw=True),
        "read only": statements("SET SESSION TRANSACTION READ ONLY"),
        "locks": statements("LOCK TABLES auth_group READ"),
        "sql_mode": statements("SET sql_mode = 'ANSI_QUOTES'"),
        "another database": statements("USE information_schema"),
        "time zone": statements("SET time_zone = '+09:00'"),
        "character set": statements("SET NAMES latin1"),
    },
    "sqlite": {
        "a transaction": statements("BEGIN IMMEDIATE"),
        "a transaction beneath Django": statements("BEGIN IMMEDIATE", raw=True),
        "autocommit off": statements(autocommit=True),
        "read only": statements("PRAGMA query_only = 1"),
        "tables of the same name": statements("CREATE TEMP TABLE auth_group (id int)"),
    },
}
#: What only the engine is safe from: Django's connection stays as a task has left it beneath Django.
UNSEEN: dict[str, dict[str, dict[str, Any]]] = {
    "postgresql": {
        "schema beneath Django": statements("SET search_path TO nowhere", raw=True),
        "read only beneath Django": statements("SET default_transaction_read_only TO on", raw=True),
        "tables of the same name beneath Django": statements(
            "CREATE TEMP TABLE django_director_task (LIKE django_director_task)", raw=True
        ),
    },
    "mysql": {
        "read only beneath Django": statements("SET SESSION TRANSACTION READ ONLY", raw=True),
        "another database beneath Django": statements("USE information_schema", raw=True),
    },
    "sqlite": {"read only beneath Django": statements("PRAGMA query_only = 1", raw=True)},
}


@pytest.mark.fault(43)
@pytest.mark.parametrize("kind", SPOILING[connection.vendor])
def test_a_spoilt_session_harms_no_other_task(checked: Site, worker: Worker, kind):
    run = checked.run("fault.SPOIL", SPOILING[connection.vendor][kind])
    assert run.status == RunStatus.SUCCESS, run.error
    follower = checked.run("fault.STORE")
    assert follower.status == RunStatus.SUCCESS, follower.error
    assert Group.objects.filter(name=str(follower.pk)).exists(), "what the next task wrote is not committed"
    assert_in_one_process(run, follower)


@pytest.mark.fault(43)
@pytest.mark.parametrize("kind", UNSEEN[connection.vendor])
def test_a_session_spoilt_beneath_django_does_not_reach_the_engine(checked: Site, kind):
    """A worker of its own: the connection of the others stays usable."""
    worker = checked.worker(queues="special", concurrency=1)
    run = checked.run("fault.SPOIL_APART", UNSEEN[connection.vendor][kind])
    follower = checked.run("fault.BUSY_NOOP")
    worker.kill()
    checked.programs.remove(worker)
    assert (run.status, follower.status) == (RunStatus.SUCCESS, RunStatus.SUCCESS), run.error
    assert_in_one_process(run, follower)


def assert_in_one_process(*runs: Run) -> None:
    """All ran once and at once: no attempt was lost."""
    tasks = Task.objects.filter(run__in=runs)
    assert {(task.attempt, task.crashes) for task in tasks} == {(1, 0)}
    assert len({task.worker for task in tasks}) == 1


@pytest.fixture
def limited(checked: Site) -> Iterator[str]:
    """The URL of the database for a role with few connections; yields after it is set up on PostgreSQL."""
    if connection.vendor != "postgresql":
        pytest.skip("skipped: a limit of connections for each role is PostgreSQL's")
    name = f"{connection.settings_dict['NAME']}_few"
    execute(f"DROP ROLE IF EXISTS {name}", f"CREATE ROLE {name} SUPERUSER LOGIN CONNECTION LIMIT 0")
    execute(f"ALTER ROLE {name} NOSUPERUSER", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
    yield name
    checked.kill()
    execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.mark.fault(44)
@pytest.mark.slow
def test_connections_used_up_and_sigterm(checked: Site, limited: str, trace: Path):
    execute(f"ALTER ROLE {limited} CONNECTION LIMIT -1")
    url = urlsplit(database_url())
    url = url._replace(netloc=f"{limited}@{url.hostname}:{url.port}")
    worker = checked.worker(queues="special", concurrency=1, DATABASE_URL=url.geturl())
    run = checked.start("fault.BUSY", {"trace": str(trace), "seconds": 2})
    wait_for(trace.exists, what="its code runs")
    execute(f"ALTER ROLE {limited} CONNECTION LIMIT 0")
    ended = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{limited}'"
    read(ended)
    wait_for(lambda: "too many connections" in worker.text() and REFUSED in worker.text(), what="refused")
    began = time.monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.process is not None
    worker.process.wait(60)
    assert time.monotonic() - began < 15
    assert run.tasks.get().status in {"running", "queued"}, "left for its lease"
    lines = worker.text().splitlines()
    warnings = [line for line in lines if ": WARNING/" in line and "too many connections" in line]
    assert len(warnings) < 5, "\n".join(warnings)
    execute(f"ALTER ROLE {limited} CONNECTION LIMIT -1")
    checked.worker(queues="special", concurrency=1)
    run.wait(30)
    assert run.status == RunStatus.SUCCESS


@pytest.fixture
def proxied(checked: Site) -> Iterator[Proxy]:
    """A way to the database that can fall silent."""
    if connection.vendor == "sqlite":
        pytest.skip("skipped: SQLite has no server")
    given = connection.settings_dict
    proxy = Proxy((given["HOST"], int(given["PORT"])))
    yield proxy
    checked.kill()
    proxy.close()


@pytest.mark.fault(44)
@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_silent_database_and_sigterm(checked: Site, proxied: Proxy, trace: Path, pool):
    parts = urlsplit(database_url())
    address = f"{parts.username}@127.0.0.1:{proxied.port}"
    url = parts._replace(netloc=address).geturl()
    worker = checked.worker(queues="special", concurrency=2, pool=pool, DATABASE_URL=url)
    run = checked.start("fault.BUSY", {"trace": str(trace), "seconds": 1})
    wait_for(trace.exists, what="its code runs")
    proxied.freeze()
    began = time.monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.process is not None
    worker.process.wait(60)
    assert time.monotonic() - began < 20
    assert run.tasks.get().status in {"running", "queued"}, "left for its lease"
    checked.worker(queues="special", concurrency=1)
    run.wait(30)
    assert run.status == RunStatus.SUCCESS


@pytest.fixture
def narrow(checked: Site) -> Iterator[None]:
    """Tables of a database that was made without utf8mb4."""
    if connection.vendor != "mysql":
        pytest.skip("skipped: only MySQL and MariaDB have a utf8 without all of its characters")
    texts._kept_charset.cache_clear()
    convert("utf8mb3")
    yield
    convert("utf8mb4")
    texts._kept_charset.cache_clear()


def convert(charset: str) -> None:
    for model in (Task, Attempt, TaskLog, Run):
        columns = [
            f"MODIFY {field.column} {field.db_type(connection)} CHARACTER SET {charset} NOT NULL"
            for field in model._meta.concrete_fields
            if field.name in ("error", "traceback", "reason", "comment", "text")
        ]
        execute(f"ALTER TABLE {model._meta.db_table} {', '.join(columns)}")


@pytest.mark.fault(42)
@needs_mysqlclient
def test_a_database_without_some_characters_is_told_them_escaped(checked: Site, narrow: None):
    assert [message.id for message in check_charset(databases=["default"])] == ["director.E008"]
    worker = checked.worker(queues="special", concurrency=1)
    run = checked.start("fault.EMOJI", {"text": "ä \N{GRINNING FACE}"}, comment="by \N{GRINNING FACE}")
    run.wait(30)
    worker.kill()
    checked.programs.remove(worker)
    assert run.error == "EMOJI: ValueError: ä \\U0001f600"
    assert run.comment == "by \\U0001f600"
    task = run.tasks.get()
    assert (task.attempt, task.crashes) == (1, 0)
    assert "ä \\U0001f600" in task.traceback
    assert "logged: ä \\U0001f600" in task.logs.get().text
    assert task.progress["message"] == "ä \N{GRINNING FACE}"
    assert not check_charset(databases=[])
