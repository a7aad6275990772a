"""A database that refuses what a worker has to write, and sessions that a task has spoilt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from django_director.models import Run, Task
from django_director.status import RunStatus

from . import checker
from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(120)]

TRIGGER = "tests_refusing"
COUNTER = "tests_refused"


@pytest.fixture(scope="module")
def worker(site: Site) -> Worker:
    """One process for all tests, so that each meets what the one before has left."""
    return site.worker(queues="victim,celery", concurrency=1)


@contextlib.contextmanager
def refusing(error: str) -> Iterator[Callable[[], int]]:
    """Let the database raise an error wherever a task would become a success; yields how often it did."""
    is_postgresql = connection.vendor == "postgresql"
    counting = (
        f"PERFORM nextval('{COUNTER}')" if is_postgresql else f"UPDATE {COUNTER} SET last_value = last_value + 1"
    )
    body = f"BEGIN IF NEW.status = 'success' THEN {counting}; {error}; END IF;"
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


def raising(code: Any) -> str:
    if connection.vendor == "postgresql":
        return f"RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'"
    return f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'as asked'"


@pytest.mark.fault(42)
@pytest.mark.parametrize("code", PASSING.get(connection.vendor, []))
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
@pytest.mark.parametrize("code", OF_DATA.get(connection.vendor, []))
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
