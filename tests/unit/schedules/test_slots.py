from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django_celery_beat.tzcrontab import TzAwareCrontab
from hypothesis import given
from hypothesis import strategies as st

from django_director.schedules import slots
from django_director.schedules.slots import Cron

PARIS = ZoneInfo("Europe/Paris")
MINUTE = timedelta(minutes=1)
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


def cron(**fields):
    every = {
        "minutes": range(60),
        "hours": range(24),
        "days_of_month": range(1, 32),
        "months": range(1, 13),
        "days_of_week": range(7),
    }
    return Cron(**{name: frozenset(values) for name, values in {**every, **fields}.items()})


def at(text, zone=UTC):
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


WORKDAYS_AT_7 = cron(minutes=[0], hours=[7], days_of_week=range(1, 6))


@pytest.mark.parametrize(
    ("sent", "slot"),
    [
        ("2026-11-23T07:00:00", "2026-11-23T07:00"),
        ("2026-11-23T07:00:04", "2026-11-23T07:00"),
        ("2026-11-23T06:59:59.200", "2026-11-23T07:00"),  # beat's clock is a little early
        ("2026-11-23T06:59:58", "2026-11-20T07:00"),  # a Monday: the last was on Friday
        ("2026-11-23T15:30:00", "2026-11-23T07:00"),  # beat was away
        ("2026-11-22T12:00:00", "2026-11-20T07:00"),
    ],
)
def test_a_crontab_message_belongs_to_the_last_due_time(sent, slot):
    assert slots.crontab_slot(WORKDAYS_AT_7, at(sent, PARIS), PARIS) == at(slot, PARIS)


def test_the_zone_decides():
    sent = at("2026-07-01T05:00:01")
    assert slots.crontab_slot(cron(minutes=[0], hours=[7]), sent, PARIS) == at("2026-07-01T05:00")
    assert slots.crontab_slot(cron(minutes=[0], hours=[7]), sent, UTC) == at("2026-06-30T07:00")


def test_next_due():
    assert slots.next_due(WORKDAYS_AT_7, at("2026-11-20T07:00", PARIS), PARIS) == at("2026-11-23T07:00", PARIS)
    assert slots.next_due(WORKDAYS_AT_7, at("2026-11-20T06:59", PARIS), PARIS) == at("2026-11-20T07:00", PARIS)


def test_a_leap_day_is_found_and_an_impossible_day_is_not():
    leap = cron(minutes=[0], hours=[0], days_of_month=[29], months=[2])
    assert slots.last_due(leap, at("2027-05-05T00:00"), UTC) == at("2024-02-29T00:00")
    assert slots.next_due(leap, at("2026-05-05T00:00"), UTC) == at("2028-02-29T00:00")
    assert slots.next_due(cron(days_of_month=[31], months=[2]), at("2026-05-05T00:00"), UTC) is None


class TestSummerTime:
    """In Paris 02:30 does not exist on 29 March 2026 and comes twice on 25 October 2026."""

    nightly = cron(minutes=[30], hours=[2])
    half_hourly = cron(minutes=[0, 30])

    def test_a_time_that_is_jumped_over_has_one_slot_whenever_beat_sends(self):
        for sent in ("2026-03-29T01:30:00", "2026-03-29T01:30:01", "2026-03-29T03:00"):
            assert slots.crontab_slot(self.nightly, at(sent), PARIS) == at("2026-03-29T01:30")
        assert slots.crontab_slot(self.nightly, at("2026-03-29T00:59"), PARIS) == at("2026-03-28T01:30")

    def test_a_time_that_comes_twice_has_one_slot(self):
        for sent in ("2026-10-25T00:30:01", "2026-10-25T01:30:01"):
            assert slots.crontab_slot(self.nightly, at(sent), PARIS) == at("2026-10-25T00:30")

    def test_an_hour_that_comes_twice_has_its_slots_once(self):
        """Beat sends nothing while the clocks show an hour for the second time."""
        assert slots.next_due(self.half_hourly, at("2026-10-25T00:30"), PARIS) == at("2026-10-25T02:00")
        assert slots.next_due(self.half_hourly, at("2026-10-25T01:10"), PARIS) == at("2026-10-25T02:00")
        assert slots.crontab_slot(self.half_hourly, at("2026-10-25T01:10"), PARIS) == at("2026-10-25T00:30")

    @pytest.mark.parametrize("evening", ["2026-10-24T20:00", "2026-03-28T20:00"])
    @pytest.mark.parametrize(
        "spec",
        [
            *("30 2", "0 2", "0 3", "0,30 2", "*/15 2", "30 1,2", "30 2,3", "30 1,2,3", "30 *", "*/30 *", "0 */2"),
            *("30 */2", "*/15 */2", "0,20,40 1-3", "30 0-22", "55 2", "0 1-23", "30 2-23", "*/5 2-8", "*/10 1-2"),
        ],
    )
    def test_the_next_times_are_those_at_which_beat_sends(self, spec, evening):
        minute, hour = spec.split()
        start = at(evening)
        end = start + timedelta(hours=9)
        schedule = TzAwareCrontab(minute=minute, hour=hour, tz=PARIS)
        entry = cron(minutes=schedule.minute, hours=schedule.hour)
        assert list(due_times(entry, start, end)) == list(sent_times(schedule, start, end))

    def test_no_slot_of_the_jumped_hour_is_lost(self):
        slot = at("2026-03-28T23:00")
        for _ in range(6):
            following = slots.next_due(self.half_hourly, slot, PARIS)
            assert following - slot == timedelta(minutes=30)
            slot = following


