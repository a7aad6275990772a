"""How long runs of a workflow usually take, and when one was last a success, from its last successful runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median, quantiles
from typing import Final

from django.db.models import OuterRef, Q, Subquery

from django_director.models import Run, Workflow

SAMPLE: Final = 20
"""From how many successful runs the usual duration is worked out, the newest of each workflow."""
LATE: Final = 1.5
"""A run is late when it takes so many times as long as usual."""
LEAST_SAMPLE: Final = 5
"""From so many successful runs on it can be told that a run is late."""
LEAST_LATE: Final = 10.0
"""How many seconds over the usual duration a run must be before it counts as late."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What the last successful runs of a workflow tell."""

    seconds: float
    """The median of their durations."""
    last_success: datetime
    """When the last of them ended."""
    runs: int
    """From how many runs the duration is worked out."""
    slow: float | None = None
    """The duration that 95 % of them did not exceed; ``None`` if there is only one."""

    def is_late(self, seconds: float) -> bool:
        """Whether so many seconds are clearly longer than usual. Too few successful runs can't tell."""
        return self.runs >= LEAST_SAMPLE and seconds > max(self.seconds * LATE, self.seconds + LEAST_LATE)


def of_workflows(workflows: Collection[int]) -> dict[int, Usual]:
    """Return for each workflow, given by its id, what is usual; a workflow that never succeeded is left out.

    It takes two queries, which read ``SAMPLE`` rows of each workflow by an index; without workflows it takes none.
    """
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    if (wanted := _newest(workflows)) is not None:
        rows = Run.objects.succeeded().filter(wanted).order_by()
        columns = ("workflow_id", "counted_from", "started_at", "finished_at")
        for pk, counted_from, started, finished in rows.values_list(*columns):
            found.setdefault(pk, []).append((counted_from or started or finished, finished))
    return {pk: _usual(times) for pk, times in found.items()}


def _newest(workflows: Collection[int]) -> Q | None:
    """Return the condition that a successful run is one of the newest of these workflows; ``None`` without any.

    Newest are those that were made last: an index has the successful runs of a workflow in this order, so that it
    does not matter how many others there are.
    """
    own = Run.objects.succeeded().filter(workflow=OuterRef("pk")).order_by("-pk").values("pk")
    bounds = Workflow.objects.filter(pk__in=list(workflows)).order_by()
    bounds = bounds.annotate(newest=Subquery(own[:1]), oldest=Subquery(own[SAMPLE - 1 : SAMPLE]))
    wanted: Q | None = None
    for pk, newest, oldest in bounds.values_list("pk", "newest", "oldest") if workflows else ():
        if newest is not None:
            part = Q(workflow=pk) if oldest is None else Q(workflow=pk, pk__gte=oldest)
            wanted = part if wanted is None else wanted | part
    return wanted


def _usual(times: list[tuple[datetime, datetime]]) -> Usual:
    seconds = [(finished - started).total_seconds() for started, finished in times]
    return Usual(
        seconds=median(seconds),
        last_success=max(finished for _, finished in times),
        runs=len(times),
        slow=slowest_usual(seconds),
    )


def slowest_usual(seconds: Sequence[float]) -> float | None:
    """Return the duration that 95 % of these do not exceed; ``None`` for less than two."""
    return quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else None
