"""Texts that the engine says in English, on pages in another language."""

import itertools
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.utils.translation import override

from django_director.admin import history_lines, turns
from django_director.engine import history
from django_director.engine.concurrency.pending_reasons import Waiting

RUN = UUID(int=7)


@pytest.mark.parametrize("verb", history.PAST)
def test_each_deed_of_the_history_is_known(verb):
    assert history.PAST[verb] in history_lines.DEEDS


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Canceled (admin)", "Отмена (админка)"),
        ("FETCH: STOCK: Skipped (API)", "FETCH: STOCK: Пропуск (API)"),
        (f"Relaunched from {RUN} (command)", f"Повторный запуск по образцу {RUN} (команда)"),
        (
            "Schedule “Started (nightly)” switched off (admin)",
            "Расписание «Started (nightly)» выключено (админка)",
        ),
        ("Written by somebody else", "Written by somebody else"),
    ],
)
def test_lines_of_the_history_are_translated(line, shown):
    with override("ru"):
        assert history_lines.translate(line) == shown
    with override("en"):
        assert history_lines.translate(line) == line


@pytest.mark.parametrize(
    ("behind", "until", "keyed"),
    list(itertools.product((None, RUN), (None, datetime(2026, 1, 1, tzinfo=UTC)), (True, False))),
)
def test_what_a_pending_run_waits_for_is_said_as_the_commands_say_it(behind, until, keyed):
    waiting = Waiting(behind=behind, until=until, keyed=keyed)
    with override("en"):
        assert turns.describe(waiting) == str(waiting)
    with override("ru"):
        # The page makes a link of the run at the end.
        assert turns.describe(waiting).endswith(str(behind)) == (behind is not None and until is None)
