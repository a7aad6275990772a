"""The counters of a map's items: a tree of whatever size, and ids that nobody has to ask for."""

from __future__ import annotations

from collections import Counter

import pytest

from django_director.common import ids
from django_director.graph import ARITY, items

SIZES = [1, 2, 63, 64, 65, 4_096, 4_097, 262_145]


@pytest.mark.parametrize("size", SIZES)
def test_each_counter_counts_what_leads_to_it(size):
    totals = dict(items.totals(7, size))
    members = Counter(items.counter(7, index) for index in range(size))
    level = list(members)
    while len(level) > 1:
        parents = Counter(items.above(number) for number in level)
        members.update(parents)
        level = list(parents)
    assert members == Counter(totals)
    assert max(totals.values()) <= ARITY
    first, end = items.counters(7)
    assert all(first <= number < end for number in totals)
    (topmost,) = level
    assert items.above(topmost) not in totals


def test_counters_of_maps_are_apart_and_above_those_of_junctions():
    assert items.counters(0)[0] == items.FIRST_COUNTER
    assert items.counters(6)[1] == items.counters(7)[0]
    assert items.counters(16_000_000)[1] < 2**63


def test_ids_of_items_are_neighbours_and_differ():
    run = ids.new_run_id()
    made = [ids.item_id(run, position, index) for position in (3, 4) for index in range(1000)]
    assert len(set(made)) == 2000
    assert made[:1000] == sorted(made[:1000])
    assert made[999].int - made[0].int == 999
    assert all(task.version == 7 and task.int >> 64 == run.int >> 64 for task in made)
    assert not set(made) & {ids.task_id(run, position) for position in range(2000)}
    assert ids.item_hex(run, 3, 5) == ids.item_id(run, 3, 5).hex
