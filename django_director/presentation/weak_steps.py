"""Which steps of a workflow take longest, and which fail or are tried again, in its last runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q

from django_director.models import Run, Task
from django_director.status import TaskStatus

RUNS: Final = 25
ROWS: Final = 5_000
"""So many tasks are read at most: of a workflow with thousands of steps the last run alone."""
NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What the last runs of a workflow tell of one step."""

    step: str
    ended: int
    """In how many runs it has succeeded or failed."""
    failed: int
    retried: int
    """In how many of these runs it was tried more than once."""
    seconds: float
    """How long it took on average; 0 if that is not known."""

    @property
    def trouble(self) -> int:
        """In how many runs it has failed or was tried again, at most."""
        return self.failed + self.retried


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSteps:
    """The steps to look at first."""

    runs: int
    """From how many runs this is worked out."""
    slowest: Sequence[StepRecord]
    flakiest: Sequence[StepRecord]


def find(runs: Sequence[Run], steps: int) -> WeakSteps:
    """Return the weak steps in ``runs``, which come the newest first; ``steps`` is how many each has.

    It takes one query.
    """
    number = max(1, min(RUNS, ROWS // max(1, steps)))
    chosen = [run.pk for run in runs if run.is_finished][:number]
    records = _read(chosen) if chosen else []
    slowest = sorted((each for each in records if each.seconds > 0), key=lambda each: -each.seconds)
    flakiest = sorted((each for each in records if each.trouble), key=lambda each: -each.trouble)
    return WeakSteps(runs=len(chosen), slowest=slowest[:NAMED], flakiest=flakiest[:NAMED])


def _read(runs: Sequence[object]) -> list[StepRecord]:
    taken = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    ran = Q(status__in=(TaskStatus.SUCCESS, TaskStatus.FAILED))
    tasks = Task.objects.nodes().filter(ran, run__in=runs, started_at__isnull=False).order_by()
    rows = tasks.values_list("step").annotate(
        ended=Count("pk"),
        failures=Count("pk", filter=Q(status=TaskStatus.FAILED)),
        retried=Count("pk", filter=Q(status=TaskStatus.SUCCESS, attempt__gt=1)),
        taken=Avg(taken),
    )
    return [
        StepRecord(step=step, ended=ended, failed=failed, retried=retried, seconds=_seconds(average))
        for step, ended, failed, retried, average in rows
    ]


def _seconds(average: timedelta | None) -> float:
    return 0.0 if average is None else average.total_seconds()