def due_times(entry, start, end):
    slot = slots.next_due(entry, start, PARIS)
    while slot < end:
        yield slot
        slot = slots.next_due(entry, slot, PARIS)


def sent_times(schedule, start, end):
    """When a beat that runs all the time sends, which looks each five minutes."""
    now = last = start
    schedule.nowfun = lambda: now.astimezone(PARIS)
    while now < end:
        if schedule.is_due(last.astimezone(PARIS)).is_due:
            yield now
            last = now
        now += timedelta(minutes=5)


crons = st.builds(
    cron,
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=4),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=4),
    days_of_week=st.sets(st.integers(0, 6), min_size=1),
)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(crons, moments)
def test_next_and_last_agree(entry, moment):
    following = slots.next_due(entry, moment, PARIS)
    assert following > moment
    assert slots.last_due(entry, following, PARIS) == following
    assert slots.last_due(entry, following - timedelta(microseconds=1), PARIS) <= moment


class TestInterval:
    def slot(self, sent, previous):
        start = None if previous is None else ORIGIN + timedelta(seconds=previous)
        found = slots.interval_slot(ORIGIN + timedelta(seconds=sent), MINUTE, start, ORIGIN)
        return None if found is None else (found - ORIGIN).total_seconds()

    def test_the_first_slot_is_the_same_for_two_beats(self):
        assert self.slot(59.9, None) == self.slot(60.1, None) == 60

    @pytest.mark.parametrize(
        ("sent", "slot"), [(41, 60), (60.2, 60), (61, 60), (95, 120), (125, 120), (3600, 3600)]
    )
    def test_the_slot_is_when_it_was_due(self, sent, slot):
        assert self.slot(sent, 0) == slot

    @pytest.mark.parametrize("sent", [0, 0.1, 30, 39.9, -20])
    def test_much_less_than_an_interval_later_is_a_duplicate(self, sent):
        assert self.slot(sent, 0) is None

    def test_slots_do_not_fall_behind_a_beat_that_is_always_late(self):
        sent = 0.0
        for _ in range(1000):
            previous, sent = sent, sent + 60.25
            assert abs(self.slot(sent, previous) - sent) < 1

    def test_a_zero_interval_does_no_harm(self):
        assert slots.interval_slot(ORIGIN, timedelta(0), None, ORIGIN) == ORIGIN


@pytest.mark.parametrize(("now", "following"), [(0, 60), (59, 60), (60, 120), (61, 120), (3599, 3600), (-5, 60)])
def test_next_of_interval(now, following):
    found = slots.next_of_interval(ORIGIN + timedelta(seconds=now), MINUTE, ORIGIN)
    assert found == ORIGIN + timedelta(seconds=following)


@given(
    st.integers(2, 600),
    st.lists(st.floats(0, 0.02), min_size=5, max_size=40),
    st.floats(0, 1, exclude_max=True),
)
def test_two_beats_start_one_run_per_interval(seconds, delays, phase):
    """Each beat sends a little more than an interval after its last message; one began ``phase`` later."""
    interval = timedelta(seconds=seconds)
    first = [ORIGIN]
    for delay in delays:
        first.append(first[-1] + interval * (1 + delay))
    second = [sent + interval * phase for sent in first]
    previous, runs = None, []
    for sent in sorted(first + second):
        slot = slots.interval_slot(sent, interval, previous, ORIGIN)
        if slot is not None and slot not in runs:
            runs.append(slot)
            previous = sent
    span = (max(second) - ORIGIN) / interval
    assert len(runs) <= span + 2
    assert len(runs) >= len(first) - 1
