"""The reasons why runs are pending, as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery

from django_director.db.functions import Now, iso
from django_director.models import Run
from django_director.status import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The place of a pending run in the queue of its key."""

    behind: UUID | None
    """The run before it in the queue: a pending one, or the last that got a slot. ``None`` if it is first."""
    until: datetime | None
    """When a delayed run begins to want a slot."""
    keyed: bool
    """Whether only runs of the same key count."""

    def __str__(self) -> str:
        slot = "a slot of its key" if self.keyed else "a slot"
        if self.until is not None:
            return f"wants {slot} from {iso(self.until)}"
        return f"waits for {slot}, behind run {self.behind}" if self.behind else f"gets {slot} next"


def of_runs(runs: Iterable[Run]) -> dict[UUID, Waiting]:
    """Return what each pending run of ``runs`` waits for, by its id. One query, or none if no run is pending."""
    chosen = [run.pk for run in runs if run.status == RunStatus.PENDING]
    if not chosen:
        return {}
    key = Run.objects.of_key(OuterRef("workflow_id"), OuterRef("concurrency_key"))
    before = key.queued_before(OuterRef("queued_at"), OuterRef("pk")).order_by("-queued_at", "-pk")
    pending = Run.objects.filter(pk__in=chosen, status=RunStatus.PENDING).order_by()
    found = pending.annotate(behind=Subquery(before.values("pk")[:1]), now=Now())
    columns = ("pk", "behind", "queued_at", "now", "concurrency_key")
    return {row["pk"]: _waiting(row) for row in found.values(*columns)}


def of_run(run: Run) -> Waiting | None:
    """Return what a run waits for; ``None`` if it is not pending."""
    return of_runs([run]).get(run.pk)


def _waiting(row: dict[str, Any]) -> Waiting:
    is_delayed = row["queued_at"] > row["now"]
    return Waiting(
        behind=None if is_delayed else row["behind"],
        until=row["queued_at"] if is_delayed else None,
        keyed=bool(row["concurrency_key"]),
    )
