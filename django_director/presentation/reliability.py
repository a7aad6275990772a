"""How reliable workflows are: their last runs, and for how many of these in a row they have failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from django_director.models import Run
from django_director.status import RUN_FINISHED, RunStatus

from .durations import slowest_usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What the last runs of a workflow tell."""

    finished: int
    """How many of them have an outcome."""
    succeeded: int
    """How many were a success without a retry."""
    failing: int
    """How many have failed in a row up to the newest; canceled runs are passed over."""
    failing_since: datetime | None
    last_success: datetime | None
    usual_seconds: float | None
    """The median of the durations of the successful ones."""
    slow_seconds: float | None
    """The duration that 95 % of the successful ones did not exceed."""

    @property
    def rate(self) -> int | None:
        """The share of successes without a retry, in percent; ``None`` without a finished run."""
        return round(100 * self.succeeded / self.finished) if self.finished else None


def of_runs(runs: Sequence[Run]) -> Reliability:
    """Return what ``runs`` of one workflow tell, which come the newest first."""
    ended = [run for run in runs if run.status in RUN_FINISHED and run.status != RunStatus.CANCELED]
    good = [run for run in ended if run.status == RunStatus.SUCCESS]
    failing = []
    for run in ended:
        if run.status == RunStatus.SUCCESS:
            break
        failing.append(run)
    seconds = [run.duration for run in good if run.duration is not None]
    return Reliability(
        finished=len(ended),
        succeeded=sum(run.generation == 0 for run in good),
        failing=len(failing),
        failing_since=failing[-1].finished_at if failing else None,
        last_success=max((run.finished_at for run in good if run.finished_at is not None), default=None),
        usual_seconds=median(seconds) if seconds else None,
        slow_seconds=slowest_usual(seconds),
    )
