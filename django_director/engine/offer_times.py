"""Times at which a task that nobody could take is offered again: the longer nobody could, the later."""

from __future__ import annotations

from typing import Final

from django.db.models import Case, When

from django_director.db.functions import later

OFFERS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds until a task is offered again."""


def next_offer(since: str, stretch: float = 1.0) -> Case:
    """Return the time of the next offer; the column ``since`` says since when nobody could take the task.

    MySQL evaluates assignments in order, so set this before that column. The delay is longer by the factor
    ``stretch``.
    """
    *short, longest = OFFERS
    offers = [When(**{f"{since}__gt": later(-2 * delay)}, then=later(delay * stretch)) for delay in short]
    first = When(**{f"{since}__isnull": True}, then=later(OFFERS[0] * stretch))
    return Case(first, *offers, default=later(longest * stretch))
