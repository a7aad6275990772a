"""Spans as conditions: few ranges as such, scattered ones as lists, in batches that a database takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from django_director.graph import expand, spans
from django_director.models import Task
from django_director.models.positions import LISTED, LONG_SPANS, batches, positions_in

SCATTERED = [(start, start + 6) for start in range(0, 70_000, 7)]


@given(st.sets(st.integers(0, 300)))
def test_batches_hold_the_same(positions):
    found = spans(positions)
    assert [span for batch in batches(found) for span in batch] == list(found)


def test_one_range_is_one_batch_and_scattered_ones_are_bounded():
    assert list(batches([(0, 1_000_000)])) == [[(0, 1_000_000)]]
    sizes = [sum(1 for _ in expand(batch)) for batch in batches(SCATTERED)]
    assert len(sizes) == 7
    assert max(sizes) <= LISTED
    assert list(batches([(0, 5), (10, LISTED * 2), (LISTED * 3, LISTED * 3 + 1)])) == [
        [(0, 5)],
        [(10, LISTED * 2)],
        [(LISTED * 3, LISTED * 3 + 1)],
    ]


def test_many_ranges_are_a_list():
    def sql(ranges):
        return str(Task.objects.filter(positions_in(ranges)).query)

    assert sql(SCATTERED[:LONG_SPANS]).count(" OR ") == LONG_SPANS - 1
    listed = sql(SCATTERED[: LONG_SPANS + 1])
    assert " OR " not in listed
    assert listed.count(", ") > 6 * LONG_SPANS
