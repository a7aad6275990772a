"""Child runs with real workers: killed, canceled, timed out, taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from django_director import engine
from django_director.models import Lease, Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import child, group, step

from . import checker
from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(180)]
GIVEN = {"trace": "${{ payload.trace }}", "seconds": "${{ payload.seconds }}"}


@pytest.fixture(scope="module")
def standing(site: Site) -> Worker:
    """The worker that tests share, and that supervises when they kill others."""
    worker = site.worker(queues="celery", concurrency=2)
    wait_for(lambda: Lease.objects.exists(), what="somebody supervises")
    return worker


@pytest.fixture(autouse=True)
def workflows(standing: Worker, checked: Site) -> None:
    """Three generations; everything is checked at the end of each test."""
    checked.define("family.INNER", group("G", step("I1", task="TRACE"), step("I2", task="TRACE")))
    checked.define("family.CHILD", step("C1", task="TRACE"), child("INNER", "family.INNER", payload=GIVEN))
    ships = (child(name, "family.CHILD", payload=GIVEN) for name in ("ONE", "TWO"))
    checked.define("family.PARENT", group("SHIPS", *ships), step("P", task="TRACE"))
    checked.define("family.NAP", step("NAP"))
    checked.define("family.LATE", child("SHIP", "family.NAP", payload={"seconds": 4}, timeout=1))


def family_of(run: Run) -> list[Any]:
    return [run.pk, *checker.descendants(run.pk)]


def tasks_of(run: Run) -> Any:
    return Task.objects.filter(run__in=family_of(run), name="TRACE")


@pytest.mark.fault(1)
def test_killed_workers_lose_no_child_run(site: Site, trace: Path):
    victims = [site.worker(queues="celery", concurrency=2) for _ in range(2)]
    runs = [site.start("family.PARENT", {"trace": str(trace), "seconds": 0.1}) for _ in range(5)]
    for number, victim in enumerate(victims, start=1):
        wait_for(lambda number=number: checker.executions(trace).total() >= 8 * number, what="they work")
        victim.kill()
    site.wait(runs, 90)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    # 1 + 2 x (1 + 2) tasks, and four child runs, for each.
    assert [tasks_of(run).count() for run in runs] == [7] * 5
    assert [len(family_of(run)) for run in runs] == [5] * 5
    executed = checker.executions(trace)
    assert set(executed) == {str(pk) for run in runs for pk in tasks_of(run).values_list("pk", flat=True)}
    assert executed.total() - 35 <= 2 * len(victims)


def test_a_cancel_reaches_what_runs_below(site: Site, trace: Path):
    run = site.start("family.PARENT", {"trace": str(trace), "seconds": 30})
    wait_for(lambda: tasks_of(run).running().count() == 2, what="both children work")
    engine.cancel(run, force=True)
    run.wait(30)
    assert run.status == RunStatus.CANCELED
    found = Run.objects.filter(pk__in=family_of(run))
    wait_for(lambda: not found.active().exists(), what="all have ended")
    assert set(found.values_list("status", flat=True)) == {RunStatus.CANCELED}


@pytest.mark.slow
def test_a_step_that_takes_too_long_fails_at_once_and_resumes_when_its_child_has_ended(site: Site):
    run = site.start("family.LATE")
    run.wait(30)
    assert run.error.startswith("SHIP: TimeLimitExceeded: run ")
    made = Run.objects.get(parent_task__run=run)
    assert (made.shown_status, made.tasks.get().status) == ("canceling", TaskStatus.RUNNING)
    engine.retry(run)
    wait_for(lambda: Run.objects.get(pk=made.pk).generation == 1, 40, "the child is taken up again")
    # Its task had succeeded after all, so there is nothing left to do.
    run.wait(30)
    assert (run.status, Run.objects.filter(parent_task__run=run).count()) == (RunStatus.SUCCESS, 1)
