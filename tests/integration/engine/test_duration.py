"""What a run's duration counts: the time for which it could work, not that for which it stood."""

from datetime import timedelta

import pytest
from django.db.models import F

from django_director import engine
from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import order

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def earlier(run, by=HOUR):
    """Let all that has happened to the run have happened earlier."""
    columns = ("created_at", "started_at", "counted_from", "finished_at", "paused_at")
    Run.objects.filter(pk=run.pk).update(**{name: F(name) - by for name in columns})
    run.refresh_from_db()


def end(run, seconds=5):
    """Let the run have its outcome ``seconds`` after the last time that its duration counts from."""
    run.refresh_from_db()
    at = (run.counted_from or run.started_at) + timedelta(seconds=seconds)
    Run.objects.filter(pk=run.pk).update(status="success", finished_at=at)
    run.refresh_from_db()


def failed_run():
    tasks = {"FETCH": "success", "STOCK": "failed", "PRICE": "success", "SHIP": "upstream_failed"}
    return factories.make_run(order(), "failed", tasks)


def test_the_time_between_a_failure_and_a_retry_does_not_count():
    run = failed_run()
    worked = run.duration
    earlier(run)
    engine.retry(run)
    run.refresh_from_db()
    assert run.duration is None
    now = run.counted_from + timedelta(seconds=worked)
    assert abs((now - run.started_at) - HOUR) < timedelta(seconds=30)
    earlier(run)
    end(run, worked + 3)
    assert run.duration == pytest.approx(worked + 3, abs=0.01)


def test_a_second_retry_adds_up():
    run = failed_run()
    for _ in range(2):
        earlier(run)
        engine.retry(run)
        Run.objects.filter(pk=run.pk).update(status="failed", finished_at=F("counted_from") + timedelta(seconds=7))
        run.tasks.filter(status="queued").update(
            status="failed", finished_at=F("queued_at"), next_dispatch_at=None
        )
        run.refresh_from_db()
    assert run.duration == pytest.approx(7, abs=0.01)


def test_the_time_of_a_pause_does_not_count():
    run = engine.start(order())
    before = run.started_at
    engine.pause(run)
    earlier(run)
    engine.resume(run)
    run.refresh_from_db()
    assert abs(run.counted_from - run.started_at - HOUR) < timedelta(seconds=30)
    assert abs(before - run.started_at - HOUR) < timedelta(seconds=1)


def test_a_run_that_is_canceled_while_it_is_paused_has_worked_until_the_pause():
    run = engine.start(order())
    engine.pause(run)
    earlier(run)
    worked = run.paused_at - run.started_at
    engine.cancel(run)
    run.refresh_from_db()
    end_at = run.finished_at
    if end_at is not None:
        assert run.duration == pytest.approx(worked.total_seconds(), abs=1)


def test_a_run_that_was_never_retried_counts_from_its_start():
    run = engine.start(order())
    assert run.counted_from is None
    end(run, 4)
    assert run.duration == 4
