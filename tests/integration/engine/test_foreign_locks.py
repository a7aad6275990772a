"""Another session holds locks on the rows of one run: the supervisor goes on with all others."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from django_director import engine
from django_director.conf import director
from django_director.db import lock_limits
from django_director.db.functions import Now, later
from django_director.db.sessions import engine_session
from django_director.engine import avoided_runs
from django_director.engine.attempts import claim as claims
from django_director.engine.supervisor import workers
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.engine.supervisor.loop import LOOKS, Supervisor
from django_director.exceptions import Conflict
from django_director.models import Lease, Run, Task, Worker
from django_director.status import RunStatus, TaskStatus
from tests.factories import approval, child, definition, make_workflow, mapped, step, wait

from . import driver
from .interleaving import held_elsewhere, needs_several_writers

pytestmark = [pytest.mark.django_db(transaction=True), needs_several_writers, pytest.mark.fault(33)]
PAST = "2026-01-01T00:00:00Z"
BOUND = 2 * lock_limits.LOCK_SECONDS + 1
"""Seconds in which a tick ends beside a lock; MySQL can't wait for less than a second."""


@pytest.fixture(autouse=True)
def nothing_avoided() -> Iterator[None]:
    driver.forget_trouble()
    yield
    driver.forget_trouble()


@contextlib.contextmanager
def locked(*querysets: Any) -> Iterator[None]:
    """Hold a lock on these rows, from other sessions, until the block ends."""
    with contextlib.ExitStack() as stack:
        for rows in querysets:
            stack.enter_context(held_elsewhere(rows))
        yield


def rows_of(run: Run, what: str) -> list[Any]:
    rows = {"task": [Task.objects.filter(run=run)], "run": [Run.objects.filter(pk=run.pk)]}
    return rows[what] if what in rows else rows["task"] + rows["run"]


def supervisor() -> Supervisor:
    """One that works, and whose database has answered for long."""
    made = Supervisor("one")
    made._clock.steady_since -= 1_000
    assert made._acquire()
    return made


def tick(made: Supervisor) -> None:
    """One whole tick, with all that is for some ticks only; who was suspected before has been so for long."""
    suspects = made._vigil._suspects
    made._vigil._suspects = {key: (seen_at, since - 1_000) for key, (seen_at, since) in suspects.items()}
    for name in ("workers", "leases", "maps", "audit"):
        setattr(made._clock, name, 0.0)
    began = time.monotonic()
    made.tick()
    assert time.monotonic() - began < BOUND


def waiting_for_a_time(name: str) -> Run:
    run = driver.start(wait("W", 60), name=name)
    driver.drain(run)
    run.tasks.update(deadline_at=PAST)
    return run


def retrying(name: str) -> Run:
    run = driver.start("A", name=name)
    run.tasks.update(status=TaskStatus.WAITING, not_before=PAST, next_dispatch_at=None)
    return run


def without_a_sign(name: str) -> Run:
    run = driver.start("A", name=name)
    driver.claim(run, "A")
    run.tasks.update(lease_until=PAST)
    return run


def of_a_silent_worker(name: str) -> Run:
    run = driver.start("A", name=name)
    driver.claim(run, "A")
    worker = Worker.objects.create(key=abs(hash(name)) % 10**9, name=name, started_at=PAST, seen_at=PAST)
    run.tasks.update(worker_key=worker.pk, lease_until=later(director.LEASE - workers.silence_limit() - 1))
    return run


def past_its_attempts_time(name: str) -> Run:
    run = driver.start(step("A", timeout=60), name=name)
    driver.claim(run, "A")
    run.tasks.update(deadline_at=PAST)
    return run


def past_its_time(name: str) -> Run:
    run = driver.start("A", name=name, timeout=60)
    Run.objects.filter(pk=run.pk).update(deadline_at=PAST)
    return run


def being_canceled(name: str) -> Run:
    run = driver.start("A", name=name)
    Run.objects.filter(pk=run.pk).update(stop="cancel")
    return run


def resumed_unseen(name: str) -> Run:
    run = driver.start("A", name=name)
    engine.pause(run)
    Run.objects.filter(pk=run.pk).update(paused_at=None)
    Task.objects.filter(run=run).update(next_dispatch_at="3000-01-01T00:00:00Z")
    return run


def with_an_ended_child(name: str) -> Run:
    make_workflow(definition(f"{name}C", "X"))
    run = driver.start(child("C", f"{name}C"), name=name)
    driver.drain(run)
    ended = driver.child_of(run, "C")
    Task.objects.filter(run=ended).update(status=TaskStatus.SUCCESS, finished_at=PAST, next_dispatch_at=None)
    Run.objects.filter(pk=ended.pk).update(status=RunStatus.SUCCESS, finished_at=PAST)
    return run


