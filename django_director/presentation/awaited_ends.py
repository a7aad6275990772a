"""The tasks for whose end a run waits while it is being canceled: nothing else of it is at work any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet

from . import served_queues

READ: Final = 50
"""How many tasks are read at most, those that have run longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedEnds:
    """The running tasks of a run, or else its steps that wait for child runs."""

    labels: Sequence[str]
    """Those of the first ``READ``."""
    total: int
    workers: Sequence[str] = ()
    """The names of the workers that run them."""
    silent: Sequence[str] = ()
    """The workers among them that have given no sign of life lately."""
    since: datetime | None = None
    """When the first of the running tasks has started; ``None`` for steps that wait for child runs."""

    @property
    def are_child_runs(self) -> bool:
        """Whether no task runs, and steps wait for child runs that are being canceled too."""
        return self.since is None


def of_run(run: Run) -> AwaitedEnds | None:
    """Return what a run that is being canceled waits for; ``None`` if that is nothing.

    It takes three queries at most.
    """
    columns = ("step", "map_index", "worker", "started_at")
    running: list[Task] = list(run.tasks.steps().running().only(*columns).order_by("started_at", "pk")[:READ])
    if not running:
        steps = [task.label for task in run.tasks.steps().awaiting_child().only(*columns).in_order()[:READ]]
        return (
            AwaitedEnds(labels=steps, total=_count(steps, run.tasks.steps().awaiting_child())) if steps else None
        )
    workers = sorted({task.worker for task in running} - {""})
    living = served_queues.Workers.load() if workers else None
    return AwaitedEnds(
        labels=[task.label for task in running],
        total=_count(running, run.tasks.steps().running()),
        workers=workers,
        silent=[name for name in workers if living is not None and not living.has(name)],
        since=running[0].started_at,
    )


def _count(found: Sequence[object], tasks: TaskQuerySet) -> int:
    return len(found) if len(found) < READ else tasks.count()
