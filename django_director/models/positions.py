"""Conditions on the positions of tasks, given as half-open spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from django.db.models import Q

if TYPE_CHECKING:
    from django_director.graph import Span

SHORT_SPAN = 4
"""Of a span up to this length a query lists the positions; a longer span becomes a range."""

LONG_SPANS = 100
"""With more ranges than this, a query lists all positions instead.

A database tests each range for each row, and SQLite refuses a query with a thousand ranges.
"""

FEW = 8
"""With more spans than this, a query also names their first and last position, so that a database reads less."""

LISTED = 10_000
"""How many positions one statement lists at most: some databases limit the number of parameters."""


def positions_in(spans: Iterable[Span]) -> Q:
    """Return the condition that the position of a task lies in one of the half-open ``spans``."""
    ranges = list(spans)
    single: list[int] = []
    long: list[Span] = []
    for start, stop in ranges:
        if stop - start <= SHORT_SPAN:
            single.extend(range(start, stop))
        else:
            long.append((start, stop))
    if len(long) > LONG_SPANS:
        single += [position for start, stop in long for position in range(start, stop)]
        long = []
    where = Q()
    for start, stop in long:
        where |= Q(position__gte=start, position__lt=stop)
    if single or not where:
        where |= Q(position__in=single)
    if len(ranges) > FEW:
        # So a database reads only this part of the run, and not the whole run again for each of many batches.
        first, last = min(start for start, _ in ranges), max(stop for _, stop in ranges)
        where = Q(position__gte=first, position__lt=last) & where
    return where


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Yield the spans in lists, each of which is short enough for one statement."""
    batch: list[Span] = []
    size = 0
    for start, stop in spans:
        if batch and size + stop - start > LISTED:
            yield batch
            batch, size = [], 0
        batch.append((start, stop))
        size += stop - start
    if batch:
        yield batch
