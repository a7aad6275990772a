"""Decisions, clocks and cancels at once, in either order: one wins, the others hear of it."""

from __future__ import annotations

from typing import Any

import pytest

from django_director import engine
from django_director.engine.attempts import finish
from django_director.engine.steps import timers
from django_director.engine.supervisor import audit
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import own_steps
from tests.asking import ask, asked
from tests.factories import approval, group, wait

from . import driver
from .interleaving import needs_several_writers

pytestmark = [pytest.mark.django_db(transaction=True), needs_several_writers]
PAST = "2026-01-01T00:00:00Z"
TIMED = approval("OK", timeout=3600)


@pytest.fixture
def held(held, in_transactions):
    return held


def outcome(run: Run) -> str:
    audit.close_stopped()
    driver.drain(run)
    if not run.stop:
        driver.check_gates(run)
    return str(run.status)


def decide(task: Task, verb: str) -> Any:
    return lambda: getattr(engine, verb)(task, comment=f"said {verb}")


@pytest.mark.parametrize(
    ("first", "second", "point", "word"),
    [("approve", "reject", "end.updated", "approved"), ("reject", "approve", "fail.updated", "rejected")],
)
def test_two_people(held, first, second, point, word):
    run, task = asked()
    one, two = held(point, decide(task, first), decide(task, second))
    assert one.decision["comment"] == f"said {first}"
    assert isinstance(two, Conflict)
    assert str(two).endswith(f"it was {word}")
    assert outcome(run) == (RunStatus.SUCCESS if first == "approve" else RunStatus.FAILED)


def test_somebody_decides_while_the_time_runs_out(held):
    run, task = asked(TIMED, "SHIP")
    Task.objects.filter(pk=task.pk).update(deadline_at=PAST)
    one, fired = held("end.updated", decide(task, "approve"), timers.fire)
    assert (one.status, fired) == (TaskStatus.SUCCESS, 0)
    assert outcome(run) == RunStatus.SUCCESS


def test_the_time_runs_out_while_somebody_decides(held):
    run, task = asked(TIMED, "SHIP")
    Task.objects.filter(pk=task.pk).update(deadline_at=PAST)
    fired, late = held("fail.updated", timers.fire, decide(task, "approve"))
    assert fired == 1
    assert str(late).endswith("it was rejected: nobody has decided within 3600 s")
    assert outcome(run) == RunStatus.FAILED


def test_a_cancel_while_somebody_decides(held):
    run, task = asked()
    one, canceled = held("end.updated", decide(task, "approve"), lambda: engine.cancel(run))
    assert one.status == TaskStatus.SUCCESS
    assert isinstance(canceled, Run)
    assert outcome(run) == RunStatus.CANCELED
    assert driver.statuses(run) == {"OK": "success", "SHIP": "canceled"}


@pytest.mark.parametrize("point", ["cancel.committed", "cancel.swept"])
def test_somebody_decides_while_it_is_canceled(held, point):
    run, task = asked()
    _, late = held(point, lambda: engine.cancel(run), decide(task, "approve"))
    assert isinstance(late, Conflict)
    assert outcome(run) == RunStatus.CANCELED
    assert driver.statuses(run) == {"OK": "canceled", "SHIP": "canceled"}


@pytest.mark.parametrize("point", ["claim.committed", "hold.updated"])
@pytest.mark.parametrize("step", [approval("OK"), wait("OK", 60)], ids=["approval", "wait"])
def test_a_cancel_while_a_worker_lets_it_wait(held, step, point):
    run = driver.start(step, "SHIP")
    held(point, lambda: own_steps.perform(driver.claim(run, "OK")), lambda: engine.cancel(run))
    assert outcome(run) == RunStatus.CANCELED
    assert driver.statuses(run) == {"OK": "canceled", "SHIP": "canceled"}


def test_two_supervisors_end_one_wait(held):
    run = driver.start(wait("W", 60), "SHIP")
    own_steps.perform(driver.claim(run, "W"))
    Task.objects.waiting().update(deadline_at=PAST)
    assert sorted(held("end.updated", timers.fire, timers.fire)) == [0, 1]
    assert run.tasks.get(step="SHIP").sequence == 1
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.parametrize("order", ["approval first", "task first"])
def test_the_last_two_of_a_join(held, order):
    run = driver.start(group("G", approval("OK"), "X"), "SHIP")
    task, other = ask(run), driver.claim(run, "X")
    jobs: list[Any] = [decide(task, "approve"), lambda: finish.finish(other, 1)]
    if order == "approval first":
        held("end.updated", *jobs)
    else:
        held("finish.updated", *jobs[::-1])
    successor = run.tasks.get(step="SHIP")
    assert (successor.status, successor.sequence) == (TaskStatus.QUEUED, 1)
    assert outcome(run) == RunStatus.SUCCESS


def test_a_retry_and_a_decision_of_before(held):
    run, task = asked()
    engine.reject(task)
    run.refresh_from_db()
    _, late = held("reset.updated", lambda: engine.retry(run), decide(task, "approve"))
    assert isinstance(late, Conflict)
    engine.approve(ask(run))
    assert outcome(run) == RunStatus.SUCCESS
