from datetime import UTC, datetime
from uuid import uuid4

import pytest

from django_director.presentation.causes import Failure, group, key_of

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)


def failure(error, workflow="shop.ORDER", minute=0):
    return Failure(uuid4(), hash(workflow), workflow, error, NOW.replace(minute=minute), "")


def see_all(_):
    return True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("503 for order 17", "503 for order 4711"),
        ("no answer from 10.0.0.7:5439", "no answer from 10.0.0.19:5440"),
        ("run 01a22cd8-aca3-7732-a76a-d6c344000000 is gone", "run 01a22cd8-0000-7732-a76a-ffffffffffff is gone"),
        ("object 0x7f3c2a1b9d60", "object 0x7f0000000010"),
    ],
)
def test_numbers_and_ids_make_no_other_cause(one, other):
    assert key_of("LOAD", one) == key_of("LOAD", other)


@pytest.mark.parametrize("other", ["ValueError: refused", "ConnectionError: timed out"])
def test_another_class_or_text_is_another_cause(other):
    assert key_of("LOAD", "ConnectionError: refused") != key_of("LOAD", other)


def test_items_of_a_map_fail_of_one_cause():
    assert key_of("CHECK[3]", "KeyError: sku") == key_of("CHECK[41]", "KeyError: sku")


def test_the_cause_of_most_runs_comes_first_and_its_newest_run_speaks_for_it():
    found = group(
        [
            failure("LOAD: E: try 9", minute=30),
            failure("FETCH: E: other", minute=20),
            failure("LOAD: E: try 1", "shop.RETURN", minute=10),
        ],
        see_all,
    )
    assert [(each.step, each.error, len(each.failures)) for each in found] == [
        ("LOAD", "E: try 9", 2),
        ("FETCH", "E: other", 1),
    ]
    assert found[0].since == NOW.replace(minute=10)
    assert set(found[0].workflows.values()) == {"shop.ORDER", "shop.RETURN"}


def test_without_permission_neither_the_text_nor_the_number_of_texts_is_told():
    errors = ["LOAD: ValueError: card 4111 of Ann", "LOAD: ValueError: card 5500 of Bob"]
    (found,) = group(map(failure, errors), lambda _: False)
    assert (found.step, found.error, len(found.failures)) == ("LOAD", "ValueError", 2)
    assert found.key == group([failure("LOAD: ValueError: anything")], lambda _: False)[0].key


def test_an_error_without_a_step():
    (found,) = group([failure("timed out")], see_all)
    assert (found.step, found.error) == ("", "timed out")