def with_nothing_to_do(name: str) -> Run:
    run = driver.start("A", "B", name=name)
    run.tasks.filter(step="A").update(status=TaskStatus.SUCCESS, finished_at=PAST, next_dispatch_at=None)
    return run


def below_its_limit(name: str) -> Run:
    run = driver.start(mapped("M", "X", over="payload.n", max_parallel=2), name=name, payload={"n": [1, 2, 3]})
    driver.expand(run, "M")
    run.tasks.queued().update(status=TaskStatus.PENDING, next_dispatch_at=None, queued_at=None)
    return run


def _task(run: Run, status: str) -> Callable[[], bool]:
    return lambda: run.tasks.filter(status=status).exists()


def _is_parked(run: Run) -> bool:
    return run.tasks.filter(next_dispatch_at__gt="2999-01-01T00:00:00Z").exists()


CASES: dict[str, tuple[Callable[[str], Run], Callable[[Run], bool]]] = {
    "a wait": (waiting_for_a_time, lambda run: run.tasks.get().status == TaskStatus.SUCCESS),
    "a retry": (retrying, lambda run: run.tasks.get().status == TaskStatus.QUEUED),
    "a lease": (without_a_sign, lambda run: run.tasks.get().crashes == 1),
    "a silent worker": (of_a_silent_worker, lambda run: run.tasks.get().crashes == 1),
    "an attempt's time": (past_its_attempts_time, lambda run: run.tasks.get().status == TaskStatus.FAILED),
    "a run's time": (past_its_time, lambda run: Run.objects.get(pk=run.pk).status == RunStatus.FAILED),
    "a cancel": (being_canceled, lambda run: Run.objects.get(pk=run.pk).status == RunStatus.CANCELED),
    "a resume": (resumed_unseen, lambda run: not _is_parked(run)),
    "a child's end": (with_an_ended_child, lambda run: run.tasks.get().status == TaskStatus.SUCCESS),
    "an audit": (with_nothing_to_do, lambda run: run.tasks.filter(step="B", status="queued").exists()),
    "a map": (below_its_limit, lambda run: run.tasks.filter(status="queued").count() == 2),
}


@pytest.mark.parametrize("what", ["task", "run"])
@pytest.mark.parametrize("case", CASES)
def test_a_locked_run_alone_waits(published, caplog, case: str, what: str):
    prepare, is_done = CASES[case]
    # The locked one comes first, by age and by id.
    stuck, free = prepare("test.STUCK"), prepare("test.FREE")
    made = supervisor()
    with locked(*rows_of(stuck, what)), caplog.at_level(logging.WARNING, "django_director"):
        for _ in range(2):
            tick(made)
        assert is_done(free), Task.objects.filter(run=free).values()
    driver.forget_trouble()
    for _ in range(3):
        tick(made)
    assert is_done(stuck)


def test_a_lock_is_warned_of_once(published, caplog):
    stuck = without_a_sign("test.STUCK")
    made = supervisor()
    with locked(Task.objects.filter(run=stuck)), caplog.at_level(logging.WARNING, "django_director"):
        for _ in range(3):
            tick(made)
            avoided_runs._avoided[stuck.pk].until = time.monotonic()
    texts = [record.getMessage() for record in caplog.records if "another database session" in record.getMessage()]
    assert len(texts) == 1
    assert str(stuck.pk) in texts[0]


def test_many_locked_rows_do_not_stand_before_the_others(published, monkeypatch):
    for module in ("engine.queries", "engine.supervisor.publishing", "engine.supervisor.audit", "db.transactions"):
        monkeypatch.setattr(f"django_director.{module}.BATCH", 2)
    stuck = [without_a_sign(f"test.STUCK{number}") for number in range(4)]
    retries = [retrying(f"test.RETRY{number}") for number in range(4)]
    free, retry = without_a_sign("test.FREE"), retrying("test.FREERETRY")
    made = supervisor()
    with locked(Task.objects.filter(run__in=[*stuck, *retries])):
        for _ in range(4):
            tick(made)
        assert CASES["a lease"][1](free)
        assert CASES["a retry"][1](retry)


def test_a_locked_lease_leaves_no_site_without_a_supervisor(published):
    free = retrying("test.FREE")
    made = supervisor()
    made._release()
    with locked(Lease.objects.filter(name=LEASE_NAME)):
        began = time.monotonic()
        made._renewed = 0.0
        made._guarded_tick()
        assert time.monotonic() - began < BOUND
        assert CASES["a retry"][1](free)


def test_the_session_has_its_own_limit_again(published):
    with connections["default"].cursor() as cursor:
        name = "lock_timeout" if connections["default"].vendor == "postgresql" else "innodb_lock_wait_timeout"
        prefix = "SHOW " if name == "lock_timeout" else "SELECT @@SESSION."
        cursor.execute(f"{prefix}{name}")
        before = cursor.fetchone()
        retrying("test.FREE")
        tick(supervisor())
        cursor.execute(f"{prefix}{name}")
        assert cursor.fetchone() == before


