"""An attempt ends while another session has locked its rows: its process goes on, and its outcome is written."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from django_director import engine
from django_director.conf import director
from django_director.db import lock_limits, own_connections, sessions
from django_director.db.functions import Now, later
from django_director.db.sessions import engine_session
from django_director.definitions import Concurrency
from django_director.engine import avoided_runs, parking
from django_director.engine.attempts import finish, unwritten, unwritten_rows
from django_director.engine.attempts.claim import Claim, claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.attempts.unwritten_rows import End
from django_director.engine.supervisor import lapsed_leases, unwritten_outcomes
from django_director.exceptions import LockedRow
from django_director.models import Gate, Run, Task, UnwrittenOutcome, Worker, Workflow
from django_director.status import RunStatus, TaskStatus
from django_director.worker import errors
from tests.factories import group

from . import driver
from .interleaving import held_elsewhere, needs_several_writers, own_connection
from .test_foreign_locks import PAST, supervisor, tick

pytestmark = [pytest.mark.django_db(transaction=True), needs_several_writers, pytest.mark.fault(33)]
SOON = lock_limits.ROW_SECONDS + 2
"""Seconds in which a worker's process must have come away from a lock."""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    driver.forget_trouble()
    unwritten._locks.reset()
    unwritten._locked_at.clear()
    yield
    driver.forget_trouble()
    own_connections.close_idle()


def lose(claimed: Claim) -> bool:
    errors._mark_lost(claimed, "its process was ended by SIGTERM")
    return True


def put_off(claimed: Claim) -> bool:
    return unwritten.keep(claimed, End.PUT_OFF, {})


ENDS: dict[str, tuple[Callable[[Claim], bool], Callable[[Task], object]]] = {
    "finish": (lambda claim: finish.finish(claim, {"n": 1}), lambda task: task.result == {"n": 1}),
    "fail": (
        lambda claim: finish.fail(claim, Failure(error="ValueError: no 😀", traceback="line")),
        lambda task: (task.status, task.error, task.traceback) == ("failed", "ValueError: no 😀", "line"),
    ),
    "retry": (
        lambda claim: finish.retry_later(claim, Failure(error="ValueError: again"), 600),
        lambda task: (
            (task.status, task.failures, task.attempts.get().error) == ("waiting", 1, "ValueError: again")
        ),
    ),
    "retry at once": (
        lambda claim: finish.retry_later(claim, Failure(error="ValueError: again"), 0),
        lambda task: (task.status, task.failures) == ("queued", 1),
    ),
    "skip": (
        lambda claim: finish.skip(claim, "`when` is false"),
        lambda task: (task.status, task.reason) == ("skipped", "`when` is false"),
    ),
    "hand back": (finish.requeue, lambda task: (task.status, task.crashes) == ("queued", 0)),
    "lose": (lose, lambda task: task.crashes == 1 and "SIGTERM" in task.error),
    "put off": (
        put_off,
        lambda task: (task.status, task.crashes) == ("waiting", 0) and task.not_before is not None,
    ),
}


def in_worker(work: Callable[[], Any]) -> tuple[Any, float]:
    """What ``work`` returns or raises in a process of a worker, and the seconds that it took."""
    began = time.monotonic()

    def job() -> Any:
        with engine_session():
            return work()

    return own_connection(job), time.monotonic() - began


def all_at_once(works: list[Callable[[], Any]]) -> list[tuple[Any, float]]:
    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(in_worker, works))


@pytest.mark.parametrize("what", ["task", "run"])
def test_whatever_came_of_an_attempt_is_written_when_the_lock_has_ended(published, what: str):
    runs = {name: driver.start("A", name="test.LOCKED") for name in ENDS}
    claims = {name: driver.claim(run, "A") for name, run in runs.items()}
    Task.objects.update(lease_until=PAST, deadline_at=PAST)
    made = supervisor()
    rows = Task.objects.filter(run__in=runs.values()) if what == "task" else Run.objects.all()
    with held_elsewhere(rows):
        found = all_at_once([partial(end, claims[name]) for name, (end, _) in ENDS.items()])
        for name, (result, seconds) in zip(ENDS, found, strict=True):
            assert result in (True, None), (name, result)
            assert seconds < SOON, name
        kept = UnwrittenOutcome.objects.count()
        assert kept == len(ENDS) if what == "task" else kept > 0
        if what == "task":
            tick(made)
            assert Task.objects.running().count() == len(ENDS)
    driver.forget_trouble()
    for _ in range(2):
        tick(made)
    for name, (_, is_as_wanted) in ENDS.items():
        assert is_as_wanted(runs[name].tasks.get()), (name, runs[name].tasks.values())
    assert not UnwrittenOutcome.objects.exists()
    assert Run.objects.get(pk=runs["finish"].pk).status == RunStatus.SUCCESS


