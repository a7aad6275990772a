"""The engine's own connections outlast tasks and errors of the server, and keep plans where that is safe."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models import Value
from django.db.models.functions import JSONObject

from django_director.db import own_connections, plans
from django_director.db.compiled import TEXT, Param, Select, prepared
from django_director.db.sessions import engine_session, one_session, user_session
from django_director.db.transactions import connection, transact
from django_director.models import Workflow
from tests.acceptance.tcp_proxy import Proxy

theirs: Any = connections["default"]
"""Django's connection of the thread of these tests."""

pytestmark = pytest.mark.django_db(transaction=True)

on_postgresql = pytest.mark.skipif("postgresql" not in theirs.settings_dict["ENGINE"], reason="PostgreSQL only")
on_a_server = pytest.mark.skipif("sqlite" in theirs.settings_dict["ENGINE"], reason="there is no server")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    own_connections.close_idle()
    plans._refused.clear()
    theirs.ensure_connection()
    with altered(("CONN_MAX_AGE", 0)):
        yield
    own_connections.close_idle()
    plans._refused.clear()


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The connections that are opened during a test."""
    made: list[Any] = []

    def note(connection: Any, **_: Any) -> None:
        made.append(connection)

    connection_created.connect(note)
    yield made
    connection_created.disconnect(note)


@prepared
def finding() -> Select:
    return Select(Workflow.objects.filter(name=Param("name", TEXT)).values_list("name"))


def ask(times: int = 1) -> Any:
    """Execute a compiled statement on the engine's own connection; return the connection of the driver."""
    with engine_session():
        for _ in range(times):
            assert finding().rows(name="nobody") == []
        return connection().connection


@contextmanager
def altered(*settings: tuple[str, Any], **options: Any) -> Iterator[None]:
    """Let connections that are made in this block have other settings of Django."""
    given = connections.settings["default"]
    before = given.copy()
    given.update(dict(settings), OPTIONS={**given["OPTIONS"], **options})
    try:
        yield
    finally:
        given.update(before)


def test_one_connection_serves_many_tasks_though_conn_max_age_is_0(opened: list[Any]):
    first = ask()
    assert all(ask() is first for _ in range(10))
    assert len(opened) == 1


@pytest.mark.parametrize("age", [0, "django"])
def test_a_site_may_have_a_connection_for_each_task(settings: Any, opened: list[Any], age: object):
    settings.DIRECTOR = {"CONNECTION_MAX_AGE": age}
    if theirs.vendor == "sqlite" and theirs.is_in_memory_db():
        pytest.skip("Django closes no database in memory")
    for _ in range(3):
        with one_session():
            ask()
            ask()
    assert len(opened) == 3


def test_a_connection_that_is_too_old_is_opened_anew(settings: Any, opened: list[Any]):
    settings.DIRECTOR = {"CONNECTION_MAX_AGE": 0.05}
    if theirs.vendor == "sqlite" and theirs.is_in_memory_db():
        pytest.skip("Django closes no database in memory")
    until = time.monotonic() + 10
    ask()
    while len(opened) < 2 and time.monotonic() < until:
        ask()
    assert len(opened) == 2


def test_the_users_connection_keeps_djangos_rules(opened: list[Any]):
    ask()
    theirs.close()
    with engine_session(), user_session():
        assert connection() is theirs
        Workflow.objects.exists()
    assert theirs.settings_dict["CONN_MAX_AGE"] == 0
    assert theirs.connection is None or theirs.vendor == "sqlite"


def test_a_task_without_queries_opens_no_connection_for_itself(opened: list[Any]):
    theirs.close()
    opened.clear()
    with one_session():
        ask()
        with engine_session(), user_session():
            pass
    assert [own is theirs for own in opened] == [False]


def ended(own: Any) -> None:
    """Let the server end a session, as it does at its restart."""
    with engine_session():
        ask = connection().cursor()
        ask.execute("SELECT pg_backend_pid()" if theirs.vendor == "postgresql" else "SELECT connection_id()")
        (process,) = ask.fetchone()
    with theirs.cursor() as cursor:
        end = "SELECT pg_terminate_backend(%s, 5000)" if theirs.vendor == "postgresql" else "KILL %s"
        cursor.execute(end, [process])


@on_a_server
def test_a_session_that_the_server_has_ended_is_replaced_before_its_next_use(opened: list[Any]):
    first = ask()
    ended(first)
    # No patience: an error would be raised here.
    assert ask() is not first
    assert len(opened) == 2


