"""What a process knows of the items that `max_parallel` holds back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from django_director.engine.attempts.claim import RunSnapshot
from django_director.engine.flow import held_items


@pytest.fixture
def run():
    return RunSnapshot(pk=uuid4(), generation=0, parent_task_id=None)


def test_the_search_begins_behind_all_that_has_begun(run):
    assert held_items.first(run, 1, 4) == 5
    held_items.note_begun(run, 1, 9)
    assert held_items.first(run, 1, 4) == 10
    held_items.note_begun(run, 1, 7)
    assert held_items.first(run, 1, 4) == 10
    assert held_items.first(run, 1, 30) == 31
    assert held_items.first(run, 2, 4) == 5
    again = RunSnapshot(pk=run.pk, generation=1, parent_task_id=None)
    assert held_items.first(again, 1, 4) == 5


def test_a_search_in_vain_is_not_repeated_for_a_while(run, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(held_items.time, "monotonic", lambda: now[0])
    assert held_items.may_be(run, 1)
    held_items.note_begun(run, 1, 9)
    held_items.note_none(run, 1)
    assert not held_items.may_be(run, 1)
    assert held_items.may_be(run, 2)
    assert held_items.first(run, 1, 4) == 10
    now[0] += held_items.NONE_FOR
    assert held_items.may_be(run, 1)


def test_few_maps_are_remembered(run):
    held_items.note_begun(run, 0, 9)
    for position in range(1, held_items.MAPS_KEPT + 1):
        held_items.note_begun(run, position, 9)
    assert held_items.first(run, 0, 4) == 5
    assert held_items.first(run, 1, 4) == 10