def test_nobody_takes_a_task_whose_outcome_is_kept_although_its_row_is_free(published):
    """Between the end of the lock and the writing."""
    run = driver.start("A", name="test.KEPT")
    claimed = driver.claim(run, "A")
    unwritten.keep(claimed, End.SUCCESS, {"result": 7})
    run.tasks.update(lease_until=PAST, deadline_at=PAST)
    task = Task.objects.select_related("run__version").get(run=run)
    assert not finish.mark_lost(task, Failure(error="WorkerLost: x"))
    assert not errors.timeouts.time_out_message(task.pk, task.sequence, 1)
    tick(supervisor())
    assert run.tasks.get().result == 7


def test_what_is_kept_of_a_run_that_is_left_alone_is_not_dropped(published):
    run = driver.start("A", name="test.AVOIDED")
    unwritten.keep(driver.claim(run, "A"), End.SUCCESS, {"result": 1})
    avoided_runs._avoided[run.pk] = avoided_runs._Avoided(until=time.monotonic() + 60)
    (kept,) = UnwrittenOutcome.objects.annotate(now=Now())
    assert unwritten_outcomes._write(kept)
    assert run.tasks.get().result == 1


def test_keeping_twice_is_as_once(published):
    run = driver.start("A", name="test.TWICE")
    claimed = driver.claim(run, "A")
    for _ in range(2):
        unwritten.keep(claimed, End.SUCCESS, {"result": 1})
    tick(supervisor())
    tick(supervisor())
    assert run.tasks.get().status == TaskStatus.SUCCESS


def test_what_was_taken_by_force_meanwhile_is_not_written(published):
    run = driver.start("A", name="test.FORCED")
    unwritten.keep(driver.claim(run, "A"), End.SUCCESS, {"result": 1})
    engine.cancel(run, force=True)
    tick(supervisor())
    assert run.tasks.get().status == TaskStatus.CANCELED
    assert not UnwrittenOutcome.objects.exists()


def test_of_a_deleted_run_nothing_is_left(published):
    run = driver.start("A", name="test.DELETED")
    unwritten.keep(driver.claim(run, "A"), End.SUCCESS, {"result": 1})
    Task.objects.filter(run=run).delete()
    tick(supervisor())
    assert not UnwrittenOutcome.objects.exists()


def test_a_join_whose_counter_is_locked_counts_later(published):
    run = driver.start(group("G", "X", "Y"), "Z", name="test.JOIN")
    x = driver.claim(run, "X")
    with held_elsewhere(Gate.objects.filter(run=run)):
        result, seconds = in_worker(partial(finish.finish, x, 1))
    assert (result, seconds < SOON) == (True, True)
    assert UnwrittenOutcome.objects.count() == 1
    tick(supervisor())
    driver.check_gates(run)
    assert run.tasks.get(step="X").result == 1
    unwritten._locked_at.clear()
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_the_members_of_a_join_do_not_all_wait_for_its_counter(published):
    """One after the other they would hold a process for as long as the group is wide."""
    run = driver.start(group("G", *[f"M{n}" for n in range(6)]), "Z", name="test.WIDE")
    members = [driver.claim(run, f"M{n}") for n in range(6)]
    with held_elsewhere(Gate.objects.filter(run=run)):
        result, seconds = in_worker(lambda: [finish.finish(member, 1) for member in members])
    assert result == [True] * 6
    assert seconds < SOON
    tick(supervisor())
    driver.check_gates(run)
    unwritten._locked_at.clear()
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_living_worker_has_time_to_renew_a_lease_that_was_locked(published, monkeypatch):
    run = driver.start("A", name="test.LOCKED")
    driver.claim(run, "A")
    alive = Worker.objects.create(key=5, name="w", started_at=Now(), seen_at=Now())
    run.tasks.update(lease_until=PAST, worker_key=alive.pk)
    made = supervisor()
    with held_elsewhere(Task.objects.filter(run=run)):
        tick(made)
    tick(made)
    assert run.tasks.get().crashes == 0, "the worker had no time to renew it"
    monkeypatch.setattr(lapsed_leases, "CONFIRMATION", 0)
    tick(made)
    assert run.tasks.get().crashes == 1, "nobody renews it"


