"""An error on any statement of any operation: the whole transaction is done anew, and nothing twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.utils import timezone

from django_director import engine
from django_director.db.functions import Now
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.steps import timers
from django_director.engine.supervisor import audit
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.status import RunStatus
from django_director.worker import own_steps
from tests.asking import asked
from tests.factories import approval, definition, group, make_workflow, wait

from . import driver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault(32)]
STATEMENTS = 30
"""More than any of these operations has."""


def end_connection() -> None:
    """Let the server end the connection, as its restart would."""
    driver_connection: Any = connection.connection
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [driver_connection.info.backend_pid])
            else:
                cursor.execute(f"KILL {driver_connection.thread_id()}")
    finally:
        other.close()


@contextmanager
def failing(number: int, kind: str) -> Iterator[list[str]]:
    """Break the ``number``-th statement; yields the statements so far."""
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        if len(seen) != number:
            return execute(sql, params, many, context)
        if kind == "deadlock":
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        if kind == "serialisation":
            raise OperationalError(1020, "Record has changed since last read")
        if kind == "lost":
            end_connection()
            return execute(sql, params, many, context)
        execute(sql, params, many, context)
        end_connection()
        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(wrapper):
        yield seen


def run_to_work_on() -> Run:
    run = driver.start(group("G", "X", "Y"), "Z")
    driver.succeed(run, "X", 1)
    return run


def claimed(run: Run) -> Claim:
    return driver.claim(run, "Y")


def lose(run: Run) -> Callable[[], Any]:
    claimed(run)
    task = run.tasks.select_related("run__version").get(step="Y")
    return lambda: finish.mark_lost(task, Failure(error="WorkerLost: test", outcome="lost"))


def ending(end: Callable[..., Any], *args: Any) -> Callable[[Run], Callable[[], Any]]:
    def prepare(run: Run) -> Callable[[], Any]:
        mine = claimed(run)
        return lambda: end(mine, *args)

    return prepare


def claiming(run: Run) -> Callable[[], Any]:
    ticket = driver.ticket(run.tasks.select_related("run__version").get(step="Y"))

    def claim_and_finish() -> Any:
        mine = claims.claim(ticket, "w")
        return mine is not None and finish.finish(mine, 2)

    return claim_and_finish


NO = Failure(error="ValueError: no")
IN_WORKERS = {
    "claim": (claiming, RunStatus.SUCCESS, 0),
    "finish": (ending(finish.finish, 2), RunStatus.SUCCESS, 0),
    "fail": (ending(finish.fail, NO), RunStatus.FAILED, 0),
    "retry later": (ending(finish.retry_later, NO, 0), RunStatus.SUCCESS, 1),
    "hand back": (ending(finish.requeue), RunStatus.SUCCESS, 0),
    "lose": (lose, RunStatus.SUCCESS, 1),
}
has_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="skipped: SQLite has no server to lose")
kinds = pytest.mark.parametrize(
    "kind",
    [
        "deadlock",
        # The same to our code, by another number.
        pytest.param("serialisation", marks=pytest.mark.slow),
        pytest.param("lost", marks=has_server),
        pytest.param("lost answer", marks=has_server),
    ],
)


@kinds
@pytest.mark.parametrize("name", IN_WORKERS)
def test_what_a_worker_does_is_done_whole_and_once(name, kind):
    prepare, outcome, attempts = IN_WORKERS[name]
    for number in range(1, STATEMENTS):
        run = run_to_work_on()
        act = prepare(run)
        with failing(number, kind) as seen:
            if name == "retry later" and kind.startswith("lost"):
                act()  # the row says whether it was ours; the answer of this one is only for the log
            else:
                assert act(), f"statement {number}: {seen}"
        driver.drain(run)
        driver.check_gates(run)
        assert run.status == outcome, f"statement {number}: {seen}"
        assert run.tasks.get(step="Y").attempts.count() == attempts
        if len(seen) < number:
            assert number > 1, "nothing was broken"
            return
    pytest.fail(f"{name} has more than {STATEMENTS} statements")


def try_retry(run: Run) -> Callable[[], Any]:
    driver.fail(run, "Y")
    return lambda: engine.retry(run)


def try_rerun(run: Run) -> Callable[[], Any]:
    driver.fail(run, "Y")
    task = run.tasks.select_related("run__version").get(step="Y")
    return lambda: engine.rerun(task).run


def try_skip(run: Run) -> Callable[[], Any]:
    driver.fail(run, "Y")
    task = run.tasks.select_related("run__version").get(step="Y")
    return lambda: engine.skip(task).run


RESETS = {"retry": try_retry, "rerun": try_rerun, "skip": try_skip}
IN_REQUESTS = {
    "start": (lambda run: lambda: engine.start("test.FLOW", {"n": 1}, idempotency_key=str(run.pk)), "success"),
    "cancel": (lambda run: lambda: engine.cancel(run), "canceled"),
    **{name: (prepare, "success") for name, prepare in RESETS.items()},
}


@kinds
@pytest.mark.parametrize("name", IN_REQUESTS)
def test_what_a_request_does_is_whole_or_nothing(name, kind):
    """A look before the transaction may raise: the caller asks again, and gets one run, one retry, one cancel."""
    prepare, outcome = IN_REQUESTS[name]
    for number in range(1, STATEMENTS):
        run = run_to_work_on()
        act = prepare(run)
        with failing(number, kind) as seen:
            for call in range(2):
                try:
                    act()
                    break
                except OperationalError:
                    connection.close()  # as Django does at the end of a request that had an error
                except Conflict:
                    assert call, f"statement {number}: it met itself: {seen}"
                    break
        connection.close()
        other = Run.objects.filter(idempotency_key=str(run.pk))
        assert other.count() == int(name == "start")
        changed = other.first() or run
        changed.refresh_from_db()

        assert changed.generation == int(name in RESETS), f"statement {number}: {seen}"
        audit.close_stopped()
        driver.drain(changed)
        assert changed.status == outcome, f"statement {number}: {seen}"
        if len(seen) < number:
            return
    pytest.fail(f"{name} has more than {STATEMENTS} statements")


@contextmanager
def losing_the_answer_to_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[None]]:
    """Let the next commit of a change happen, and end the connection before its answer; yields what was lost."""
    commit = connection._commit
    lost: list[None] = []
    changes: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("UPDATE", "INSERT", "DELETE")):
            changes.append(sql)
        return execute(sql, params, many, context)

    def commit_and_lose() -> None:
        commit()
        if changes and not lost:
            lost.append(None)
            end_connection()
            raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patch, connection.execute_wrapper(watch):
        patch.setattr(connection, "_commit", commit_and_lose)
        yield lost


@has_server
@pytest.mark.parametrize("name", RESETS)
def test_a_reset_whose_commit_was_not_answered_knows_itself(name, monkeypatch):
    run = run_to_work_on()
    act = RESETS[name](run)
    with losing_the_answer_to_commit(monkeypatch) as lost:
        assert act().generation == 1
    assert lost
    assert not run.tasks.queued().filter(next_dispatch_at__gt=Now()).exists(), "due: its own messages were lost"
    driver.drain(run)
    driver.check_gates(run)
    assert run.status == RunStatus.SUCCESS
    if name != "rerun":
        with pytest.raises(Conflict):
            act()


@has_server
def test_a_start_whose_commit_was_not_answered_has_its_line_in_the_history(monkeypatch):
    make_workflow(definition("test.FLOW", "A"))
    eva = get_user_model().objects.create(username="eva")
    # A start that is delayed is a transaction on all databases.
    soon = timezone.now() + timedelta(hours=1)
    with losing_the_answer_to_commit(monkeypatch) as lost:
        run = engine.start("test.FLOW", user=eva, not_before=soon)
    assert lost
    assert Run.objects.count() == 1
    entries = LogEntry.objects.values_list("object_id", "change_message")
    assert list(entries) == [(str(run.pk), "Started")]


@has_server
def test_a_cancel_whose_commit_was_not_answered_knows_itself(monkeypatch):
    run = run_to_work_on()
    with losing_the_answer_to_commit(monkeypatch) as lost:
        assert engine.cancel(run).status == RunStatus.CANCELED
    assert lost
    with pytest.raises(Conflict):
        engine.cancel(run)


@kinds
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_decision_is_whole_and_once(verb, kind):
    """Its first look may raise: who decides asks again."""
    for number in range(1, STATEMENTS):
        run, task = asked(name=f"test.N{number}")
        with failing(number, kind) as seen:
            for _ in range(2):
                try:
                    getattr(engine, verb)(task, comment="once")
                    break
                except OperationalError:
                    connection.close()
                except Conflict:
                    break
        connection.close()
        task.refresh_from_db()
        assert task.decision["approved"] == (verb == "approve"), f"statement {number}: {seen}"
        driver.drain(run)
        driver.check_gates(run)
        assert run.status == (RunStatus.SUCCESS if verb == "approve" else RunStatus.FAILED)
        if len(seen) < number:
            return
    pytest.fail(f"{verb} has more than {STATEMENTS} statements")


@kinds
@pytest.mark.parametrize(
    "step", [wait("W", 60), approval("W", timeout=60, on_timeout="approve")], ids=["wait", "approval"]
)
def test_what_waits_is_made_to_and_ended_whole_and_once(step, kind):
    for number in range(1, STATEMENTS):
        run = driver.start(step, "Z", name=f"test.N{number}")
        mine = driver.claim(run, "W")
        with failing(number, kind) as asking:
            assert own_steps.perform(mine) is own_steps.HELD
        run.tasks.waiting().update(deadline_at="2026-01-01T00:00:00Z")
        with failing(number, kind) as seen, contextlib.suppress(OperationalError):
            # As the supervisor does, which looks again at its next tick.
            timers.fire()
        connection.close()
        timers.fire()
        driver.drain(run)
        driver.check_gates(run)
        assert run.status == RunStatus.SUCCESS, f"statement {number}: {seen}"
        assert run.tasks.get(step="Z").sequence == 1
        if max(len(seen), len(asking)) < number:
            return
    pytest.fail(f"it has more than {STATEMENTS} statements")


@has_server
def test_a_decision_whose_commit_was_not_answered_knows_itself(monkeypatch):
    run, task = asked()
    with losing_the_answer_to_commit(monkeypatch) as lost:
        assert engine.approve(task).reason == "approved"
    assert lost
    assert not run.tasks.queued().filter(next_dispatch_at__gt=Now()).exists(), "due: its own messages were lost"
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
