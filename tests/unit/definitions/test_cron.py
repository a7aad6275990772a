"""Crontabs: what is accepted, Celery accepts too, and with the same meaning."""

from __future__ import annotations

import pytest
from celery.schedules import ParseException, crontab, crontab_parser
from hypothesis import given
from hypothesis import strategies as st

from django_director.definitions.reader import cron

RANGES = ((60, 0), (24, 0), (31, 1), (12, 1), (7, 0))
atom = st.one_of(
    st.just("*"),
    st.integers(0, 70).map(str),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map("{0[0]}-{0[1]}".format),
    st.sampled_from(["mon", "fri-mon", "jan", "Dec-feb", "x", "", "-1", "sunday"]),
)
part = st.tuples(atom, st.sampled_from(["", "", "/2", "/0", "/", "/99"])).map("".join)


@given(st.lists(part, min_size=1, max_size=3).map(",".join), st.integers(0, 4))
def test_agrees_with_celery(text, index):
    field, (size, lowest) = cron._FIELDS[index], RANGES[index]
    try:
        expected = crontab_parser(size, lowest).parse(text)
    except (ParseException, ValueError, IndexError):
        with pytest.raises(cron.CrontabError):
            cron._values(text, field)
        return
    try:
        assert cron._values(text, field) == expected
    except cron.CrontabError:
        # Celery also reads a weekday as a minute, and ignores what stands behind a part.
        assert any(char.isalpha() for char in text) or "/" in text


@pytest.mark.parametrize("text", ["0 7 31 4 *", "0 0 30 2 *", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *"])
def test_refused(text):
    with pytest.raises(cron.CrontabError):
        cron.normalise(text)


@pytest.mark.parametrize("text", ["0 7 * * 1-5", "0 0 29 2 *", "0 0 31 4,5 *", "*/15 22-2 1,15 * sun"])
def test_accepted(text):
    minute, hour, day, month, weekday = text.split()
    assert cron.normalise(text) == text
    crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
