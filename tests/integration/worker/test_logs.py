"""Log lines of tasks: what is kept, how much of it, and what it costs."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import testing
from django_director.definitions import Retry
from django_director.masking.redaction import Redactor
from django_director.models import Task, TaskLog
from django_director.status import RunStatus
from django_director.worker import logs
from tests.factories import definition, make_workflow, step

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def levels():
    """As a worker has them with `--loglevel=INFO`."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(before)


def run(*steps: Any) -> Task:
    make_workflow(definition("test.FLOW", *steps))
    finished = testing.run_workflow("test.FLOW")
    return finished.tasks.select_related("run").last()


def logged(lines: list[tuple[str, str]], **fields: Any) -> Task:
    return run(step("LOGGING", kwargs={"lines": lines}, **fields))


def said(task: Task) -> list[list[str]]:
    """Level, logger and message of each line of each attempt, in order."""
    rows = task.logs.order_by("sequence").values_list("text", flat=True)
    return [[line.partition("Z ")[2] for line in text.splitlines()] for text in rows]


def test_lines_of_any_logger_from_info_up():
    lines = [("shop", "one"), ("celery.task", "two"), ("silent.child", "three")]
    # Celery's loggers pass nothing on to the root; so may others.
    logging.getLogger("silent").propagate = False
    task = logged(lines)
    assert said(task) == [["INFO shop: one", "INFO celery.task: two", "INFO silent.child: three"]]
    row = task.logs.get()
    assert (row.attempt, row.generation, row.sequence) == (1, 0, task.sequence)


def test_debug_is_left_out():
    logging.getLogger("chatty").setLevel(logging.DEBUG)
    assert said(run(step("LOGGING", kwargs={"lines": [("chatty", "a")], "level": "DEBUG"}))) == []


def test_each_attempt_has_its_own_and_a_failure_keeps_them():
    task = logged([("shop", "attempt {attempt}")], retry=Retry(max=2))
    assert task.run.status == RunStatus.SUCCESS
    failing = run(
        step("LOGGING", kwargs={"lines": [("shop", "attempt {attempt}")], "fails": True}, retry=Retry(max=1))
    )
    assert said(failing) == [["INFO shop: attempt 1"], ["INFO shop: attempt 2"]]
    assert list(failing.logs.order_by("pk").values_list("attempt", flat=True)) == [1, 2]
    assert failing.run.status == RunStatus.FAILED


def test_what_others_log_meanwhile_and_after_is_not_the_tasks():
    logged([("shop", "inside")])
    logging.getLogger("shop").info("outside")
    assert "outside" not in TaskLog.objects.get().text


def test_an_exception_and_what_no_database_holds(monkeypatch):
    # Out of pytest's sight: a report with half a character can't leave the worker of pytest-xdist.
    monkeypatch.setattr(logging.getLogger("unseen"), "propagate", False)
    task = run(step("LOGGING", kwargs={"lines": [("unseen", "{odd}")], "level": "EXCEPTION"}))
    text = task.logs.get().text
    assert "ERROR unseen: NUL \N{REPLACEMENT CHARACTER}, half ?" in text
    assert "ZeroDivisionError" in text


def test_a_record_that_can_not_be_formatted_harms_nobody(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    task = run(step("LOGGING", kwargs={"lines": [("shop", "%d"), ("shop", "fine")], "args": ["text"]}))
    assert task.run.status == RunStatus.SUCCESS


def test_a_task_that_logs_nothing_costs_no_statement():
    with CaptureQueriesContext(connection) as captured:
        run("NOOP")
    assert not [query for query in captured if TaskLog._meta.db_table in query["sql"]]
    assert not TaskLog.objects.exists()


def test_the_setting_turns_it_off(settings):
    settings.DIRECTOR = {"CAPTURE_LOGS": False}
    logged([("shop", "one")])
    assert not TaskLog.objects.exists()


def test_the_size_is_bounded_and_the_end_is_kept():
    task = run(step("LOGGING", kwargs={"lines": [("shop", "line é")], "times": 20_000}))
    text = task.logs.get().text
    assert len(text.encode()) <= logs.MAX_BYTES + 200
    first, *_, last = text.splitlines()
    assert "earlier lines were dropped: the last 64 KiB" in first
    assert last.endswith("shop: line é")
    kept = text.count("shop: line é")
    assert f"{20_000 - kept:,} earlier" in first


def test_one_line_may_be_too_long():
    lines = logs.Lines(Redactor(lambda: None, None, None))
    lines.add("first")
    lines.add("é" * 10**6 + "end")
    lines.add("last")
    assert len(lines.text.encode()) <= logs.MAX_BYTES + 200
    assert lines.text.endswith("éend\nlast\n")
    assert "the beginning of this line was dropped" in lines.text


def test_a_task_that_is_gone_harms_nobody(caplog):
    """A late attempt of a run that retention has deleted."""
    task = logged([("shop", "one")])
    assert TaskLog.objects.count() == 1
    task.delete()
    assert not TaskLog.objects.exists()
