"""The lengths of columns, and functions that the models of runs and tasks have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import TextChoices
from django.db.models.functions import Coalesce

NAME_LENGTH: Final = 200
STATUS_LENGTH: Final = 16
KEY_LENGTH: Final = 200
COMMENT_LENGTH: Final = 1000
REASON_LENGTH: Final = 1300
"""Long enough for a comment and the name of the user who wrote it."""
COUNTED_FROM: Final = Coalesce("counted_from", "started_at")
"""From when the duration of a run counts, as an expression for queries."""


def sorted_values(statuses: frozenset[TextChoices]) -> list[str]:
    """Return the values of statuses in a fixed order: migrations compare the conditions of constraints by text."""
    return sorted(str(status) for status in statuses)


def duration(started_at: datetime | None, finished_at: datetime | None) -> float | None:
    """Return the seconds between two moments; ``None`` as long as one of them is not known."""
    if started_at is None or finished_at is None:
        return None
    return (finished_at - started_at).total_seconds()
