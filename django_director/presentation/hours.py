"""How many runs have ended in each of the last hours, by their outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Count
from django.db.models.functions import TruncHour

from django_director.common.times import aware, stored
from django_director.models.querysets import RunQuerySet

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


def read_hours(runs: RunQuerySet, now: datetime, number: int) -> Sequence[Hour]:
    """Return the last ``number`` hours up to ``now``, the oldest first. It takes one query.

    Hours begin at full hours of UTC. Child runs do not count.
    """
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - HOUR * (number - 1)
    hours = {first + HOUR * index: Hour(first + HOUR * index) for index in range(number)}
    ended = runs.finished().roots().filter(finished_at__gte=stored(first)).order_by()
    zone = UTC if settings.USE_TZ else None
    rows = ended.annotate(hour=TruncHour("finished_at", tzinfo=zone)).values_list("hour", "status")
    for local, status, count in rows.annotate(Count("pk")):
        start = aware(local).astimezone(UTC).replace(minute=0)
        if start in hours:
            hours[start].counts[status] += count
    return list(hours.values())
