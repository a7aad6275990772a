"""Finds rows by what people know of them: the beginning of an id, a name, a key, a word of the comment."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import Q

_LOWEST: Final = "00000000000070008000000000000000"
_HIGHEST: Final = "ffffffffffff7fffbfffffffffffffff"
SHORTEST_PREFIX: Final = 4


def by_id(term: str, field: str = "pk") -> Q | None:
    """Return a condition for rows whose UUIDv7 begins with ``term``; ``None`` if no id can.

    A range of ids works in every database, whether it stores UUIDs as such or as text.
    """
    digits = term.replace("-", "").lower()
    if not SHORTEST_PREFIX <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return None
    first, last = (UUID(digits + rest[len(digits) :]) for rest in (_LOWEST, _HIGHEST))
    return Q(**{f"{field}__gte": first, f"{field}__lte": last})


def matching_runs(term: str) -> Q:
    """Return a condition for runs by id, key, exact name of the workflow or the user, or text in the comment."""
    found = Q(workflow__name=term) | Q(user_name=term) | Q(idempotency_key=term) | Q(comment__icontains=term)
    ids = by_id(term)
    return found if ids is None else found | ids


def matching_tasks(term: str) -> Q:
    """Return a condition for tasks by id (their own or their run's), step, or the name of the Celery task."""
    found = Q(step=term) | Q(name=term)
    for field in ("pk", "run_id"):
        ids = by_id(term, field)
        found = found if ids is None else found | ids
    return found
