import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import celery
import pytest
from celery import Celery
from django.db import connections
from django.test import override_settings
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from django_director.definitions import Schedule
from django_director.exceptions import StartRefused
from django_director.models import Run, Workflow
from django_director.schedules import beat_rows, descriptions
from django_director.schedules.tasks import SENT_AT, run_workflow
from django_director.status import Trigger
from django_director.sync import versions
from tests.factories import definition

pytestmark = pytest.mark.django_db

NAME = "director: shop.ORDER"
AT_7 = Schedule(kind="crontab", value="0 7 * * 1-5", timezone="Europe/Paris", payload={"order": 1})
MINUTELY = Schedule(kind="interval", value="60")


def store(*entries, **fields):
    return versions.store([definition("shop.ORDER", "A", schedules=entries, **fields)])


def rows():
    return list(PeriodicTask.objects.filter(name__startswith="director: ").order_by("name"))


def row():
    return PeriodicTask.objects.get(name=NAME)


def switch(enabled):
    """As the admin does."""
    task = row()
    task.enabled = enabled
    task.save()


class TestSync:
    def test_an_entry_becomes_a_periodic_task(self):
        assert store(AT_7).schedules == [f"{NAME} (added)"]
        task = row()
        assert (task.task, task.enabled) == ("django_director.run_workflow", True)
        assert json.loads(task.kwargs) == {"name": "shop.ORDER", "payload": {"order": 1}}
        assert str(task.crontab.timezone) == "Europe/Paris"
        assert (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week) == ("0", "7", "1-5")

    @pytest.mark.parametrize(("value", "seconds"), [("60", 60), ("0.5", 0.5), ("86400", 86400)])
    def test_intervals(self, value, seconds):
        store(Schedule(kind="interval", value=value))
        assert row().schedule.run_every == timedelta(seconds=seconds)

    def test_several_entries_are_numbered(self):
        store(AT_7, MINUTELY)
        assert [task.name for task in rows()] == [NAME, f"{NAME} #2"]

    def test_the_default_timezone_is_celerys(self):
        store(Schedule(kind="crontab", value="0 7 * * *"))
        assert str(row().crontab.timezone) == str(celery.current_app.timezone)

    def test_nothing_is_written_when_nothing_changed(self):
        store(AT_7, MINUTELY)
        seen = PeriodicTasks.last_change()
        assert not store(AT_7, MINUTELY).is_due
        assert PeriodicTasks.last_change() == seen

    def test_beat_is_told_of_a_change(self):
        store(AT_7)
        seen = PeriodicTasks.last_change()
        assert store(MINUTELY).schedules == [f"{NAME} (changed)"]
        assert PeriodicTasks.last_change() > seen
        assert row().crontab is None

    def test_a_new_time_does_not_fire_for_a_moment_that_is_past(self):
        store(AT_7)
        PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(days=3))
        store(Schedule(kind="crontab", value="* * * * *"))
        assert row().last_run_at is None

    def test_a_new_payload_keeps_the_rhythm(self):
        store(MINUTELY)
        seen = timezone.now() - timedelta(seconds=30)
        PeriodicTask.objects.update(last_run_at=seen)
        store(Schedule(kind="interval", value="60", payload={"order": 2}))
        assert row().last_run_at == seen

    def test_the_file_owns_timing_and_payload(self):
        store(AT_7)
        PeriodicTask.objects.update(kwargs='{"name": "shop.ORDER", "payload": {"order": 9}}')
        assert store(AT_7).schedules == [f"{NAME} (changed)"]
        assert json.loads(row().kwargs)["payload"] == {"order": 1}

    def test_the_admin_owns_the_switch_and_the_rest(self):
        store(Schedule(kind="interval", value="60", enabled=False))
        assert not row().enabled
        switch(True)
        PeriodicTask.objects.update(queue="slow", priority=3)
        store(Schedule(kind="interval", value="90", enabled=False))
        assert (row().enabled, row().queue, row().priority) == (True, "slow", 3)
        switch(False)
        store(MINUTELY)
        assert not row().enabled

    def test_surplus_entries_are_deleted(self):
        store(AT_7, MINUTELY)
        assert store(AT_7).schedules == [f"{NAME} #2 (deleted)"]
        assert store().schedules == [f"{NAME} (deleted)"]
        assert rows() == []

    def test_a_workflow_that_left_the_files_is_switched_off_and_on_again(self):
        store(AT_7)
        assert versions.store([]).schedules == [f"{NAME} (switched off)"]
        assert not row().enabled
        assert not versions.store([]).is_due
        assert store(AT_7).schedules == [f"{NAME} (switched on)"]
        assert (row().enabled, row().description) == (True, "")
        assert not store(AT_7).is_due

    def test_what_the_admin_switched_off_stays_off_when_the_workflow_comes_back(self):
        store(AT_7)
        switch(False)
        versions.store([])
        store(AT_7)
        assert not row().enabled

    def test_periodic_tasks_of_others_are_left_alone(self):
        every = IntervalSchedule.objects.create(every=5, period="minutes")
        by_hand = PeriodicTask.objects.create(
            name="nightly orders", task=beat_rows.TASK, interval=every, kwargs='{"name": "shop.ORDER"}'
        )
        foreign = PeriodicTask.objects.create(name="director: x.Y", task="other", interval=every)
        store(AT_7)
        versions.store([])
        by_hand.refresh_from_db()
        foreign.refresh_from_db()
        assert by_hand.enabled
        assert foreign.enabled

    def test_without_beat(self, settings):
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_celery_beat"]
        assert store(AT_7).schedules == []
        assert descriptions.describe(Workflow.objects.get()) == []


