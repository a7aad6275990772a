"""How many runs have ended in each of the last hours, by their outcome, and how many failures were repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import TruncHour

from django_director.common.times import aware, stored
from django_director.models.querysets import RunQuerySet
from django_director.status import RunStatus

HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class Hour:
    """The root runs that have ended within one hour."""

    start: datetime
    counts: Counter[str] = field(default_factory=Counter)
    """How many of them have which outcome."""

    @property
    def end(self) -> datetime:
        return self.start + HOUR

    @property
    def total(self) -> int:
        return self.counts.total()


@dataclass(slots=True)
class Ended:
    """The root runs that have ended within some hours."""

    hours: Sequence[Hour]
    """The oldest first."""
    failed: int = 0
    """How many have failed within the period that was asked for, and were not repaired by a relaunch."""
    repaired: int = 0
    """How many were a success after a retry within that period."""
    relaunched: int = 0
    """How many have failed within that period and were repaired by a relaunch."""


def read_ended(runs: RunQuerySet, now: datetime, number: int, period: timedelta) -> Ended:
    """Return the runs of the last ``number`` hours up to ``now``, and what has failed within the last ``period``.

    It takes one query. Hours begin at full hours of UTC. Child runs do not count.
    """
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - HOUR * (number - 1)
    hours = {first + HOUR * index: Hour(first + HOUR * index) for index in range(number)}
    found = Ended(list(hours.values()))
    ended = runs.finished().roots().filter(finished_at__gte=stored(first)).order_by()
    zone, lately = UTC if settings.USE_TZ else None, Q(finished_at__gte=stored(now - period))
    rows = (
        ended.annotate(hour=TruncHour("finished_at", tzinfo=zone))
        .values_list("hour", "status")
        .annotate(
            Count("pk"),
            recent=Count("pk", filter=lately),
            repaired=Count("pk", filter=lately & Q(generation__gt=0)),
            relaunched=Count("pk", filter=lately & runs.is_repaired()),
        )
    )
    for local, status, count, recent, repaired, relaunched in rows:
        start = aware(local).astimezone(UTC).replace(minute=0)
        if start in hours:
            hours[start].counts[status] += count
        found.failed += recent - relaunched if status == RunStatus.FAILED else 0
        found.relaunched += relaunched
        found.repaired += repaired if status == RunStatus.SUCCESS else 0
    return found