def test_force_that_meets_a_lock_is_not_reported_as_done(published, monkeypatch):
    monkeypatch.setattr(lock_limits, "VERB_SECONDS", 0.5)
    run = driver.start("A", name="test.LOCKED")
    driver.claim(run, "A")
    with held_elsewhere(Task.objects.filter(run=run)), pytest.raises(LockedRow):
        engine.cancel(run, force=True)
    assert engine.cancel(run, force=True).status == RunStatus.CANCELED
    assert run.tasks.get().status == TaskStatus.CANCELED


def test_a_task_whose_row_was_locked_when_it_was_to_start_is_sent_again_when_the_lock_has_ended(published):
    run = driver.start("A", name="test.LOCKED")
    assert len(published) == 1
    ticket = driver.ticket(run.tasks.get())
    made = supervisor()
    with held_elsewhere(Task.objects.filter(run=run)):
        for _ in range(2):
            assert in_worker(partial(claim, ticket, "w"))[0] is None
        tick(made)
        assert UnwrittenOutcome.objects.count() == 1
    published.clear()
    driver.forget_trouble()
    for _ in range(2):
        tick(made)
    assert [message.task_id for message in published] == [ticket.task_id]
    assert not UnwrittenOutcome.objects.exists()
    tick(made)
    assert len(published) == 1


def test_an_offer_of_a_task_that_another_worker_has_started_changes_nothing(published):
    run = driver.start("A", name="test.LOCKED")
    unwritten_rows.insert_offer(published[0])
    driver.claim(run, "A")
    before = run.tasks.values().get()
    tick(supervisor())
    assert (run.tasks.values().get(), UnwrittenOutcome.objects.count()) == (before, 0)


def test_an_offer_leaves_a_paused_run_alone(published):
    run = driver.start("A", name="test.LOCKED")
    unwritten_rows.insert_offer(published[0])
    engine.pause(run)
    run.tasks.update(next_dispatch_at=later(parking.PARKED + 3600))
    before = run.tasks.values().get()
    tick(supervisor())
    assert (run.tasks.values().get(), UnwrittenOutcome.objects.count()) == (before, 0)


def test_who_has_locked_many_runs_does_not_cost_a_wait_for_each(published):
    runs = [driver.start("A", name="test.LOCKED") for _ in range(8)]
    claims = [driver.claim(run, "A") for run in runs]
    waits = sessions.connections[director.DATABASE].vendor == "postgresql"
    seconds = lock_limits.ROW_SECONDS * len(runs)
    with held_elsewhere(Task.objects.filter(run__in=runs)):
        results, took = in_worker(lambda: [finish.finish(claimed, 1) for claimed in claims])
    assert results == [True] * len(runs)
    assert took < (lock_limits.ROW_SECONDS * 2 + SOON if waits else seconds + SOON)


def test_locks_are_told_of_once(published, caplog):
    runs = [driver.start("A", name="test.LOCKED") for _ in range(3)]
    with caplog.at_level(logging.WARNING, "django_director"):
        for run in runs:
            unwritten.keep(driver.claim(run, "A"), End.SUCCESS, {"result": 1})
    (text,) = [record.getMessage() for record in caplog.records if "what came of" in record.getMessage()]
    assert str(runs[0].pk) in text


@pytest.mark.parametrize("fields", [{}, {"concurrency": Concurrency(limit=1, key=None, on_conflict="queue")}])
def test_nobody_waits_long_to_start_a_workflow_whose_row_is_locked(published, fields: dict[str, Any]):
    run = driver.start("A", name="test.LOCKED", **fields)
    with held_elsewhere(Workflow.objects.filter(pk=run.workflow_id)):
        result, seconds = in_worker(partial(engine.start, "test.LOCKED"))
        assert isinstance(result, LockedRow), result
        assert "“test.LOCKED” is locked" in str(result)
        assert seconds < SOON
    assert engine.start("test.LOCKED").pk != run.pk


def test_an_offer_of_an_earlier_message_does_not_stand_for_a_later_one(published):
    run = driver.start("A", name="test.LOCKED")
    (first,) = published
    unwritten_rows.insert_offer(first)
    later_one = dataclasses.replace(first, sequence=first.sequence + 1)
    unwritten_rows.insert_offer(later_one)
    run.tasks.update(sequence=later_one.sequence)
    published.clear()
    for _ in range(2):
        tick(supervisor())
    assert [message.sequence for message in published] == [later_one.sequence]
    assert not UnwrittenOutcome.objects.exists()