class TestDescribe:
    def describe(self):
        return descriptions.describe(Workflow.objects.get(name="shop.ORDER"))

    def test_shape(self):
        store(AT_7, MINUTELY)
        crontab, interval = self.describe()
        following = crontab.pop("next_run_at")
        assert crontab == {
            "name": NAME,
            "kind": "crontab",
            "value": "0 7 * * 1-5",
            "timezone": "Europe/Paris",
            "enabled": True,
        }
        assert timezone.now() < following < timezone.now() + timedelta(days=4)
        assert (interval["kind"], interval["value"], interval["timezone"]) == ("interval", "60", None)
        assert timezone.now() < interval["next_run_at"] <= timezone.now() + timedelta(seconds=60)

    def test_a_schedule_that_is_off_has_no_next_time(self):
        store(Schedule(kind="interval", value="60", enabled=False))
        assert [(s["enabled"], s["next_run_at"]) for s in self.describe()] == [(False, None)]

    @pytest.mark.parametrize("arguments", [{"kwargs": '{"name": "shop.ORDER"}'}, {"args": '["shop.ORDER", {}]'}])
    def test_those_made_by_hand_are_included(self, arguments):
        store()
        every = IntervalSchedule.objects.create(every=5, period="minutes")
        PeriodicTask.objects.create(name="by hand", task=beat_rows.TASK, interval=every, **arguments)
        assert [(s["name"], s["value"]) for s in self.describe()] == [("by hand", "300")]

    def test_what_nobody_can_read_does_no_harm(self):
        store()
        strange = CrontabSchedule.objects.create(minute="99")
        PeriodicTask.objects.create(name="1", task=beat_rows.TASK, crontab=strange, args='["shop.ORDER"]')
        PeriodicTask.objects.create(name="2", task=beat_rows.TASK, crontab=strange, kwargs="{no json")
        assert [(s["name"], s["next_run_at"]) for s in self.describe()] == [("1", None)]

    def test_many_take_one_query(self, django_assert_num_queries):
        versions.store([definition(f"shop.W{n}", schedules=(AT_7, MINUTELY)) for n in range(20)])
        workflows = list(Workflow.objects.all())
        with django_assert_num_queries(1):
            found = descriptions.describe_many(workflows)
        assert {len(described) for described in found.values()} == {2}


def fire(name=NAME, sent=None, payload=None, workflow="shop.ORDER"):
    """What a worker does with a message of beat's."""
    sent = sent or datetime.now(UTC)
    headers = {"periodic_task_name": name, "celery_beat_task": True, SENT_AT: sent.isoformat()}
    result = run_workflow.apply(
        kwargs={"name": workflow, "payload": payload or {}}, headers=headers, task_id=str(uuid4()), throw=True
    )
    return result.get()


