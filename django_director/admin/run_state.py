"""The state of a run as its page shows it: it is read for the page, and again for each live update."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from django_director.common.times import aware
from django_director.drawing.gallery import picture_of
from django_director.drawing.icons import PATHS
from django_director.drawing.picture import BY_CONCERN, Face, Picture, faces
from django_director.engine.concurrency import pending_reasons
from django_director.models import Run, Task
from django_director.presentation import hook_names, open_approvals, visible_errors
from django_director.status import TASK_ACTIVE, TASK_FINISHED, TaskStatus

from . import formatting, headline, operations, task_lines
from .bars import draw_segments
from .links import Links, called_name

TASKS_PER_PAGE: Final = 200
POLL: Final = 2
"""Seconds between two live updates of a run's page."""
POLL_LARGE: Final = 10
ASKED_SHOWN: Final = 5
LARGE: Final = 5_000
"""A run of more tasks than this gets live updates less often: each of them reads the status of all tasks."""


@dataclass(frozen=True, slots=True)
class Row:
    """A task in the table."""

    id: UUID
    label: str
    celery_name: str
    hook: str
    """The name of the hook; empty if the task is no hook."""
    status: str
    attempt: str
    started: str
    duration: str
    since: int | None
    """When a running task has started, in seconds since 1970: the page counts its duration from there."""
    error: str
    child: str | None
    """The address of the child run: empty if one may start later, ``None`` if never."""

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "status": self.status,
            "label": formatting.status_label(self.status),
            "attempt": self.attempt,
            "started": self.started,
            # The page counts the duration of a running task itself: here it would make each answer differ.
            "duration": self.duration if self.since is None else "",
            "since": self.since,
            "error": formatting.readable(self.error),
            "child": self.child,
        }


