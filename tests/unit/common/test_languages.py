from django.utils.translation import gettext, override

from django_director.common.languages import count_of, in_english, lazy_text, number
from django_director.status import TaskStatus


def test_a_text_that_is_kept_is_in_the_language_of_who_reads_it():
    with override("ru"):
        kept = lazy_text(gettext, "Runs")
        assert str(kept) == "Запуски"
    with override("en"):
        assert str(kept) == "Runs"


def test_programs_get_english_whoever_asks():
    with override("ru"):
        assert in_english(gettext, "Runs") == "Runs"
        assert gettext("Runs") == "Запуски"


def test_numbers_have_the_signs_of_the_language():
    with override("en"):
        assert (number(12345), number(3.25, ".1f")) == ("12,345", "3.2")
        assert count_of(TaskStatus.FAILED.label, 12345) == "12,345 failed"
    with override("ru"):
        assert (number(12345), number(3.25, ".1f")) == ("12\u00a0345", "3,2")
        assert count_of(TaskStatus.FAILED.label, 12345) == "ошибка: 12\u00a0345"
