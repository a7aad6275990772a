"""What the list of workflows tells of each: its last runs, how many succeeded, how long they take.

Each query reads a bounded number of rows of each workflow, by an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, OuterRef, Q, Subquery

from django_director.common.times import stored
from django_director.models import Run, Workflow
from django_director.models.querysets import RunQuerySet
from django_director.status import RUN_FINISHED, RunStatus

from . import durations
from .durations import Usual

STRIP: Final = 20
"""How many last runs are shown of each workflow."""
RATED: Final = 50
"""From how many last runs at most the share of successes is worked out."""
RATED_TIME: Final = timedelta(days=30)
"""Older runs do not count for that share."""


@dataclass(slots=True)
class Record:
    """What the last runs of a workflow tell."""

    runs: list[Run] = field(default_factory=list)
    """The last ``STRIP``, the oldest first."""
    usual: Usual | None = None
    """``None`` for a workflow that has never succeeded."""
    ended: int = 0
    """How many of the last ``RATED`` runs of ``RATED_TIME`` have succeeded or failed."""
    succeeded: int = 0
    """How many of them were a success without a retry."""

    @property
    def rate(self) -> int | None:
        """The share of successes in percent; ``None`` without a run that has ended."""
        return round(100 * self.succeeded / self.ended) if self.ended else None


def of_workflows(workflows: Sequence[Workflow]) -> dict[int, Record]:
    """Return the record of each workflow, in five queries; without workflows in none."""
    keys = [workflow.pk for workflow in workflows]
    found: dict[int, Record] = {key: Record() for key in keys}
    if not keys:
        return found
    bounds = dict(_bounds(keys))
    for run in _of_any({pk: strip for pk, (strip, _) in bounds.items()}, "pk"):
        found[run.workflow_id].runs.append(run)
    for pk, status, generation, number in _counts({pk: rated for pk, (_, rated) in bounds.items()}):
        if status != RunStatus.CANCELED:
            found[pk].ended += number
            found[pk].succeeded += number if status == RunStatus.SUCCESS and not generation else 0
    for pk, usual in durations.of_workflows(keys).items():
        found[pk].usual = usual
    return found


def _bounds(keys: list[int]) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """Yield for each workflow where its last runs, and its last ended runs, begin; ``None`` if it has fewer."""
    own = Run.objects.filter(workflow=OuterRef("pk"))
    ended = own.filter(finished_at__isnull=False).order_by("-finished_at").values("finished_at")
    shown = Subquery(own.order_by("-pk").values("pk")[STRIP - 1 : STRIP])
    rows = Workflow.objects.filter(pk__in=keys).order_by()
    rows = rows.annotate(shown=shown, rated=Subquery(ended[RATED - 1 : RATED]))
    for pk, first, since in rows.values_list("pk", "shown", "rated"):
        yield pk, (first, since)


def _of_any(bounds: dict[int, Any], column: str) -> RunQuerySet:
    wanted = Q()
    for pk, bound in bounds.items():
        wanted |= Q(workflow=pk) if bound is None else Q(**{"workflow": pk, f"{column}__gte": bound})
    found: RunQuerySet = Run.objects.filter(wanted).defer("payload", "error").order_by("pk")
    return found


def _counts(bounds: dict[int, datetime | None]) -> list[tuple[int, str, int, int]]:
    """Return workflow, status, generation and number of the runs that count for the share of successes."""
    oldest = stored(datetime.now(UTC) - RATED_TIME)
    since = {pk: oldest if bound is None else max(bound, oldest) for pk, bound in bounds.items()}
    runs = _of_any(since, "finished_at").defer(None).filter(status__in=RUN_FINISHED).order_by()
    return list(runs.values_list("workflow", "status", "generation").annotate(Count("pk")))
