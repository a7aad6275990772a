"""Tasks that a worker does not know: offered again soon, and failed when no worker knows them."""

from __future__ import annotations

import pytest

from django_director import engine
from django_director.db.functions import later
from django_director.dispatch import batches, publisher, remote_control
from django_director.engine.supervisor import publishing, unknown_tasks
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, group, make_workflow, step

from . import driver

pytestmark = [pytest.mark.django_db, pytest.mark.fault(23), pytest.mark.usefixtures("published")]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Nobody consumes from this broker, so nobody answers."""
    monkeypatch.setattr(remote_control, "ANSWER_SECONDS", 0.01)


def note(run: Run, *steps: str) -> None:
    rows = run.tasks.filter(step__in=steps).values_list("pk", "sequence", "name")
    unknown_tasks.note_dropped(list(rows), "celery@old")


def offered_in(run: Run, step: str) -> int:
    """Seconds until the supervisor publishes it."""
    task = run.tasks.annotate(now=later(0)).get(step=step)
    return round((task.next_dispatch_at - task.now).total_seconds())


@pytest.mark.parametrize(
    ("since", "delay"), [(None, 1), (0.5, 1), (3, 2), (7, 4), (15, 8), (40, 15), (400, 15), (10_000, 15)]
)
def test_it_is_offered_again_about_as_long_after_as_it_has_been_unknown(since: float | None, delay: int):
    run = driver.start("A")
    run.tasks.update(unknown_since=None if since is None else later(-since), dispatches=5)
    before = run.tasks.get().unknown_since
    note(run, "A")
    task = run.tasks.get()
    assert (offered_in(run, "A"), task.dispatches) == (delay, 0)
    assert task.reason == "celery@old does not know this task"
    assert task.unknown_since is not None
    assert before in (None, task.unknown_since)


def test_what_was_dropped_at_once_comes_back_by_and_by():
    run = driver.start(group("G", *"ABCDEFGH"))
    run.tasks.update(unknown_since=later(-100))
    note(run, *"ABCDEFGH")
    rows = run.tasks.annotate(now=later(0))
    delays = sorted((row.next_dispatch_at - row.now).total_seconds() for row in rows)
    # Some time has passed since they were written.
    for moment, delay in enumerate(delays):
        assert 15 * (1 + moment / 8) - 1 < delay <= 15 * (1 + moment / 8) + 0.1


def test_only_the_message_that_was_dropped_counts():
    run = driver.start(group("G", "X", "Y"))
    driver.claim(run, "X")
    rows = run.tasks.all()
    unknown_tasks.note_dropped(
        [(row.pk, row.sequence - int(row.step == "Y"), row.name) for row in rows], "celery@old"
    )
    unknown_tasks.note_dropped([(row.pk, row.sequence, "ANOTHER") for row in rows], "celery@old")
    assert not run.tasks.exclude(unknown_since=None).exists()


def test_what_a_worker_says_at_once_is_not_put_off_by_the_publication(monkeypatch):
    run = driver.start("A")
    run.tasks.update(next_dispatch_at=later(-5))
    monkeypatch.setattr(batches, "send", lambda message, *_: note(run, "A"))
    assert publishing.publish_due() == 1
    assert offered_in(run, "A") == 1


def test_a_backlog_that_is_unknown_holds_up_no_other_and_is_bounded_by_the_ticks():
    make_workflow(definition("test.WIDE", group("G", *(f"B{n}" for n in range(700)))))
    run = engine.start("test.WIDE")
    rows = Task.objects.filter(run=run)
    rows.update(next_dispatch_at=later(-50), unknown_since=later(-100))
    rows.filter(position__gte=690).update(next_dispatch_at=later(-1), unknown_since=None)
    assert publishing.publish_due() == publishing.BATCH - 1
    assert not rows.filter(position__gte=690, dispatches=0).exists()


def test_it_fails_after_its_time_when_nobody_knows_it(settings):
    run = driver.start("A", "B")
    note(run, "A")
    assert unknown_tasks.fail_unknown_tasks() == 0
    settings.DIRECTOR = {"UNKNOWN_TASK_TTL": 0}
    assert unknown_tasks.fail_unknown_tasks() == 1
    assert "no worker has known the task “A”" in run.tasks.get(step="A").error
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED


def test_it_has_its_time_anew_while_a_worker_runs_one_of_its_kind():
    run = driver.start(group("G", step("X", task="A"), step("Y", task="A"), step("Z", task="A", queue="other")))
    driver.claim(run, "X")
    run.tasks.exclude(step="X").update(unknown_since=later(-1_000))
    assert unknown_tasks.fail_unknown_tasks() == 1
    assert run.tasks.get(step="Z").status == TaskStatus.FAILED, "who serves another queue will not take it"
    assert run.tasks.get(step="Y").unknown_since > run.created_at
    assert unknown_tasks.fail_unknown_tasks() == 0


def test_nothing_fails_while_the_broker_is_away():
    run = driver.start("A")
    run.tasks.update(unknown_since=later(-1_000))
    publisher.breaker.trip()
    assert unknown_tasks.fail_unknown_tasks() == 0
    publisher.breaker.reset()
    assert unknown_tasks.fail_unknown_tasks() == 1


def test_a_retry_begins_anew():
    run = driver.start("A")
    run.tasks.update(unknown_since=later(-1_000))
    assert unknown_tasks.fail_unknown_tasks() == 1
    engine.retry(run)
    assert unknown_tasks.fail_unknown_tasks() == 0
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
