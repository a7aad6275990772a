"""Two at once, in either order, held at each place where it could matter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import transaction

from django_director import engine
from django_director.db.functions import later
from django_director.engine import queries
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.flow import advance, gates
from django_director.engine.supervisor import audit, leases, publishing, retention
from django_director.engine.supervisor.loop import Supervisor
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, group, make_workflow

from . import driver
from .interleaving import IN_FINISH, PATIENCE, needs_several_writers, own_connection, until, waiting

pytestmark = [pytest.mark.django_db(transaction=True), needs_several_writers]
PAST = "2026-01-01T00:00:00Z"


def two_members() -> tuple[Run, Claim, Claim]:
    run = driver.start(group("G", "X", "Y"), "Z")
    return run, driver.claim(run, "X"), driver.claim(run, "Y")


def outcome(run: Run) -> str:
    """What the run comes to when the supervisor and a worker do all that is left."""
    audit.close_stopped()
    driver.drain(run)
    if not run.stop:
        driver.check_gates(run)
    return run.status


# The last two members of a join


def finish_two_members(held: Any, point: str, order: int) -> Run:
    run, *members = two_members()
    first, second = members[::order]
    results = held(point, lambda: finish.finish(first, 1), lambda: finish.finish(second, 2))
    assert results == [True, True]
    return run


@pytest.mark.fault(8)
@pytest.mark.parametrize("order", [1, -1], ids=["x-first", "y-first"])
@pytest.mark.parametrize("point", IN_FINISH)
def test_the_last_two_members_of_a_join(held, point, order):
    run = finish_two_members(held, point, order)
    successor = run.tasks.get(step="Z")
    assert (successor.status, successor.sequence) == (TaskStatus.QUEUED, 1)
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.fault(8)
@pytest.mark.parametrize("point", ["fail.updated", "finish.updated", "finish.settled"])
def test_the_last_two_members_when_one_fails(held, point):
    run, x, y = two_members()
    ends = [lambda: finish.fail(x, Failure(error="ValueError: no")), lambda: finish.finish(y, 2)]
    assert held(point, *(ends if point == "fail.updated" else ends[::-1])) == [True, True]
    assert run.tasks.get(step="Z").status == TaskStatus.UPSTREAM_FAILED
    assert outcome(run) == RunStatus.FAILED


def _ask_whether_all_are_done(run_id: Any, seq: int, arrival: Any) -> Any:
    """A join as one would write it first: no counter, no lock, a question."""
    unfinished = Task.objects.filter(run_id=run_id, step__in=("X", "Y")).exclude(status=TaskStatus.SUCCESS)
    return None if unfinished.exists() else advance.Tally()


@pytest.mark.fault(8)
def test_a_join_that_asks_whether_all_are_done_is_caught(held, monkeypatch):
    monkeypatch.setattr(gates, "_count", _ask_whether_all_are_done)
    run = finish_two_members(held, "finish.settled", 1)
    assert run.tasks.get(step="Z").status == TaskStatus.PENDING, (
        "the interleaving shows no harm: it proves nothing"
    )


# Finishes of one statement each: they are made to meet at a row that somebody else has


def waiting_for(rows: Any, *finishes: Any) -> list[Any]:
    """Lock ``rows``, let all ``finishes`` come to wait for them, and give the rows back."""
    with ThreadPoolExecutor(len(finishes)) as pool, transaction.atomic():
        list(rows.select_for_update())
        ends = [pool.submit(own_connection, finish) for finish in finishes]
        until(lambda: waiting() == len(finishes))
    return [end.result(PATIENCE) for end in ends]


@pytest.mark.fault(8)
@pytest.mark.parametrize("others", [0, 1], ids=["last two", "two of three"])
def test_members_that_wait_for_one_gate(others):
    names = ["X", "Y", "W"][: 2 + others]
    run = driver.start(group("G", *names), "Z")
    x, y, *rest = [driver.claim(run, name) for name in names]
    assert waiting_for(run.gates.all(), lambda: finish.finish(x, 1), lambda: finish.finish(y, 2)) == [True, True]
    assert run.tasks.get(step="Z").status == (TaskStatus.PENDING if others else TaskStatus.QUEUED)
    driver.check_gates(run)
    for claimed in rest:
        finish.finish(claimed, 3)
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.fault(4)
def test_a_finish_that_waits_for_its_own_renewal():
    run, x, y = two_members()
    own = Task.objects.filter(pk=x.task_id)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        own.update(lease_until=later(1000))
        end = pool.submit(own_connection, lambda: finish.finish(x, 1))
        until(lambda: waiting() == 1)
    assert end.result(PATIENCE) is True
    assert own.get().status == TaskStatus.SUCCESS
    driver.check_gates(run)
    finish.finish(y, 2)
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.fault(4)
@pytest.mark.parametrize("shape", ["member", "step", "last"])
def test_a_finish_that_waits_while_its_task_is_taken_away(shape):
    run = driver.start(*{"member": [group("G", "A", "B")], "step": ["A", "B"], "last": ["A"]}[shape])
    claimed = driver.claim(run, "A")
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        (task,) = queries.read_to_end(Task.objects.filter(pk=claimed.task_id))
        assert finish.mark_lost(task, Failure(error="WorkerLost: gone"))
        end = pool.submit(own_connection, lambda: finish.finish(claimed, 1))
        until(lambda: waiting() == 1)
    assert end.result(PATIENCE) is False
    assert Task.objects.get(pk=claimed.task_id).status == TaskStatus.QUEUED
    driver.check_gates(run)
    assert outcome(run) == RunStatus.SUCCESS


# The last finish against a cancel


@pytest.mark.fault(30)
@pytest.mark.parametrize("point", IN_FINISH)
def test_a_finish_and_then_a_cancel(held, point):
    run = driver.start("A")
    claimed = driver.claim(run, "A")
    finished, canceled = held(
        point, lambda: finish.finish(claimed, 1), lambda: engine.cancel(Run.objects.get(pk=run.pk))
    )
    assert finished is True
    # From its update of the run's row on, the finish wins; before it, the cancel does.
    finish_wins = point in {"finish.settled", "finish.committed"}
    assert isinstance(canceled, Conflict) == finish_wins
    assert outcome(run) == (RunStatus.SUCCESS if finish_wins else RunStatus.CANCELED)
    assert run.tasks.get().result == 1


@pytest.mark.fault(30)
@pytest.mark.parametrize("point", ["cancel.committed", "cancel.swept"])
@pytest.mark.parametrize("last", [True, False], ids=["last", "middle"])
def test_a_cancel_and_then_a_finish(held, point, last):
    run = driver.start("A") if last else driver.start("A", "B")
    claimed = driver.claim(run, "A")
    canceled, finished = held(
        point, lambda: engine.cancel(Run.objects.get(pk=run.pk)), lambda: finish.finish(claimed, 1)
    )
    assert isinstance(canceled, Run)
    assert finished is True
    assert outcome(run) == RunStatus.CANCELED
    assert driver.statuses(run) == {"A": "success"} | ({} if last else {"B": "canceled"})


@pytest.mark.fault(30)
@pytest.mark.parametrize("point", IN_FINISH)
def test_a_finish_and_then_a_forced_cancel(held, point):
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    finished, canceled = held(
        point, lambda: finish.finish(claimed, 1), lambda: engine.cancel(Run.objects.get(pk=run.pk), force=True)
    )
    assert isinstance(canceled, Run)
    assert outcome(run) == RunStatus.CANCELED
    assert run.tasks.get(step="A").status == (TaskStatus.SUCCESS if finished else TaskStatus.CANCELED)


# A finish against the end of its lease


@pytest.mark.fault(4)
@pytest.mark.parametrize("point", IN_FINISH)
def test_a_finish_and_then_the_end_of_its_lease(held, point):
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    run.tasks.filter(step="A").update(lease_until=PAST)
    finished, lost = held(point, lambda: finish.finish(claimed, 1), leases.expire_leases)
    assert (finished, lost) == ((False, 1) if point == "finish.before" else (True, 0))
    assert run.tasks.get(step="A").crashes == lost
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.fault(4)
@pytest.mark.parametrize("crashes", [0, 2], ids=["again", "for-good"])
def test_the_end_of_a_lease_and_then_the_finish(held, crashes):
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    run.tasks.filter(step="A").update(lease_until=PAST, crashes=crashes)
    point = "fail.updated" if crashes else "lose.updated"
    lost, finished = held(point, leases.expire_leases, lambda: finish.finish(claimed, "late"))
    assert (lost, finished) == (1, False)
    assert run.tasks.get(step="A").result is None
    assert outcome(run) == (RunStatus.FAILED if crashes else RunStatus.SUCCESS)


@pytest.mark.fault(21)
def test_two_supervisors_end_one_lease(held):
    run = driver.start("A", "B")
    driver.claim(run, "A")
    run.tasks.filter(step="A").update(lease_until=PAST)
    assert sorted(held("lose.updated", leases.expire_leases, leases.expire_leases)) == [0, 1]
    task = run.tasks.get(step="A")
    assert (task.status, task.crashes, task.attempts.count()) == (TaskStatus.QUEUED, 1, 1)


@pytest.mark.fault(21)
def test_two_supervisors_publish_one_task(held):
    run = driver.start("A")
    run.tasks.update(next_dispatch_at=PAST)
    held("supervise.claimed", Supervisor("one").tick, Supervisor("two").tick)
    assert run.tasks.get().sequence == 1, "sent twice, and claimed once"
    assert outcome(run) == RunStatus.SUCCESS


# Claims, retries, starts


@pytest.mark.fault(19)
@pytest.mark.parametrize("point", ["claim.before", "claim.committed"])
def test_two_copies_of_one_message(held, point):
    run = driver.start("A")
    ticket = driver.ticket(run.tasks.select_related("run__version").get())
    first, second = held(point, lambda: claims.claim(ticket, "one"), lambda: claims.claim(ticket, "two"))
    winner, loser = (second, first) if point == "claim.before" else (first, second)
    assert loser is None
    assert run.tasks.get().claim == winner.token


@pytest.mark.fault(30)
@pytest.mark.parametrize("point", ["reset.updated", "reset.committed"])
def test_two_retries_of_one_run(held, point):
    run = driver.start("A", "B")
    driver.fail(run, "A")
    results = held(point, *[lambda: engine.retry(Run.objects.get(pk=run.pk))] * 2)
    assert [type(result) for result in results] == [Run, Conflict]
    run.refresh_from_db()
    assert run.generation == 1
    assert outcome(run) == RunStatus.SUCCESS


def steer(verb: str, run: Run, step: str) -> Any:
    """As a request: with rows of its own."""
    return getattr(engine, verb)(run.tasks.select_related("run__version").get(step=step))


RESET_POINTS = pytest.mark.parametrize("point", ["reset.updated", "reset.committed"])


@pytest.mark.fault(30)
@RESET_POINTS
@pytest.mark.parametrize("verbs", [("rerun", "rerun"), ("rerun", "skip"), ("skip", "rerun"), ("skip", "skip")])
def test_two_people_reset_one_run(held, point, verbs):
    run = driver.start(group("G", "A", "B"), "Z")
    driver.succeed(run, "A")
    driver.fail(run, "B")
    one, two = held(point, *(lambda verb=verb: steer(verb, run, "B") for verb in verbs))
    assert isinstance(one, Task)
    assert isinstance(two, Conflict)
    run.refresh_from_db()
    assert run.generation == 1
    assert run.tasks.get(step="B").status == (TaskStatus.QUEUED if verbs[0] == "rerun" else TaskStatus.SKIPPED)
    assert outcome(run) == RunStatus.SUCCESS
    assert run.tasks.get(step="B").attempts.count() == 1


@pytest.mark.fault(4)
@RESET_POINTS
@pytest.mark.parametrize("verb", ["rerun", "skip"])
def test_a_reset_and_a_late_finish(held, point, verb):
    """The task was killed with its run, and its worker does not know yet."""
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    engine.cancel(run, force=True)
    done, late = held(point, lambda: steer(verb, run, "A"), lambda: finish.finish(claimed, "late"))
    assert isinstance(done, Task)
    assert late is False
    assert outcome(run) == RunStatus.SUCCESS
    assert run.tasks.get(step="A").result == (None if verb == "skip" else "A")


@pytest.mark.fault(21)
@RESET_POINTS
def test_a_rerun_and_a_supervisor(held, point):
    run = driver.start("A", group("G", "X", "Y"), "Z")
    driver.drain(run)

    def supervise() -> int:
        audit.close_stopped()
        publishing.publish_due()
        return audit.audit()

    done, audited = held(point, lambda: steer("rerun", run, "A"), supervise)
    assert isinstance(done, Task)
    assert audited == 0
    assert outcome(run) == RunStatus.SUCCESS
    assert set(run.tasks.values_list("reruns", flat=True)) == {1}


@pytest.mark.fault(30)
@RESET_POINTS
def test_a_rerun_and_a_cancel(held, point):
    run = driver.start("A", "B")
    driver.drain(run)
    done, canceled = held(
        point, lambda: steer("rerun", run, "B"), lambda: engine.cancel(Run.objects.get(pk=run.pk))
    )
    assert isinstance(done, Task)
    # It may have looked at the run before the rerun was committed.
    assert isinstance(canceled, Run | Conflict)
    assert outcome(run) == (RunStatus.CANCELED if isinstance(canceled, Run) else RunStatus.SUCCESS)
    assert run.tasks.get(step="A").result == "A"


@RESET_POINTS
def test_a_rerun_and_a_deletion(held, point):
    run = driver.start("A", "B")
    driver.drain(run)
    done, deleted = held(point, lambda: steer("rerun", run, "B"), lambda: retention._delete(run.pk, lambda: False))
    assert isinstance(done, Task)
    assert deleted is False
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.fault(20)
@pytest.mark.parametrize("point", ["reset.updated", "reset.committed"])
def test_a_retry_and_an_old_message(held, point):
    run = driver.start("A", "B")
    old = driver.ticket(run.tasks.select_related("run__version").get(step="A"))
    driver.fail(run, "A")
    retried, claimed = held(
        point, lambda: engine.retry(Run.objects.get(pk=run.pk)), lambda: claims.claim(old, "w")
    )
    assert isinstance(retried, Run)
    assert claimed is None
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("point", "keeps"), [("start.inserted", True), ("start.inserted", False), ("start.committed", True)]
)
def test_two_starts_with_one_key(held, point, keeps):
    make_workflow(definition("test.FLOW", "A"))

    def start(commit: bool = True) -> Any:
        with transaction.atomic():
            run = engine.start("test.FLOW", idempotency_key="k")
            transaction.set_rollback(not commit)
        return run

    first, second = held(point, lambda: start(keeps), start)
    run = Run.objects.get()
    assert second.pk == run.pk
    assert second.created is not keeps
    assert (first.pk == run.pk) is keeps
    assert outcome(run) == RunStatus.SUCCESS


# Pause and resume


@pytest.mark.parametrize("deed", [engine.pause, engine.resume], ids=["pause", "resume"])
def test_of_two_people_one_pauses_or_resumes(deed):
    run = driver.start("A")
    if deed is engine.resume:
        engine.pause(run)
    copies = [Run.objects.get(pk=run.pk) for _ in range(2)]
    ends = waiting_for(Run.objects.filter(pk=run.pk), *(lambda copy=copy: deed(copy) for copy in copies))
    assert sorted(isinstance(end, Conflict) for end in ends) == [False, True]
    run.refresh_from_db()
    assert run.shown_status == ("paused" if deed is engine.pause else "running")


@pytest.mark.parametrize("point", ["finish.updated", "finish.settled"])
def test_a_pause_while_a_task_finishes(held, point):
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    results = held(point, lambda: finish.finish(claimed, 1), lambda: engine.pause(run))
    assert results[0] is True
    assert not isinstance(results[1], Exception)
    assert claims.claim(driver.ticket(run.tasks.get(step="B")), "tests") is None
    assert engine.resume(run).shown_status == "running"
    assert outcome(run) == RunStatus.SUCCESS


@pytest.mark.parametrize("point", ["finish.updated", "finish.settled"])
def test_a_pause_while_the_last_task_finishes(held, point):
    run = driver.start("A")
    claimed = driver.claim(run, "A")
    finished, paused = held(point, lambda: finish.finish(claimed, 1), lambda: engine.pause(run))
    assert finished is True
    run.refresh_from_db()
    assert run.status == RunStatus.SUCCESS
    # Whoever changes the run's row first wins; a pause that came first held nothing back.
    assert isinstance(paused, Conflict) == (run.paused_at is None)
