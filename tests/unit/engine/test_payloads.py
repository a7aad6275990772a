"""Which payloads a process keeps, and how much a claim reads of one."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from django_director.engine.attempts import payloads
from django_director.engine.attempts.payloads import Payload, Reading


def kept_text(run_id: UUID, characters: int) -> Payload:
    return payloads.keep(run_id, None, '"' + "x" * (characters - 2) + '"')


def test_those_asked_for_last_are_kept_as_far_as_there_is_room():
    half = payloads.KEPT // 2
    first, second, third = uuid4(), uuid4(), uuid4()
    kept_text(first, half - payloads.OVERHEAD)
    kept_text(second, half - payloads.OVERHEAD)
    assert payloads.kept(first) is not None
    kept_text(third, 100)
    assert payloads.kept(second) is None
    assert payloads.kept(first) is not None
    assert payloads.kept(third) is not None


def test_one_that_is_too_large_takes_no_room_from_others():
    small, large = uuid4(), uuid4()
    kept_text(small, 100)
    payload = kept_text(large, payloads.KEPT + 1)
    assert len(payload.value) == payloads.KEPT - 1
    assert payloads.kept(large) is None
    assert payloads.kept(small) is not None


def test_the_number_of_small_ones_is_bounded():
    first = uuid4()
    kept_text(first, 2)
    for _ in range(payloads.KEPT // payloads.OVERHEAD):
        kept_text(uuid4(), 2)
    assert payloads.kept(first) is None


@pytest.mark.parametrize(
    ("is_used", "known", "wanted"),
    [
        (False, None, Reading.IF_SMALL),
        (True, None, Reading.WHOLE),
        (False, Payload(uuid4(), "{}"), Reading.NONE),
        (True, Payload(uuid4(), "{}"), Reading.NONE),
        # Known not to be small.
        (False, Payload(uuid4()), Reading.NONE),
        (True, Payload(uuid4()), Reading.WHOLE),
    ],
)
def test_a_claim_reads_what_is_used_and_not_known(is_used, known, wanted):
    assert payloads.reading(is_used, known) is wanted


def test_a_copy_is_nobody_elses():
    payload = Payload(uuid4(), '{"list": [1, {"a": 2}]}')
    mine = payload.copy()
    mine["list"][1]["a"] = 3
    mine["list"].append(4)
    assert payload.value == payload.copy() == {"list": [1, {"a": 2}]}
    assert payload.value is payload.value