MONDAY = datetime(2026, 11, 23, 6, 0, 1, tzinfo=UTC)


@pytest.fixture
def all_slots(settings):
    """Every message starts the run of its own slot, however late it is."""
    settings.DIRECTOR = {"MAX_MISSED_SLOTS": 10**9}


@pytest.mark.usefixtures("all_slots")
class TestFiring:
    def test_starts_a_run_for_the_slot(self):
        store(AT_7)
        run = Run.objects.get(pk=fire(sent=MONDAY, payload={"order": 1}))
        assert (run.trigger, run.schedule, run.payload) == (Trigger.SCHEDULE, NAME, {"order": 1})
        assert run.scheduled_for == MONDAY.replace(second=0)

    def test_a_second_beat_starts_no_second_run(self, caplog):
        store(AT_7)
        caplog.set_level("INFO", "django_director")
        fire(sent=MONDAY)
        assert fire(sent=MONDAY + timedelta(seconds=3)) is None
        assert Run.objects.count() == 1
        assert "two beats may run" in caplog.text

    def test_a_message_that_comes_twice_is_nobodys_second_beat(self, caplog):
        store(AT_7)
        caplog.set_level("INFO", "django_director")
        fire(sent=MONDAY)
        assert fire(sent=MONDAY) is None
        assert "the run for its time exists already." in caplog.text

    def test_the_next_slot_has_a_run_of_its_own(self):
        store(AT_7)
        assert fire(sent=MONDAY)
        assert fire(sent=MONDAY + timedelta(days=1))

    def test_a_backlog_of_an_interval_is_worked_off_in_any_order(self):
        store(MINUTELY)
        times = [MONDAY + timedelta(seconds=60.2 * number) for number in range(6)]
        for number in (0, 3, 1, 2, 5, 4):
            assert fire(sent=times[number]) is not None
            assert fire(sent=times[number] + timedelta(seconds=10)) is None
        slots = Run.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True)
        for slot, sent in zip(slots, times, strict=True):
            assert abs(slot - sent) <= timedelta(seconds=31)

    def test_two_schedules_of_one_workflow_do_not_disturb_each_other(self):
        store(MINUTELY, MINUTELY)
        assert fire(sent=MONDAY)
        assert fire(f"{NAME} #2", sent=MONDAY)

    def test_a_schedule_that_is_gone_still_starts_what_it_sent(self):
        store()
        assert fire("renamed since", sent=MONDAY)
        assert fire("renamed since", sent=MONDAY) is None

    def test_by_hand_it_always_starts(self):
        store(AT_7)
        for _ in range(2):
            run_workflow.apply(args=["shop.ORDER"], throw=True)
        run = run_workflow("shop.ORDER", {"order": 3})
        assert Run.objects.get(pk=run).payload == {"order": 3}
        assert set(Run.objects.values_list("trigger", "schedule")) == {(Trigger.SCHEDULE, None)}
        assert Run.objects.count() == 3

    @pytest.mark.skipif(celery.VERSION < (5, 7), reason="beat does not mark its messages")
    def test_run_now_in_beats_admin_is_no_firing(self):
        store(AT_7)
        headers = {"periodic_task_name": NAME}
        for _ in range(2):
            run_workflow.apply(args=["shop.ORDER"], headers=headers, throw=True)
        assert Run.objects.count() == 2

    def test_errors_are_clear_and_start_nothing(self):
        store(AT_7, schema={"type": "object", "required": ["order"]})
        with pytest.raises(StartRefused, match="order"):
            fire()
        with pytest.raises(StartRefused, match=r"shop\.ODER”.* no workflow of this name"):
            fire(workflow="shop.ODER")
        versions.store([])
        with pytest.raises(StartRefused, match="has left the workflow files"):
            fire(payload={"order": 1})
        assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)  # beat closes connections
