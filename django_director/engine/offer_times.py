"""When a task is offered again that nobody could take: about as long after as that has been so by then."""

from __future__ import annotations

from typing import Final

from django.db.models import Case, When

from django_director.db.functions import later

OFFERS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds until a task is offered again."""


def next_offer(since: str, stretch: float = 1.0) -> Case:
    """The moment, by the column that says since when nobody could; not by a value that the same statement sets.

    MySQL evaluates assignments in order: put it before that column. It is later by the factor ``stretch``.
    """
    *short, longest = OFFERS
    offers = [When(**{f"{since}__gt": later(-2 * delay)}, then=later(delay * stretch)) for delay in short]
    first = When(**{f"{since}__isnull": True}, then=later(OFFERS[0] * stretch))
    return Case(first, *offers, default=later(longest * stretch))
