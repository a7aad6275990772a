"""What can go wrong while an outcome is written: the code does not run again, and the outcome is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery import shared_task
from django.db import DataError, OperationalError, connection
from django.dispatch import Signal

from django_director import engine, signals
from django_director.models import Run
from django_director.status import RunStatus
from django_director.worker import local
from tests.factories import definition, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)
executed: list[str] = []


@shared_task(name="ENDING")
def ending(*args: Any, **kwargs: Any) -> str:
    executed.append("ran")
    import logging

    logging.getLogger(__name__).warning("a line")
    if kwargs["payload"].get("fail"):
        raise ValueError("as asked")
    return "done"


@contextmanager
def failing(error: BaseException, words: str, times: int = 1, after: bool = False) -> Iterator[list[str]]:
    """Raise ``error`` at the first statements with ``words`` in it, before they are done or after."""
    met: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if words not in f"{sql} {params}" or len(met) >= times:
            return execute(sql, params, many, context)
        met.append(sql)
        if after:
            execute(sql, params, many, context)
        raise error

    with connection.execute_wrapper(wrapper):
        yield met


def started(**payload: Any) -> Run:
    executed.clear()
    make_workflow(definition("ENDING", "ENDING"))
    return engine.start("ENDING", payload)


SUCCESS = "'success'"
FAILED = "'failed'"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), MemoryError(), RecursionError()], ids=repr)
@pytest.mark.parametrize(
    ("payload", "words", "outcome"), [({}, SUCCESS, "success"), ({"fail": 1}, FAILED, "failed")]
)
def test_an_interruption_is_followed_by_a_second_try(payload, words, outcome, error, after):
    run = started(**payload)
    with failing(error, words, after=after) as met:
        local.run_to_end(run, 10)
    assert met, "nothing was interrupted"
    assert run.status == outcome
    assert executed == ["ran"]
    if outcome == "failed":
        assert run.error == "ENDING: ValueError: as asked"


@pytest.mark.parametrize("error", [SystemExit(-241), KeyboardInterrupt()], ids=repr)
def test_what_ends_the_process_goes_on_when_the_outcome_is_written(error):
    run = started()
    with failing(error, SUCCESS) as met, pytest.raises(type(error)):
        local.run_to_end(run, 10)
    assert met
    run.refresh_from_db()
    assert (run.status, executed) == (RunStatus.SUCCESS, ["ran"])


@pytest.mark.parametrize(
    "error",
    [MemoryError("no room"), TypeError("a bug"), DataError("too large"), UnicodeEncodeError("a", "b", 0, 1, "c")],
)
def test_a_result_that_can_not_be_written_fails_its_task_with_the_cause(error):
    run = started()
    with failing(error, SUCCESS, times=2):
        local.run_to_end(run, 10)
    assert run.status == RunStatus.FAILED
    assert f"the result could not be stored: {type(error).__name__}" in run.error
    assert executed == ["ran"]


def test_an_error_that_can_not_be_written_is_told_in_ascii():
    run = started(fail=1)
    with failing(UnicodeEncodeError("a", "b", 0, 1, "c"), FAILED):
        local.run_to_end(run, 10)
    assert (run.status, run.error, executed) == (RunStatus.FAILED, "ENDING: ValueError: as asked", ["ran"])


@pytest.mark.parametrize(
    "error", [OperationalError("full"), TypeError("a bug"), MemoryError(), SoftTimeLimitExceeded()]
)
def test_lines_that_can_not_be_kept_cost_no_result(error):
    run = started()
    with failing(error, "django_director_tasklog") as met:
        local.run_to_end(run, 10)
    assert met
    assert (run.status, executed) == (RunStatus.SUCCESS, ["ran"])


@pytest.mark.parametrize("signal", [signals.task_started, signals.task_finished, signals.run_finished])
def test_a_receiver_that_raises_costs_no_result(signal: Signal):
    def receiver(**_: Any) -> None:
        raise MemoryError("of a receiver")

    run = started()
    signal.connect(receiver)
    try:
        local.run_to_end(run, 10)
    finally:
        signal.disconnect(receiver)
    assert (run.status, executed) == (RunStatus.SUCCESS, ["ran"])