class RunState:
    """Reads the statuses of a run's tasks, in two queries whatever their number; three if steps are workflows."""

    def __init__(
        self,
        run: Run,
        site: str,
        *,
        sees_payload: bool,
        sees_tasks: bool,
        page: str | None = None,
        status: str | None = None,
    ) -> None:
        self.run = run
        self.sees_payload = sees_payload
        self.sees_tasks = sees_tasks
        self.links = Links(run, site, TASKS_PER_PAGE)
        self.status = status if status in TaskStatus.values else None
        self._page = page
        self._statuses = list(
            run.tasks.order_by().values_list("position", "status", "attempt", "is_hook").iterator()
        )

    @cached_property
    def counts(self) -> Counter[str]:
        """Return the number of tasks in each status, without hooks."""
        return Counter(status for _, status, _, is_hook in self._statuses if not is_hook)

    @cached_property
    def shown_counts(self) -> Counter[str]:
        """Return the number of tasks in each status with the hooks, as the table shows them."""
        return Counter(status for _, status, _, _ in self._statuses)

    @cached_property
    def waiting(self) -> pending_reasons.Waiting | None:
        """Return what a pending run waits for. It takes a query."""
        return pending_reasons.of_run(self.run)

    @property
    def error(self) -> str:
        """Return why the run failed, as far as the user may know."""
        return visible_errors.of_run(self.run, sees_payload=self.sees_payload)

    @property
    def headline(self) -> str:
        """Return the sentence that tells what the run does, or how it ended and why."""
        steps: dict[str, list[str]] = {}
        if self.sees_tasks and not self.run.is_finished:
            for place, status, _, is_hook in self._statuses:
                if status in TASK_ACTIVE and status != TaskStatus.PENDING and not is_hook:
                    steps.setdefault(status, []).append(self.run.version.graph.node(place).step.id)
        maps = self.run.version.graph.maps
        failed = sum(
            1
            for place, status, _, is_hook in self._statuses
            if status == TaskStatus.FAILED and not is_hook and place not in maps
        )
        return headline.of_run(self.run, self.error, steps, failed)

    @property
    def progress(self) -> tuple[int, int]:
        """Return the number of finished tasks, and of all tasks."""
        return formatting.progress(self.counts, TASK_FINISHED)

    @cached_property
    def picture(self) -> Picture:
        return picture_of(self.run.version.graph)

    @cached_property
    def faces(self) -> list[Face]:
        return faces(self.picture, ((place, status, n) for place, status, n, hook in self._statuses if not hook))

    @property
    def matching(self) -> int:
        """Return how many tasks have the status that the user has chosen."""
        return self.shown_counts[self.status] if self.status else len(self._statuses)

    @property
    def pages(self) -> int:
        return max(1, -(-self.matching // TASKS_PER_PAGE))

    @cached_property
    def page(self) -> int:
        """Return the page of the table that the user has asked for, or the nearest that exists."""
        asked = int(self._page) if self._page and self._page.isdecimal() and len(self._page) < 9 else 1
        return min(max(asked, 1), self.pages)

    @cached_property
    def rows(self) -> list[Row]:
        start = (self.page - 1) * TASKS_PER_PAGE
        tasks = self._tasks()[start : start + TASKS_PER_PAGE]
        return [_row(task, self.run, self.links, sees_payload=self.sees_payload) for task in tasks]

    def _tasks(self) -> QuerySet[Task]:
        tasks = self.run.tasks.for_listing().in_order()
        return tasks.filter(status=self.status) if self.status else tasks

    @cached_property
    def asked(self) -> list[UUID]:
        """Return the ids of the oldest open approvals in this run and in the runs below it."""
        if not self.sees_tasks or not self.shown_counts[TaskStatus.WAITING]:
            return []
        return open_approvals.oldest(self.run, ASKED_SHOWN + 1)

    @property
    def filters(self) -> Iterator[tuple[str, str, int]]:
        """Yield each status with its label and its number of tasks, the most alarming first."""
        for status in BY_CONCERN:
            yield status.value, formatting.status_label(status), self.shown_counts[status]

    @property
    def is_live(self) -> bool:
        """Whether anything may still change: the run, or a hook after it."""
        return not self.run.is_finished or any(self.shown_counts[status] for status in TASK_ACTIVE)

    @property
    def poll(self) -> int:
        return POLL_LARGE if len(self._statuses) > LARGE else POLL

    def as_json(self, permitted: Iterable[str]) -> dict[str, Any]:
        """Return a live update: all that can change on the page, with the rows of this page of the table only."""
        finished, total = self.progress
        return {
            "status": self.run.shown_status,
            "label": formatting.status_label(self.run.shown_status),
            "headline": self.headline,
            "segments": str(draw_segments(self.counts)),
            "finished": finished,
            "total": total,
            "progress": f"{finished:,} / {total:,}",
            "duration": "" if since(self.run) else formatting.elapsed(self.run),
            "since": since(self.run),
            "error": formatting.readable(self.error),
            "waiting": str(self.waiting or ""),
            "is_live": self.is_live,
            "poll": self.poll,
            "asked": " ".join(map(str, self.asked)),
            "buttons": [name for name in permitted if operations.OF_RUNS[name].is_possible(self.run)],
            "counts": {status: f"{number:,}" for status, _, number in self.filters if number},
            "boxes": []
            if not self.sees_tasks
            else [
                [face.status, self.picture.fitted(face.note), face.title, self.links.to_child(box)]
                for face, box in zip(self.faces, self.picture.boxes, strict=True)
            ],
            "rows": [row.as_json() for row in self.rows] if self.sees_tasks else [],
            "icons": PATHS,
        }


def since(row: Run | Task) -> int | None:
    """Return from when the duration of a running run or task counts, in seconds since 1970; else ``None``."""
    begun = formatting.counted_from(row)
    if begun is None or row.is_finished or (isinstance(row, Run) and row.paused_at is not None):
        return None
    return int(aware(begun).timestamp())


def etag(data: dict[str, Any]) -> str:
    return f'"{hashlib.sha256(json.dumps(data).encode()).hexdigest()[:32]}"'


def _row(task: Task, run: Run, links: Links, *, sees_payload: bool) -> Row:
    task.run = run
    is_running = task.status == TaskStatus.RUNNING
    return Row(
        id=task.pk,
        label=formatting.name(task.label),
        celery_name=called_name(run.version.graph.node(task.position)),
        hook=hook_names.of_task(task),
        status=task.status,
        attempt=str(task.attempt or formatting.NOTHING),
        started=formatting.moment(task.started_at),
        duration=formatting.elapsed(task) if is_running else formatting.seconds(task.duration),
        since=since(task) if is_running else None,
        error=task_lines.explain_status(task, sees_payload=sees_payload),
        child=links.of_row(task),
    )
