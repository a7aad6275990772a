"""Schedules that beat should have sent: what is told, and what is no reason to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from django_director.checks import live
from django_director.presentation import health
from django_director.schedules import beat_rows, overdue
from tests import factories

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
ORDER = "director: shop.ORDER"


def schedule(
    last: timedelta | None, *, changed: timedelta | None = None, name: str = ORDER, **kind: Any
) -> PeriodicTask:
    """One that beat has sent so long ago, and that somebody has changed so long ago."""
    now = timezone.now()
    row = PeriodicTask.objects.create(name=name, task=beat_rows.TASK, kwargs='{"name": "shop.ORDER"}', **kind)
    sent = None if last is None else now - last
    changed_at = now - (changed if changed is not None else last or timedelta(0))
    PeriodicTask.objects.filter(pk=row.pk).update(last_run_at=sent, date_changed=changed_at)
    return row


def every(seconds: int) -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=seconds, period="seconds")


def each_minute() -> CrontabSchedule:
    return CrontabSchedule.objects.create(timezone="UTC")


def names() -> list[str]:
    return [late.name for late in overdue.find_late(beat_rows.enabled_rows())]


@pytest.mark.parametrize(
    ("seconds", "last", "is_late"),
    [
        (10, 4 * MINUTE, False),
        (10, 6 * MINUTE, True),
        (3600, 100 * MINUTE, False),
        (3600, 121 * MINUTE, True),
    ],
)
def test_an_interval(seconds, last, is_late):
    schedule(last, interval=every(seconds))
    assert bool(names()) is is_late


@pytest.mark.parametrize(("last", "is_late"), [(5 * MINUTE, False), (7 * MINUTE, True)])
def test_a_crontab(last, is_late):
    schedule(last, crontab=each_minute())
    assert bool(names()) is is_late


def test_a_crontab_whose_time_has_not_come():
    soon = datetime.now(UTC) + timedelta(hours=2)
    crontab = CrontabSchedule.objects.create(minute="0", hour=str(soon.hour), timezone="UTC")
    schedule(timedelta(hours=1), crontab=crontab)
    assert not names()


def test_what_was_never_sent_counts_from_its_making():
    schedule(None, changed=7 * MINUTE, interval=every(60))
    schedule(None, changed=4 * MINUTE, interval=every(60), name="director: shop.NEW")
    assert names() == [ORDER]


def test_what_was_changed_begins_anew():
    schedule(timedelta(days=2), changed=MINUTE, interval=every(60))
    assert not names()


def test_what_beat_does_not_send():
    old = timedelta(days=2)
    schedule(old, interval=every(60), enabled=False, name="off")
    schedule(old, interval=every(60), expires=timezone.now() - MINUTE, name="expired")
    schedule(old, interval=every(60), start_time=timezone.now() + MINUTE, name="later")
    schedule(old, interval=every(60), one_off=True, total_run_count=1, name="once")
    schedule(old, solar=SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1), name="sun")
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now() + MINUTE)
    schedule(old, clocked=clocked, one_off=True, name="clocked")
    PeriodicTask.objects.create(name="other", task="other", interval=every(60), last_run_at=timezone.now() - old)
    assert not names()


def test_a_run_since_then_says_that_it_was_sent():
    """Beat writes only now and then when it has sent."""
    schedule(10 * MINUTE, interval=every(60))
    run = factories.make_run(schedule=ORDER, scheduled_for=timezone.now())
    assert names()
    run.sent_at = timezone.now() - 2 * MINUTE
    run.save(update_fields=["sent_at"])
    assert not names()


def test_queries(django_assert_num_queries):
    with django_assert_num_queries(1):
        overdue.find_late(beat_rows.enabled_rows())
    for number in range(3):
        schedule(10 * MINUTE, interval=every(60), name=f"director: shop.N{number}")
    with django_assert_num_queries(2):
        assert len(overdue.find_late(beat_rows.enabled_rows())) == 3


def test_it_is_a_problem_of_health():
    schedule(10 * MINUTE, interval=every(60))
    found = health.read_health()
    (late,) = found["late_schedules"]
    assert late["name"] == ORDER
    assert (
        f"beat has not sent 1 schedule (“director: shop.ORDER”) since {late['due_at']}: "
        "does it run? Start one: celery -A … beat"
    ) in found["problems"]
    hidden = health.read_health(with_names=False)
    assert "shop.ORDER" not in str(hidden)
    assert any("beat has not sent 1 schedule since" in problem for problem in hidden["problems"])


def test_check_warns_of_it(monkeypatch):
    schedule(10 * MINUTE, interval=every(60))
    (warning,) = live.check_beat(databases=["default"])
    assert warning.id == "director.W008"
    assert warning.msg.startswith("Beat has not sent 1 schedule (“director: shop.ORDER”) since ")
    assert live.check_beat(databases=[]) == live.check_beat() == []
    # As while the tables are made.
    monkeypatch.setattr(PeriodicTask._meta, "db_table", "not_there")
    assert live.check_beat(databases=["default"]) == []


def test_a_deployment_in_eager_mode_is_warned_of(monkeypatch):
    assert live.check_eager() == []
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    (warning,) = live.check_eager()
    assert warning.id == "director.W009"
