"""Shows a run while it runs: on a terminal in one changing line, in a pipe by a line for each finished task.

Of a large map a line says how many of its tasks are done.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.core.management.base import OutputWrapper

from django_director.models import Run, Task
from django_director.presentation import served_queues, summaries
from django_director.status import TaskStatus

from . import stuck
from .map_progress import MapProgress
from .output import duration

POLL_PERIOD: Final = 0.5
"""Seconds between two queries."""
PATIENCE: Final = 10
"""After how many seconds without progress the command prints what the run waits for."""
RUNNING_NAMED: Final = 3
"""How many running tasks the line on a terminal names."""
ROWS: Final = 500
"""How many tasks that have ended are in memory at a time."""
OVERLAP: Final = timedelta(seconds=5)
"""How far back each query looks: a task may become visible after another one that ended later."""

_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Prints what has happened to a run since the previous call."""

    def __init__(self, stream: OutputWrapper, *, quiet: bool = False) -> None:
        self.stream = stream
        self.quiet = quiet
        self.live = stream.isatty()
        self.began = time.monotonic()
        self.shown: set[UUID] = set()
        self.announced: set[tuple[UUID, int]] = set()
        self.last: datetime | None = None
        self.explained_at = self.began
        self.told: set[str] = set()
        self.maps = MapProgress(stream)

    def update(self, run: Run) -> None:
        """Print what is new."""
        if self.quiet:
            return
        if self.live:
            self._draw(run)
        else:
            self._print_ended(run, self.last)
            self._print_approvals(run)
        self._print_reason(run)

    def finish(self, run: Run) -> None:
        """Print the tasks that have ended and are not printed yet; remove the changing line from a terminal."""
        if self.quiet:
            return
        if self.live:
            self._write(_CLEAR)
        else:
            self._print_ended(run, at_end=True)

    def _draw(self, run: Run) -> None:
        counts = summaries.work_counts([run])[run.pk]
        done, total = summaries.progress(counts)
        running = run.tasks.running().only("step", "map_index").in_order()[:RUNNING_NAMED]
        parts = [f"{done}/{total} tasks"]
        if names := ", ".join(task.label for task in running):
            more = counts[TaskStatus.RUNNING] - len(running)
            parts.append(f"running: {names}" + (f" and {more:,} more" if more > 0 else ""))
        if TaskStatus.QUEUED in counts and TaskStatus.RUNNING not in counts:
            parts += _describe_queued(run)
        if TaskStatus.WAITING in counts and (asked := [task.label for task in run.tasks.asked()[:RUNNING_NAMED]]):
            parts.append(f"waits for approval: {', '.join(asked)}")
        if failed := counts.get(TaskStatus.FAILED):
            parts.append(f"{failed:,} failed")
        self._write(_CLEAR + "  ".join([*parts, duration(time.monotonic() - self.began)]))

    def _print_ended(self, run: Run, since: datetime | None = None, *, at_end: bool = False) -> None:
        counted = self.maps.update(run, at_end=at_end)
        ended = run.tasks.finished().exclude(position__in=counted, map_index__gte=0)
        ended = ended.for_listing().order_by("finished_at")
        # A run may have 100,000 tasks.
        chosen = ended if since is None else ended.filter(finished_at__gte=since - OVERLAP)
        for task in chosen.iterator(chunk_size=ROWS):
            if task.pk not in self.shown:
                self.shown.add(task.pk)
                self.last = task.finished_at
                self.stream.write(_line(task), style_func=str)

    def _print_approvals(self, run: Run) -> None:
        for task in run.tasks.asked().in_order().for_listing():
            if (task.pk, task.sequence) not in self.announced:
                self.announced.add((task.pk, task.sequence))
                self.stream.write(
                    f"{task.label} {task.reason} (approvetask {run.pk}:{task.label})", style_func=str
                )

    def _print_reason(self, run: Run) -> None:
        if time.monotonic() - self.explained_at < PATIENCE:
            return
        self.explained_at = time.monotonic()
        found = stuck.find_reason(run, PATIENCE)
        if found is not None and found.kind not in self.told:
            self.told.add(found.kind)
            self.stream.write((_CLEAR if self.live else "") + found.text, style_func=str)

    def _write(self, text: str) -> None:
        self.stream.write(text, style_func=str, ending="")
        self.stream.flush()


def follow(run: Run, progress: Progress, timeout: float | None) -> None:
    """Wait for the outcome of a run and print what happens. Raises ``TimeoutError``."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while not run.is_finished:
        left = POLL_PERIOD if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            run.wait(min(POLL_PERIOD, left))
        except TimeoutError:
            run.refresh_from_db()
            progress.update(run)
    progress.finish(run)


def _describe_queued(run: Run) -> list[str]:
    first = run.tasks.queued().only("step", "map_index", "is_hook", "name", "queue").in_order().first()
    queue = served_queues.of_task(first) if first else ""
    return [f"{first.label} is in queue `{queue}`"] if first and queue else []


def _line(task: Task) -> str:
    took = f" {duration(task.duration)}" if task.duration is not None else ""
    why = task.error or task.reason
    words = " ".join(why.split())
    # Some reasons begin with the status: “skipped by ann”, “canceled”.
    rest = words.removeprefix(task.status) if words.startswith(task.status) else f": {words}"
    return f"{task.label} {task.status}{took}" + (rest if words else "")
