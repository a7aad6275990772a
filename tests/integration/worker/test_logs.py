"""Log lines of tasks: what is kept, how much of it, and what it costs."""

from __future__ import annotations

import logging
import math
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_director import testing
from django_director.definitions import Retry
from django_director.masking.redaction import Redactor
from django_director.models import Task, TaskLog
from django_director.status import RunStatus
from django_director.worker import log_lines, logs
from django_director.worker.log_lines import LogLines
from tests import factories
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


def test_the_size_is_bounded_and_beginning_and_end_are_kept():
    task = run(step("LOGGING", kwargs={"lines": [("shop", "line é {number}")], "times": 20_000}))
    text = task.logs.get().text
    assert len(text.encode()) <= log_lines.MAX_BYTES + 200
    first, *_, last = lines = text.splitlines()
    assert first.endswith("shop: line é 0")
    assert last.endswith("shop: line é 19999")
    [gap] = [n for n, line in enumerate(lines) if "lines were dropped here" in line]
    before, after = (int(lines[n].rpartition(" ")[2]) for n in (gap - 1, gap + 1))
    assert f"{after - before - 1:,} lines were dropped here: the first 16 KiB and the last 48 KiB" in lines[gap]


def test_one_line_may_be_too_long():
    lines = LogLines()
    lines.add("first")
    lines.add("é" * 10**6 + "end")
    lines.add("last")
    text = str(lines.cleaned(str))
    assert len(text.encode()) <= log_lines.MAX_BYTES + 200
    assert text.startswith("first\n")
    assert text.endswith("éend\nlast\n")
    assert "the beginning of this line was dropped" in text
    assert len(text.partition("…")[0].encode()) > 15 * 1024  # of the first line, its beginning


@pytest.mark.parametrize("size", [log_lines.FIRST_BYTES, log_lines.LAST_BYTES, 10**6])
def test_a_secret_that_lies_where_a_line_is_cut(size: int):
    secret = "sEcReT" * 10
    for place in (log_lines.FIRST_BYTES, size - log_lines.KEPT_OF_LINE, size - log_lines.LAST_BYTES):
        lines = LogLines()
        before = max(0, place - 30)
        lines.add("x" * before + secret + "y" * (size - before - len(secret)))
        lines.add("last")
        kept = str(lines.cleaned(lambda line: line.replace(secret, "**")))
        assert "sEcReT" not in kept
        assert len(kept.encode()) <= log_lines.MAX_BYTES + 200


def test_a_task_that_is_gone_harms_nobody(caplog):
    """A late attempt of a run that retention has deleted."""
    task = logged([("shop", "one")])
    assert TaskLog.objects.count() == 1
    task.delete()
    assert not TaskLog.objects.exists()


def lines_of(task_id: Any) -> logs.Lines:
    claimed: Any = SimpleNamespace(task_id=task_id, sequence=7, attempt=2, run=SimpleNamespace(generation=0))
    return logs.Lines(claimed, Redactor(lambda: {"password": "s3cret"}, None, None))


def test_the_lines_at_the_end_replace_those_that_were_seen_while_the_task_ran():
    task = factories.make_run().tasks.first()
    lines = lines_of(task.pk)
    lines.add("one with s3cret")
    lines.tick()
    assert task.logs.get().text == "one with ********\n"
    lines.add("two")
    lines.keep()
    row = task.logs.get()
    assert (row.text, row.attempt, row.level) == ("one with ********\ntwo\n", 2, logging.INFO)
    # A clock that comes late changes nothing any more.
    task.logs.update(text="final")
    lines.tick()
    assert task.logs.get().text == "final"


def test_the_clock_is_told_only_of_lines_that_are_not_stored():
    lines = lines_of(factories.make_run().tasks.first().pk)
    assert lines.due_at == math.inf
    began = time.monotonic()
    lines.add("one")
    assert began + 1 < lines.due_at < began + logs.PERIOD + 1
    lines.tick()
    assert lines.due_at == math.inf
    lines.add("two")
    assert lines.due_at >= time.monotonic() + logs.PERIOD - 1


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_asked_again_and_a_run_that_is_gone_is_not(monkeypatch):
    run = factories.make_run()
    lines = lines_of(run.tasks.first().pk)
    lines.add("one")
    with monkeypatch.context() as patch:
        patch.setattr(TaskLog.objects, "bulk_create", _refuse)
        with pytest.raises(OperationalError):
            lines.tick()
    assert lines.due_at < math.inf
    run.delete()
    lines.tick()
    lines.add("two")
    if connection.vendor != "mysql":
        # Its `INSERT IGNORE` says nothing.
        assert lines.due_at == math.inf


def _refuse(*args: object, **kwargs: object) -> None:
    raise OperationalError("the server closed the connection unexpectedly")
