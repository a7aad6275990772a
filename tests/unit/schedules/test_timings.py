"""Which slots of a schedule were missed, and which are the last."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.schedules.timings import Timing
from tests.unit.schedules.test_slots import PARIS, at, cron

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MINUTELY = Timing(cron=cron(), zone=UTC)
NIGHTLY = Timing(cron=cron(minutes=[30], hours=[2]), zone=PARIS)
HALF_HOURLY = Timing(cron=cron(minutes=[0, 30]), zone=PARIS)
EVERY_MINUTE = Timing(interval=MINUTE)
ONCE = Timing(once=at("2026-01-01T00:00"))
NOON = at("2026-11-23T12:00")


@pytest.mark.parametrize("timing", [MINUTELY, EVERY_MINUTE], ids=["crontab", "interval"])
@pytest.mark.parametrize(
    ("seconds", "limit", "expected"),
    [
        (0, 1, False),
        (59, 1, False),
        (60, 1, True),
        (61, 2, False),
        (120, 2, True),
        (-5, 1, False),
        (3600, 61, False),
    ],
)
def test_a_slot_is_missed_when_a_later_one_is_due(timing, seconds, limit, expected):
    assert timing.is_missed(NOON, NOON + timedelta(seconds=seconds), limit) is expected


@pytest.mark.slow
@pytest.mark.parametrize("timing", [MINUTELY, EVERY_MINUTE], ids=["crontab", "interval"])
def test_the_last_slots_of_a_weekend(timing):
    until = NOON + timedelta(days=2, seconds=30)
    assert timing.count(NOON, until, 5_000) == 2_880
    assert timing.count(NOON, until, 100) == 100
    assert timing.last(NOON, until, 1) == NOON + timedelta(days=2)
    assert timing.last(NOON, until, 3) == NOON + timedelta(days=2) - 2 * MINUTE
    assert timing.last(NOON, NOON + 2 * MINUTE, 9) == NOON + MINUTE
    assert timing.last(NOON, NOON + MINUTE / 2, 1) is None


def test_what_happens_once_is_never_missed():
    assert not ONCE.is_missed(NOON, NOON + timedelta(days=400), 1)
    assert ONCE.last(NOON, NOON + timedelta(days=400), 1) is None


def test_a_minutely_crontab_is_asked_at_no_cost_whether_thousands_are_wanted():
    assert not MINUTELY.is_missed(NOON, NOON + timedelta(days=365), 10**9)


class TestSummerTime:
    """In Paris 02:30 does not exist on 29 March 2026 and comes twice on 25 October 2026."""

    def test_the_night_that_is_jumped_over_is_missed_by_the_next(self):
        slot, following = at("2026-03-29T01:30"), at("2026-03-30T00:30")
        assert not NIGHTLY.is_missed(slot, following - MINUTE, 1)
        assert NIGHTLY.is_missed(slot, following, 1)
        assert NIGHTLY.last(at("2026-03-27T01:30"), following - MINUTE, 1) == slot

    def test_the_night_that_comes_twice_is_one_slot(self):
        slot = at("2026-10-25T00:30")
        assert not NIGHTLY.is_missed(slot, at("2026-10-25T01:30:01"), 1)
        assert NIGHTLY.count(at("2026-10-24T00:30"), at("2026-10-26T01:30"), 9) == 2

    def test_no_slot_is_missed_in_an_hour_that_comes_again(self):
        before = at("2026-10-24T22:00")
        assert HALF_HOURLY.count(before, before + 10 * HOUR, 99) == 18
        assert HALF_HOURLY.last(before, before + 3.7 * HOUR, 2) == before + 2 * HOUR
        assert not HALF_HOURLY.is_missed(at("2026-10-25T00:30"), at("2026-10-25T01:50"), 1)
        spring = at("2026-03-28T23:00")
        assert HALF_HOURLY.count(spring, spring + 5 * HOUR, 99) == 10


timings = st.one_of(
    st.builds(
        lambda minutes, hours, zone: Timing(cron=cron(minutes=minutes, hours=hours), zone=ZoneInfo(zone)),
        st.sets(st.integers(0, 59), min_size=1, max_size=3),
        st.sets(st.integers(0, 23), min_size=1, max_size=3),
        st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    ),
    st.builds(lambda seconds: Timing(interval=timedelta(seconds=seconds)), st.integers(1_800, 90_000)),
)


@given(
    timings,
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    st.integers(1, 4),
    st.floats(0, 6),
)
def test_of_some_days_the_last_slots_are_found_from_either_end(timing, start, limit, days):
    until = start + timedelta(days=days)
    first = timing.last(start, until, 10**6)
    number = timing.count(start, until, 10**6)
    assert (first is None) == (number == 0)
    wanted = timing.last(start, until, limit)
    if wanted is not None:
        assert start < wanted <= until
        left = timing.count(wanted, until, 10**6)
        assert left == min(limit, number) - 1
        assert timing.is_missed(wanted, until, limit) is False
