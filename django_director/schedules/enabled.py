"""The schedules that are switched on, the workflows that they start, and what keeps them from starting a run."""

from __future__ import annotations

from functools import cached_property

from django_director.models import Workflow

from . import beat_rows, obstacles
from .reasons import Obstacle
from .timings import PeriodicRow


class Enabled:
    """Reads the schedules that are switched on when they are asked for the first time, and keeps them.

    ``seconds`` limits the time for checks of their payloads, as in ``obstacles.find``.
    """

    def __init__(self, seconds: float = obstacles.SECONDS) -> None:
        self._seconds = seconds

    @cached_property
    def rows(self) -> list[PeriodicRow]:
        """The rows of django-celery-beat. It takes one query."""
        return list(beat_rows.enabled_rows())

    @cached_property
    def workflows(self) -> dict[str, Workflow]:
        """The workflows that they start, by name. It takes one query, without schedules none."""
        return obstacles.read_workflows(self.rows)

    @cached_property
    def obstacles(self) -> list[Obstacle]:
        """Those that could start no run now, in the order of their names."""
        return sorted(obstacles.find(self.rows, self.workflows, self._seconds).values())
