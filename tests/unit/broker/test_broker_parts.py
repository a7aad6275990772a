"""The parts of the broker that need no database."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.db import OperationalError
from kombu import Connection

import django_director.broker  # noqa: F401 - makes director:// known
from django_director.broker import codec, liveness
from django_director.broker.errors import met_a_lock
from django_director.broker.pace import Pace
from django_director.broker.transport import alias_of

MESSAGE = {
    "body": "aGVsbG8=",
    "headers": {"id": "1"},
    "properties": {"delivery_info": {"exchange": ""}, "body_encoding": "base64"},
}


def test_a_message_survives_its_row() -> None:
    assert codec.decode(codec.encode(MESSAGE)) == MESSAGE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"body": "x"}',
        '{"body": "x", "properties": {}}',
        '{"body": 1, "properties": {"delivery_info": {}}}',
        '{"body": "a", "properties": {"delivery_info": {}, "body_encoding": "base64"}}',
    ],
)
def test_what_is_no_message_is_told(text: str) -> None:
    with pytest.raises(codec.Undecodable):
        codec.decode(text)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_wait_grows_to_its_limit_and_falls_with_a_message() -> None:
    clock = Clock()
    pace = Pace(fast=0.02, slow=0.5, linger=0.5, clock=clock)
    assert [pace.wait() for _ in range(3)] == [0.02] * 3
    clock.now = 1
    assert [round(pace.wait(), 2) for _ in range(7)] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5]
    pace.active()
    assert pace.wait() == 0.02


def test_the_quick_wait_is_never_longer_than_the_slow_one() -> None:
    assert Pace(fast=0.02, slow=0.005).wait() == 0.005


@pytest.mark.parametrize(
    ("url", "alias"),
    [
        ("director://", "default"),
        ("director:///", "default"),
        ("director://Queue_DB", "Queue_DB"),
        ("queue", "queue"),
        ("", "default"),
        (None, "default"),
    ],
)
def test_the_url_names_the_database(url: str | None, alias: str) -> None:
    assert alias_of(url) == alias


def test_a_connection_shows_its_url_and_can_be_cloned() -> None:
    connection = Connection("director://Queue_DB")
    assert connection.as_uri() == "director://Queue_DB"
    assert connection.clone().transport.alias == "Queue_DB"


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Exception("database is locked"), True),
        (Exception("database table is locked: x"), True),
        (Exception(1213, "Deadlock found"), True),
        (Exception(2006, "Server has gone away"), False),
        (Exception("server closed the connection"), False),
    ],
)
def test_only_locks_are_waited_for(cause: Exception, expected: bool) -> None:
    error = OperationalError(*cause.args)
    error.__cause__ = cause
    assert met_a_lock(error) is expected


def test_a_process_is_there_until_it_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = liveness.this_process()
    process = liveness.Process(here.machine, child.pid, liveness._stat(child.pid)[1])
    assert not liveness.is_gone(process)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert liveness.is_gone(process), "a zombie holds nothing"
    child.communicate()
    assert liveness.is_gone(process)


def test_a_number_used_again_is_another_process() -> None:
    here = liveness.this_process()
    assert not liveness.is_gone(here)
    assert liveness.is_gone(here._replace(started="1"))


def test_nothing_is_known_of_another_machine() -> None:
    here = liveness.this_process()
    assert not liveness.is_gone(here._replace(machine="elsewhere", started="1"))


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=clean | env, capture_output=True, text=True, timeout=60
    )


def test_importing_needs_no_settings() -> None:
    code = "import django_director.broker, kombu; print(kombu.Connection('director://').as_uri())"
    result = run_python(code)
    assert (result.stdout, result.stderr) == ("director://\n", "")


def test_a_forgotten_app_is_told() -> None:
    code = """
import django_director.broker, django.conf, kombu
django.conf.settings.configure(INSTALLED_APPS=[], DATABASES={})
kombu.Connection('director://').connect()
"""
    assert "add “django_director.broker” to INSTALLED_APPS" in run_python(code).stderr.splitlines()[-1]


def test_an_unknown_database_is_told() -> None:
    code = "import django_director.broker, kombu; kombu.Connection('director://elsewhere').connect()"
    result = run_python(code, DJANGO_SETTINGS_MODULE="tests.acceptance.broker_settings")
    assert "“elsewhere”, which is not in DATABASES (default)" in result.stderr.splitlines()[-1]


def test_missing_tables_are_told() -> None:
    code = """
import django_director.broker, kombu
kombu.Connection('director://').ensure_connection(max_retries=1, interval_start=0, timeout=1)
"""
    result = run_python(code, DJANGO_SETTINGS_MODULE="tests.acceptance.broker_settings", DATABASE_URL="sqlite://")
    assert "has no tables in the database “default”: run “manage.py migrate" in result.stderr.splitlines()[-1]