@on_postgresql
def test_a_healthy_connection_is_not_asked_whether_it_is(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    usual = type(theirs).is_usable
    monkeypatch.setattr(type(theirs), "is_usable", lambda self: asked.append(self) or usual(self))
    for _ in range(5):
        ask()
    assert asked == []


@on_a_server
def test_a_connection_that_is_closed_already_is_replaced(opened: list[Any]):
    first = ask()
    first.close()
    assert ask() is not first


def age_idle(seconds: float) -> None:
    own_connections._idle[:] = [(own, since - seconds) for own, since in own_connections._idle]


@on_postgresql
def test_a_connection_that_was_idle_for_long_is_kept_if_it_answers(opened: list[Any]):
    first = ask()
    age_idle(own_connections.IDLE + 1)
    assert ask() is first
    assert len(opened) == 1


@on_postgresql
def test_a_connection_that_has_fallen_silent_is_replaced_within_seconds(opened: list[Any]):
    """As when a firewall has dropped it: nothing answers, and nothing is closed."""
    wire = Proxy((theirs.settings_dict["HOST"], int(theirs.settings_dict["PORT"] or 5432)))
    try:
        with altered(("HOST", "127.0.0.1"), ("PORT", wire.port)):
            first = ask()
        wire.freeze()
        age_idle(own_connections.IDLE + 1)
        began = time.monotonic()
        own_connections._idle[0][0].settings_dict = connections.settings["default"]
        assert ask() is not first
        assert time.monotonic() - began < own_connections.ANSWER_SECONDS + 5
    finally:
        wire.close()


def in_threads(count: int, work: Callable[[], object]) -> None:
    together = threading.Barrier(count, timeout=30)

    def run() -> None:
        with engine_session():
            together.wait()
            work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_threads_share_as_many_connections_as_they_need_at_a_time(opened: list[Any]):
    in_threads(4, lambda: finding().rows(name="nobody"))
    ask()
    in_threads(3, lambda: finding().rows(name="nobody"))
    assert len(opened) == 4


def test_threads_in_user_code_need_no_connection_of_the_engine(opened: list[Any]):
    """As hundreds of greenlets that wait for other servers."""
    seen: list[int] = []
    together = threading.Barrier(6, action=lambda: seen.append(len(opened)), timeout=30)
    turn = threading.Lock()

    def work() -> None:
        turn.acquire()
        with one_session(), engine_session():
            finding().rows(name="nobody")
            with user_session():
                turn.release()
                together.wait()
            finding().rows(name="nobody")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [1]
    idle = [own for own, _ in own_connections._idle]
    assert len({id(own) for own in idle}) == len(idle) == len(opened)


def test_connections_that_are_not_needed_any_more_are_closed():
    in_threads(4, lambda: finding().rows(name="nobody"))
    age_idle(own_connections.IDLE + 1)
    ask()
    assert len(own_connections._idle) == 1


@on_a_server
def test_no_connection_crosses_a_fork():
    first = ask()
    theirs.close()
    child = os.fork()
    if not child:
        os._exit(0 if first.closed and not own_connections._idle else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ask() is not first


@on_a_server
def test_a_task_that_forks_leaves_the_engine_a_connection():
    with engine_session():
        finding().rows(name="nobody")
        used = connection().connection
        with user_session():
            theirs.close()
            child = os.fork()
            if not child:
                os._exit(0 if used.closed else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert finding().rows(name="nobody") == []


def test_the_engine_keeps_no_texts_of_its_statements_where_debug_is_on(settings: Any):
    settings.DEBUG = True
    with engine_session():
        finding().rows(name="nobody")
        assert len(connection().queries_log) == 0


# Plans


def plan_count() -> int:
    with engine_session(), connection().cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        return int(cursor.fetchone()[0])


@on_postgresql
def test_postgresql_keeps_plans_of_the_engines_statements_only():
    with altered(("DISABLE_SERVER_SIDE_CURSORS", False)):
        connections.settings["default"]["OPTIONS"].pop("prepare_threshold", None)
        ask(plans.THRESHOLD + 1)
        assert plan_count() == 1
    with theirs.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        if theirs.settings_dict["OPTIONS"].get("prepare_threshold") is None:
            assert cursor.fetchone() == (0,)


@on_postgresql
def test_queries_of_the_site_are_sent_as_the_site_says():
    """An expression that PostgreSQL refuses when the value is a parameter of its own."""
    if theirs.settings_dict["OPTIONS"].get("server_side_binding"):
        pytest.skip("this site has chosen it for all its queries")
    with engine_session():
        finding().rows(name="nobody")
        assert list(Workflow.objects.annotate(found=JSONObject(a=Value("z")))) == []


@on_postgresql
def test_a_site_behind_a_pooler_gets_no_plans():
    with altered(("DISABLE_SERVER_SIDE_CURSORS", True)):
        connections.settings["default"]["OPTIONS"].pop("prepare_threshold", None)
        ask(plans.THRESHOLD + 1)
        assert plan_count() == 0


@on_postgresql
def test_a_site_that_wants_no_plans_gets_none():
    with altered(prepare_threshold=None):
        ask(plans.THRESHOLD + 1)
        assert plan_count() == 0


def lose_plans() -> None:
    """Let the server forget the plans behind the driver's back, as when a pooler gives out another session."""
    connection().connection.pgconn.exec_(b"DEALLOCATE ALL")  # type: ignore[union-attr]


@on_postgresql
def test_plans_that_a_pooler_has_lost_are_given_up_without_an_error():
    with altered(prepare_threshold=2), engine_session():
        for _ in range(4):
            finding().rows(name="nobody")
        lose_plans()
        assert finding().rows(name="nobody") == []
        assert plan_count() == 0
    assert plans._refused == {"default"}
    own_connections.close_idle()
    with altered(prepare_threshold=2):
        ask(4)
        assert plan_count() == 0


@on_postgresql
def test_a_transaction_whose_plan_is_lost_is_repeated():
    with altered(prepare_threshold=2), engine_session():
        for _ in range(4):
            finding().rows(name="nobody")
        lose_plans()
        assert transact(lambda: finding().rows(name="nobody")) == []


@on_postgresql
def test_a_plan_that_a_migration_has_made_useless_is_given_up():
    with theirs.cursor() as cursor:
        cursor.execute("CREATE TABLE planned (name varchar(10))")
    try:
        with altered(prepare_threshold=2), engine_session():
            statement = Select(Workflow.objects.values_list("name"))
            statement.statement.sql, statement.statement.params = 'SELECT "name" FROM planned', []
            statement.statement._open = {}
            for _ in range(4):
                assert statement.rows() == []
            with theirs.cursor() as cursor:
                cursor.execute("ALTER TABLE planned ALTER name TYPE text")
            assert statement.rows() == []
        assert plans._refused == set()
    finally:
        with theirs.cursor() as cursor:
            cursor.execute("DROP TABLE planned")