def test_one_run_in_trouble_harms_no_other(published, monkeypatch, caplog):
    broken, free = without_a_sign("test.BROKEN"), without_a_sign("test.FREE")
    broken.version.definition = {"nonsense": True}
    broken.version.save()

    monkeypatch.setattr("django_director.models.workflows._graphs", {})
    made = supervisor()
    with caplog.at_level(logging.WARNING, "django_director"):
        tick(made)
    assert CASES["a lease"][1](free)
    assert str(broken.pk) in caplog.text


def test_a_claim_waits_for_a_lock_as_long_as_it_says(published):
    run = driver.start("A", name="test.STUCK")
    began = time.monotonic()
    with locked(Task.objects.filter(run=run)), engine_session():
        ticket = driver.ticket(run.tasks.get())
        assert claims.claim(ticket, "tests") is None
    assert lock_limits.ROW_SECONDS - 1 < time.monotonic() - began < lock_limits.ROW_SECONDS + 3
    assert run.tasks.get().status == TaskStatus.QUEUED
    assert claims.claim(ticket, "tests") is not None


@pytest.mark.parametrize("what", ["task", "run"])
@pytest.mark.parametrize("verb", ["cancel", "pause", "retry", "relaunch", "rerun", "skip", "approve", "reject"])
def test_nobody_who_asks_for_something_waits_without_end(published, monkeypatch, verb: str, what: str):
    monkeypatch.setattr(lock_limits, "VERB_SECONDS", 0.5)
    first = approval("A") if verb in ("approve", "reject") else "A"
    run = driver.start(first, "B", name="test.STUCK")
    if verb in ("approve", "reject"):
        driver.drain(run)
    elif verb not in ("cancel", "pause"):
        driver.fail(run, "A")
    of_task = verb in ("rerun", "skip", "approve", "reject")
    subject = run.tasks.get(step="A") if of_task else Run.objects.get(pk=run.pk)
    began = time.monotonic()
    # What a relaunch, a pause or a decision does not write it need not wait for.
    with locked(*rows_of(run, what)), contextlib.suppress(Conflict):
        getattr(engine, verb)(subject)
    assert time.monotonic() - began < 3 * BOUND


def test_a_locked_row_is_a_conflict_that_says_so(published, monkeypatch):
    monkeypatch.setattr(lock_limits, "VERB_SECONDS", 0.5)
    run = driver.start("A", name="test.STUCK")
    with (
        locked(Run.objects.filter(pk=run.pk)),
        pytest.raises(Conflict, match="locked by another"),
    ):
        engine.cancel(run)
    assert engine.cancel(run).status == RunStatus.CANCELED


def test_an_item_whose_row_was_locked_is_not_forgotten(published):
    """The next item is found by skipping locked rows: those of others who take one, as a rule."""
    run = driver.start(mapped("M", "X", over="range(4)", max_parallel=1), name="test.MAP")
    driver.expand(run, "M")
    with locked(run.tasks.filter(step="X", map_index=1)):
        driver.succeed(run, "X", index=0)
        driver.succeed(run, "X", index=2)
    # Behind it nothing is left, so the end of the last one takes it up.
    driver.succeed(run, "X", index=3)
    driver.succeed(run, "X", index=1)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_an_item_whose_row_stays_locked_to_the_end_is_begun_by_the_supervisor(published, caplog):
    run = driver.start(mapped("M", "X", over="range(2)", max_parallel=1), name="test.MAP")
    driver.expand(run, "M")
    made = supervisor()
    with locked(run.tasks.filter(step="X", map_index=1)):
        driver.succeed(run, "X", index=0)
        tick(made)
    driver.forget_trouble()
    tick(made)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
    assert "had no outcome" not in caplog.text


def test_a_claim_is_a_sign_of_life(published):
    run = of_a_silent_worker("test.CLAIMED")
    run.tasks.update(lease_until=later(director.LEASE - 1))
    made = supervisor()
    tick(made)
    tick(made)
    assert run.tasks.get().crashes == 0


def test_a_worker_that_could_not_write_its_sign_is_not_lost(published):
    run = of_a_silent_worker("test.HELD")
    made = supervisor()
    with locked(Worker.objects.all()):
        tick(made)
    # The lock has ended, and the worker will write within moments.
    tick(made)
    assert run.tasks.get().crashes == 0
    Worker.objects.update(seen_at=Now())
    tick(made)
    assert run.tasks.get().crashes == 0


def test_what_a_lost_worker_had_taken_is_sent_again_at_once(published):
    of_a_silent_worker("test.LOST")
    run = driver.start("A", name="test.TAKEN")
    run.tasks.update(queued_at=later(-30), next_dispatch_at=later(30))
    published.clear()
    made = supervisor()
    for _ in range(2):
        tick(made)
    for _ in range(LOOKS):
        tick(made)
    assert run.pk in {message.run_id for message in published}
