"""Foresees whether a run that is started now would wait for a slot of its concurrency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django_director.definitions import Concurrency
from django_director.models import Run

COUNTED: Final = 100
"""So many runs that hold or await a slot are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The runs that come before a new run of a key. Both lists end at ``COUNTED`` runs."""

    concurrency: Concurrency
    holders: list[UUID]
    """The runs that hold slots of the key."""
    waiting: list[UUID]
    """The runs that await a slot of the key."""

    @property
    def is_free(self) -> bool:
        """Whether a new run would get a slot at once."""
        return len(self.holders) < self.concurrency.limit and not self.waiting


def foresee(workflow_id: int, key: str, concurrency: Concurrency) -> Forecast:
    """Return which runs of a workflow come before a new run with ``key``. It takes two queries."""
    runs = Run.objects.of_key(workflow_id, key).order_by("queued_at")
    return Forecast(
        concurrency=concurrency,
        holders=list(runs.holding_slot().values_list("pk", flat=True)[:COUNTED]),
        waiting=list(runs.awaiting_slot().values_list("pk", flat=True)[:COUNTED]),
    )