@pytest.mark.parametrize("task_cls", ["celery:Task", "django_director.celery:DirectorTask"])
def test_the_message_that_beat_sends_is_understood(task_cls):
    """Beat's own scheduler publishes to a broker in memory; what arrives there is run."""
    store(Schedule(kind="interval", value="60", payload={"order": 5}))
    app = Celery("beat", broker="memory://", task_cls=task_cls, set_as_current=False)
    app.conf.task_default_queue = f"beat-{uuid4()}"
    scheduler = DatabaseScheduler(app=app, lazy=True)
    scheduler.apply_async(scheduler.Entry(row(), app=app))
    with app.connection_for_read() as broker:
        message = broker.SimpleQueue(app.conf.task_default_queue).get(timeout=5)
    assert abs(datetime.fromisoformat(message.headers[SENT_AT]) - datetime.now(UTC)) < timedelta(seconds=10)
    arguments, keywords, _ = message.payload
    app.tasks[message.headers["task"]].apply(
        arguments, keywords, headers=dict(message.headers), task_id=message.headers["id"], throw=True
    )
    run = Run.objects.get()
    assert (run.schedule, run.payload) == (NAME, {"order": 5})
    assert abs(run.scheduled_for - datetime.now(UTC)) < timedelta(seconds=40)


HOUR = timedelta(hours=1)
WEEKEND = 48


def hourly(kind):
    """A schedule that was due 20 minutes ago, and that time: in this test no further slot falls due."""
    last = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=20)
    crontab = Schedule(kind="crontab", value=f"{last.minute} * * * *", payload={"order": 1})
    return (crontab if kind == "crontab" else Schedule(kind="interval", value="3600", payload={"order": 1})), last


def slots_of_runs():
    return list(Run.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True))


def missed(caplog):
    return [record.number for record in caplog.records if getattr(record, "action", "") == "missed_slots"]


@pytest.mark.parametrize("kind", ["crontab", "interval"])
class TestMissedSlots:
    """What a worker that was away for two days finds of a schedule that is due each hour."""

    def backlog(self, kind, *, until=0, drift=0.2):
        """Store the schedule with a run before the weekend, and fire what beat has sent since."""
        entry, last = hourly(kind)
        store(entry)
        sent = [
            last - HOUR * ago + timedelta(seconds=drift * (WEEKEND - ago)) for ago in range(WEEKEND, until - 1, -1)
        ]
        with override_settings(DIRECTOR={"MAX_MISSED_SLOTS": 10**9}):
            assert fire(sent=sent[0])
        return last, sent[1:]

    def test_only_the_last_one_starts(self, kind, caplog):
        last, messages = self.backlog(kind)
        started = [fire(sent=sent) for sent in messages]
        assert [run for run in started if run] == started[:1]
        assert slots_of_runs()[1:] == [last]
        assert missed(caplog) == [WEEKEND - 1]
        assert "director: shop.ORDER” has missed 47 slots since" in caplog.text

    def test_so_many_of_the_last_start(self, kind, caplog, settings):
        last, messages = self.backlog(kind)
        settings.DIRECTOR = {"MAX_MISSED_SLOTS": 3}
        started = [fire(sent=sent) for sent in messages]
        assert len([run for run in started if run]) == 3
        assert slots_of_runs()[1:] == [last - 2 * HOUR, last - HOUR, last]
        assert missed(caplog) == [WEEKEND - 3]

    def test_without_a_run_before(self, kind, caplog):
        last, messages = self.backlog(kind)
        Run.objects.all().delete()
        for sent in messages:
            fire(sent=sent)
        (slot,) = slots_of_runs()
        # The first slot of an interval is counted from when the workflow was stored.
        assert slot == last or (kind == "interval" and last - HOUR <= slot <= timezone.now())
        assert missed(caplog) in ([WEEKEND - 1], [WEEKEND])

    def test_beat_was_off_too_and_sends_once_when_it_returns(self, kind):
        last, messages = self.backlog(kind, until=24)
        for sent in messages:
            fire(sent=sent)
        assert slots_of_runs()[1:] == [last]
        assert fire() is None
        assert slots_of_runs()[1:] == [last]

    def test_only_beat_was_off(self, kind):
        last, _ = self.backlog(kind, until=WEEKEND)
        assert fire()
        (slot,) = slots_of_runs()[1:]
        assert abs(slot - last) <= HOUR / 2

    def test_messages_in_any_order_start_one(self, kind):
        last, messages = self.backlog(kind)
        random.Random(7).shuffle(messages)
        for sent in messages:
            fire(sent=sent)
        assert slots_of_runs()[1:] == [last]

    def test_the_run_is_made_of_what_the_schedule_says_now(self, kind):
        _, messages = self.backlog(kind)
        PeriodicTask.objects.update(kwargs='{"name": "shop.ORDER", "payload": {"order": 2}}')
        run = Run.objects.get(pk=fire(sent=messages[0], payload={"order": 1}))
        assert run.payload == {"order": 2}
        PeriodicTask.objects.update(kwargs="{}", args='["shop.ORDER", {"order": 3}]')
        Run.objects.filter(pk=run.pk).delete()
        assert Run.objects.get(pk=fire(sent=messages[0])).payload == {"order": 3}

    def test_no_slot_is_due_after_it_was_switched_off(self, kind):
        last, messages = self.backlog(kind, until=24)
        switch(False)
        PeriodicTask.objects.update(date_changed=messages[-1] + timedelta(minutes=5))
        for sent in messages:
            fire(sent=sent)
        (slot,) = slots_of_runs()[1:]
        assert slot == last - 24 * HOUR

    def test_the_message_whose_run_has_caught_up_is_nobodys_second_beat(self, kind, caplog):
        _, messages = self.backlog(kind)
        caplog.set_level("INFO", "django_director")
        for sent in messages:
            fire(sent=sent)
        assert "the run for its time exists already." in caplog.text
        assert "two beats" not in caplog.text

    def test_a_duplicate_that_is_late_starts_nothing_more(self, kind):
        last, messages = self.backlog(kind)
        for sent in messages:
            fire(sent=sent)
            assert fire(sent=sent + timedelta(seconds=3)) is None
        assert slots_of_runs()[1:] == [last]


