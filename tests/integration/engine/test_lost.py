"""What a worker's own process knows of its pool is written down without waiting for another session's lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from django_director import engine
from django_director.db.functions import later
from django_director.engine import parking
from django_director.engine.attempts.claim import Claim
from django_director.engine.supervisor import lost_attempts, publishing, unknown_tasks
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import group

from . import driver
from .interleaving import held_elsewhere, needs_several_writers

pytestmark = [pytest.mark.django_db(transaction=True)]


def lose(claim: Claim, seconds: float | None = None) -> bool:
    return lost_attempts.write_down(claim.task_id, claim.sequence, "signal 9", seconds)


def state(task_id: Any) -> tuple[str, int, int]:
    task = Task.objects.get(pk=task_id)
    return task.status, task.crashes, task.failures


def test_a_loss_is_written_down_once():
    claim = driver.claim(driver.start("A"), "A")
    assert [lose(claim), lose(claim)] == [True, True]
    assert state(claim.task_id) == (TaskStatus.QUEUED, 1, 0)


def test_a_time_limit_fails_the_task():
    claim = driver.claim(driver.start("A"), "A")
    assert [lose(claim, 3), lose(claim)] == [True, True]
    assert state(claim.task_id) == (TaskStatus.FAILED, 0, 1)
    assert Task.objects.get(pk=claim.task_id).error == "TimeLimitExceeded: it ran longer than 3 s"


@needs_several_writers
@pytest.mark.fault(34)
def test_a_locked_row_is_left_alone_and_told_of_later():
    run = driver.start(group("G", "A", "B"))
    claims = [driver.claim(run, step) for step in "AB"]
    with held_elsewhere(Task.objects.filter(pk=claims[0].task_id)):
        assert within_seconds(4, lambda: [lose(claim) for claim in claims]) == [False, True]
    assert lose(claims[0])
    assert [state(claim.task_id) for claim in claims] == [(TaskStatus.QUEUED, 1, 0)] * 2


@needs_several_writers
def test_a_locked_run_is_waited_for_for_a_second():
    """Only the last crash needs the row of the run."""
    claim = driver.claim(driver.start("A"), "A")
    Task.objects.update(crashes=2)
    with held_elsewhere(Run.objects.all()):
        assert within_seconds(4, lambda: lose(claim)) is False
    assert lose(claim)
    assert state(claim.task_id) == (TaskStatus.FAILED, 3, 0)


@needs_several_writers
def test_a_locked_row_does_not_hold_up_other_unknown_tasks():
    run = driver.start(group("G", "A", "B"))
    rows = list(run.tasks.values_list("pk", "sequence", "name"))
    with held_elsewhere(run.tasks.filter(step="A")):
        within_seconds(1, lambda: unknown_tasks.note_dropped(rows, "celery@old"))
    told = run.tasks.filter(unknown_since__isnull=False)
    assert [task.step for task in told] == ["B"]


def within_seconds(seconds: float, work: Callable[[], Any]) -> Any:
    """What ``work`` returns; fails, or lets its error pass, when it took longer."""
    began = time.monotonic()
    try:
        return work()
    finally:
        assert time.monotonic() - began < seconds


@pytest.mark.fault(38)
def test_a_claim_is_held_until_its_task_is_another_attempts():
    run = driver.start(group("G", "A", "B"))
    claims = [driver.claim(run, step) for step in "AB"]
    tokens = {claim.token for claim in claims}
    Task.objects.filter(pk=claims[0].task_id).update(lease_until=later(-1))
    # That its lease is over may be the database's fault.
    assert lost_attempts.still_held(claims, False) == tokens
    assert lost_attempts.still_held(claims, True) == {claims[1].token}
    assert lose(claims[0])
    assert lost_attempts.still_held(claims, False) == {claims[1].token}
    assert driver.claim(run, "A").token not in lost_attempts.still_held(claims, False)


@pytest.mark.fault(49)
def test_a_queued_task_whose_message_was_dropped_is_sent_under_the_next_id(published):
    run = driver.start("A")
    (first,) = published
    published.clear()
    for _ in range(2):
        assert lost_attempts.write_down(first.task_id, first.sequence, "its message was revoked")
    publishing.publish_due()
    assert [(message.task_id, message.sequence) for message in published] == [(first.task_id, first.sequence + 1)]
    assert state(first.task_id) == (TaskStatus.QUEUED, 0, 0)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_held_task_stays_held_when_its_message_was_dropped(published):
    run = driver.start("A")
    engine.pause(run)
    parking.defer_ids([published[0].task_id])
    before = run.tasks.values().get()
    assert lost_attempts.write_down(published[0].task_id, published[0].sequence, "its message was revoked")
    assert run.tasks.values().get() == before
