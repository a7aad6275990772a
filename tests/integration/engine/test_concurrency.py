"""Two connections at once, on databases with several writers; whole transactions tried again."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.models import F

from django_director import engine
from django_director.common import ids
from django_director.db.functions import later
from django_director.db.transactions import transact
from django_director.dispatch import publisher
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.supervisor import audit
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, group, make_workflow

from . import driver
from .interleaving import needs_several_writers

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs in threads with connections of their own, started together; return results or errors."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait(10)
        try:
            return job()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


@pytest.mark.parametrize("repeat", range(5))
def test_the_last_two_members_finish_together(repeat):
    run = driver.start(group("G", "X", "Y"), "Z")
    x, y = driver.claim(run, "X"), driver.claim(run, "Y")
    assert at_once(lambda: finish.finish(x, 1), lambda: finish.finish(y, 2)) == [True, True]
    task = run.tasks.get(step="Z")
    assert (task.status, task.sequence) == (TaskStatus.QUEUED, 1)
    driver.check_gates(run)


def test_many_members_finish_together():
    run = driver.start(group("G", *(f"A{n}" for n in range(100))), "Z")
    claimed = [driver.claim(run, f"A{n}") for n in range(100)]

    def finish_some(part: int) -> bool:
        done = [finish.finish(claim, 1) for claim in claimed[part::8]]
        return all(done)

    assert at_once(*(lambda part=part: finish_some(part) for part in range(8))) == [True] * 8
    assert run.tasks.get(step="Z").status == TaskStatus.QUEUED
    driver.check_gates(run)


@needs_several_writers
@pytest.mark.fault(9)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_large_join_by_32_finishers(size, settings):
    settings.DIRECTOR = {"MAX_TASKS_PER_RUN": size + 1}
    with publisher.withheld():
        run = driver.start(group("G", *(f"A{n}" for n in range(size))), "Z")
        first = driver.claim(run, "A0")
        members = [
            replace(first, task_id=ids.task_id(run.pk, node.position), token=node.position, node=node)
            for node in run.version.graph.nodes[:size]
        ]
        # All at work at once, as 10,000 claims would have it.
        run.tasks.filter(position__lt=size).update(
            status=TaskStatus.RUNNING, claim=F("position"), lease_until=later(600), next_dispatch_at=None
        )

        def finish_some(part: int) -> bool:
            done = [finish.finish(member, 1) for member in members[part::32]]
            return all(done)

        assert at_once(*(lambda part=part: finish_some(part) for part in range(32))) == [True] * 32
    assert (run.tasks.get(step="Z").status, run.tasks.get(step="Z").sequence) == (TaskStatus.QUEUED, 1)
    driver.check_gates(run)


def _any_task(verb: Callable[[Task], Any], run: Run) -> None:
    verb(random.choice(run.tasks.select_related("run__version")))


@pytest.mark.fault(30)
def test_verbs_hammered_by_ten():
    runs = [driver.start("A", group("G", "X", "Y"), "Z", name=f"test.FLOW{n}") for n in range(3)]

    def hammer(seed: int) -> list[type]:
        dice = random.Random(seed)
        seen = []
        for _ in range(12):
            run = Run.objects.get(pk=dice.choice(runs).pk)
            try:
                dice.choice(verbs)(run)
            except Conflict:
                seen.append(Conflict)
        return seen

    def work_on(run: Run) -> None:
        """What a worker and the supervisor do meanwhile."""
        for task in run.tasks.queued().select_related("run__version"):
            claimed = claims.claim(driver.ticket(task), "hammer")
            if claimed is not None and claimed.node.step.id == "X":
                finish.fail(claimed, Failure(error="ValueError: X"))
            elif claimed is not None:
                finish.finish(claimed, 1)
        audit.close_stopped()

    force = partial(engine.cancel, force=True)
    resets = [engine.retry, partial(_any_task, engine.rerun), partial(_any_task, engine.skip)]
    verbs = [engine.cancel, force, *resets, engine.pause, engine.resume, work_on, work_on]
    with publisher.withheld():
        results = at_once(*(partial(hammer, seed) for seed in range(10)))
        assert all(isinstance(result, list) for result in results), results
        for run in runs:
            with contextlib.suppress(Conflict):
                engine.resume(run)
            audit.close_stopped()
            driver.drain(run)
            audit.close_stopped()
            run.refresh_from_db()
            assert run.is_finished, run.shown_status
            assert not run.tasks.active().exists()
            if not run.stop:
                driver.check_gates(run)


@pytest.mark.parametrize("repeat", range(3))
def test_one_message_claimed_by_two(repeat):
    run = driver.start("A")
    ticket = driver.ticket(run.tasks.select_related("run__version").get())
    results = at_once(*[lambda: claims.claim(ticket, "w")] * 4)
    assert sum(claimed is not None for claimed in results) == 1


@pytest.mark.parametrize("repeat", range(3))
def test_the_last_finish_against_a_cancel(repeat):
    run = driver.start("A")
    claimed = driver.claim(run, "A")
    finished, canceled = at_once(
        lambda: finish.finish(claimed, 1), lambda: engine.cancel(Run.objects.get(pk=run.pk))
    )
    assert finished is True
    run.refresh_from_db()
    if isinstance(canceled, Conflict):
        assert run.status == RunStatus.SUCCESS
    else:
        audit.close_stopped()
        run.refresh_from_db()
        assert run.status == RunStatus.CANCELED


def test_two_people_retry_at_once():
    run = driver.start("A", "B")
    driver.fail(run, "A")
    results = at_once(*[lambda: engine.retry(Run.objects.get(pk=run.pk))] * 2)
    assert sum(isinstance(result, Conflict) for result in results) == 1, results
    run.refresh_from_db()
    assert run.generation == 1
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_two_starts_with_one_key():
    make_workflow(definition("test.FLOW", "A"))
    results = at_once(*[lambda: engine.start("test.FLOW", idempotency_key="k")] * 4)
    assert {type(result) for result in results} == {Run}, results
    assert len({run.pk for run in results}) == 1
    assert sum(run.created for run in results) == 1
    assert Run.objects.count() == 1


def _fail_statement(number: int, error: Exception) -> Any:
    state = {"count": 0}

    def wrapper(execute, sql, params, many, context):
        state["count"] += 1
        if state["count"] == number:
            raise error
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lock_error_on_any_statement_starts_the_transaction_anew(number):
    run = driver.start(group("G", "X", "Y"), "Z")
    driver.succeed(run, "X", 1)
    claimed = driver.claim(run, "Y")
    with _fail_statement(number, OperationalError("database is locked")):
        assert finish.finish(claimed, 2)
    assert run.tasks.get(step="Z").status == TaskStatus.QUEUED
    driver.check_gates(run)


def test_other_errors_are_not_tried_again():
    calls = []

    def work():
        calls.append(1)
        raise OperationalError("no such table")

    with pytest.raises(OperationalError, match="no such table"):
        transact(work)
    assert len(calls) == 1