def test_a_schedule_whose_queue_is_always_late_keeps_its_rhythm():
    """Each message is later than the next slot: if all were left out, the workflow would never run again."""
    seconds = 0.3
    store(Schedule(kind="interval", value=str(seconds)))
    for _ in range(10):
        fire(sent=datetime.now(UTC) - timedelta(seconds=2.5 * seconds))
        time.sleep(seconds)  # the pace of beat
    slots = slots_of_runs()
    assert len(slots) >= 8
    assert min(later - earlier for earlier, later in pairwise(slots)) > timedelta(seconds=seconds * 0.6)


def test_a_backlog_of_a_schedule_that_is_gone_starts_one():
    store()
    now = datetime.now(UTC)
    started = [fire("renamed since", sent=now - ago * HOUR) for ago in (3, 2, 1)]
    assert [run is not None for run in started] == [True, False, False]
    assert fire("renamed since", sent=datetime.now(UTC))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["crontab", "interval"])
def test_two_workers_that_come_back_start_one_run(kind):
    entry, last = hourly(kind)
    store(entry)
    barrier, errors = threading.Barrier(2), []

    def work(share):
        try:
            barrier.wait(20)
            for ago in range(WEEKEND - share, 0, -2):
                fire(sent=last - ago * HOUR + timedelta(seconds=0.2 * (WEEKEND - ago)))
        except BaseException as error:  # shown by the main thread
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(share,)) for share in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(slots_of_runs()) == 1


@pytest.mark.usefixtures("all_slots")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("entry", [AT_7, MINUTELY], ids=["crontab", "interval"])
def test_two_beats_at_once_start_one_run(entry):
    store(entry)
    started, errors = [], []
    slots = [MONDAY + timedelta(days=number) for number in range(10)]
    barrier = threading.Barrier(2)

    def beat(late):
        try:
            for slot in slots:
                barrier.wait(20)
                started.append(fire(sent=slot + timedelta(milliseconds=late)))
        except BaseException as error:  # shown by the main thread
            barrier.abort()
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=beat, args=(late,)) for late in (0, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    expected = 8 if entry is AT_7 else 10  # at the weekend nothing is due
    assert Run.objects.count() == len([run for run in started if run]) == expected
