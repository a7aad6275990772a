"""The state of a run as its page shows it, whichever tab is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import repeat
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import Count, Max

from django_director.drawing.faces import BY_CONCERN, Face, faces
from django_director.drawing.gallery import picture_of
from django_director.drawing.picture import Picture
from django_director.engine.concurrency import pending_reasons
from django_director.models import Run
from django_director.presentation import (
    awaited_ends,
    open_approvals,
    served_queues,
    silent_workers,
    visible_errors,
)
from django_director.presentation.summaries import progress
from django_director.status import TASK_ACTIVE, RunStatus, TaskStatus

from . import formatting, headline, task_lines, unfolding
from .links import Links

TASKS_PER_PAGE: Final = 200
POLL: Final = 2
"""Seconds between two live updates of a run's page, at least."""
POLL_LARGE: Final = 10
ASKED_SHOWN: Final = 5
LARGE: Final = 5_000
"""A run of more tasks than this gets live updates less often: for each of them all its tasks are counted."""


class Many(NamedTuple):
    """The tasks of one step that have one status: several only in a map, or if a hook ran more than once."""

    position: int
    status: str
    is_hook: bool
    number: int
    attempt: int
    """The highest number of an attempt among them."""
    silent: int
    """How many of them run on workers that give no sign of life."""


class RunState:
    """Reads how many tasks of each step of a run have which status, in one query.

    It takes a second one if steps are workflows.
    """

    def __init__(
        self, run: Run, site: str, *, sees_payload: bool, sees_tasks: bool, unfold: str | None = None
    ) -> None:
        self.run = run
        self.sees_payload = sees_payload
        self.sees_tasks = sees_tasks
        self.links = Links(run, site)
        self._unfold = unfold
        rows = run.tasks.order_by().values_list("position", "status", "is_hook")
        silent = Count("pk", filter=silent_workers.is_silent())
        rows = rows.annotate(number=Count("pk"), highest=Max("attempt"), silent=silent)
        self._many = [Many._make(row) for row in rows.order_by("position")]

    @cached_property
    def counts(self) -> Counter[str]:
        """Return the number of tasks in each status, without hooks; a map that has items counts by these only."""
        return self._count(many for many in self._many if not many.is_hook and not self._stands_for_items(many))

    @cached_property
    def hooks(self) -> Counter[str]:
        """Return the number of hooks in each status, also of those that ran before a retry."""
        return self._count(many for many in self._many if many.is_hook)

    @staticmethod
    def _count(several: Iterable[Many]) -> Counter[str]:
        found: Counter[str] = Counter()
        for many in several:
            found[many.status] += many.number
        return found

    def _stands_for_items(self, many: Many) -> bool:
        """Whether it is a map that has items: in the list of tasks these stand in its place."""
        body = self.run.version.graph.node(many.position).body
        return body is not None and body[0] in self.by_position

    @cached_property
    def by_position(self) -> dict[int, dict[str, int]]:
        """Return the number of tasks in each status by the position of their step, without hooks."""
        found: dict[int, dict[str, int]] = {}
        for many in self._many:
            if not many.is_hook:
                found.setdefault(many.position, {})[many.status] = many.number
        return found

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
            places = ((many.position, many.status, many.number) for many in self._many if not many.is_hook)
            steps = headline.name_steps(self.run.version.graph, places, self._report())
        trouble = headline.Trouble(
            is_interrupted=self._is_interrupted, unserved=self._unserved, awaited=self.awaited
        )
        return headline.of_run(self.run, self.error, steps, self.failed, trouble)

    @cached_property
    def awaited(self) -> awaited_ends.AwaitedEnds | None:
        """Return what the run waits for while it is being canceled, as far as the user may know."""
        is_canceling = self.run.shown_status == "canceling"
        return awaited_ends.of_run(self.run) if self.sees_tasks and is_canceling else None

    def _report(self) -> tuple[int, str]:
        """Return the position of the only running task and what it reports; nothing for one in a map."""
        running = [each for each in self._many if each.status == TaskStatus.RUNNING and not each.is_hook]
        if sum(each.number for each in running) != 1:
            return -1, ""
        position = running[0].position
        task = self.run.tasks.steps().filter(position=position, map_index=-1, status=TaskStatus.RUNNING).first()
        return position, task_lines.progress_text(task, sees_payload=self.sees_payload) if task else ""

    @property
    def waits_for_worker(self) -> bool:
        """Whether nothing goes on but that tasks wait in queues, as far as the user may know."""
        found = {many.status for many in self._many if not (many.is_hook or self._stands_for_items(many))}
        is_alone = TaskStatus.QUEUED in found and found.isdisjoint((TaskStatus.RUNNING, TaskStatus.WAITING))
        return self.sees_tasks and self.run.status == RunStatus.RUNNING and is_alone

    @property
    def lacks_worker(self) -> bool:
        """Whether tasks wait for a worker or run on one that gives no sign, as far as the user may know."""
        return self.waits_for_worker or (self.sees_tasks and any(many.silent for many in self._many))

    @property
    def _is_interrupted(self) -> bool:
        """Whether each task of a step that runs has a worker that gives no sign."""
        running = [many for many in self._many if many.status == TaskStatus.RUNNING and not many.is_hook]
        return bool(running) and all(many.silent == many.number for many in running)

    @property
    def _unserved(self) -> str:
        """Return the queue in which the run waits and that no worker serves. It takes two queries if it waits."""
        is_waiting = self.waits_for_worker and self.run.paused_at is None
        return served_queues.unserved_of(self.run) if is_waiting else ""

    @property
    def failed(self) -> int:
        """Return how many tasks have failed; a map fails because of its items, and does not count."""
        maps = self.run.version.graph.maps
        return sum(
            many.number
            for many in self._many
            if many.status == TaskStatus.FAILED and not many.is_hook and many.position not in maps
        )

    @property
    def progress(self) -> tuple[int, int]:
        """Return how many tasks are done, and how many there are."""
        return progress(self.counts)

    @cached_property
    def drawn(self) -> unfolding.Rows:
        """Return the position, status and attempt of each task in the picture: of hooks, the present ones only."""
        many = [each for each in self._many if not each.is_hook]
        tasks = [(each.position, each.status, each.attempt) for each in many for _ in repeat(None, each.number)]
        hooks = [(each.position, each.status, each.attempt, True) for each in self._many if each.is_hook]
        return tasks + unfolding.rows_of_hooks(self.run, hooks)

    @cached_property
    def unfolded(self) -> tuple[int, ...]:
        """Return the numbers of the frames of the picture that are open beside the usual ones."""
        return unfolding.choose_unfolded(self.run.version.graph, self._unfold, self.drawn)

    @cached_property
    def picture(self) -> Picture:
        return picture_of(self.run.version.graph, self.unfolded)

    @cached_property
    def faces(self) -> list[Face]:
        return faces(self.picture, self.drawn)

    @cached_property
    def asked(self) -> list[UUID]:
        """Return the ids of the oldest open approvals in this run and in the runs below it."""
        if not self.sees_tasks or not (self.counts + self.hooks)[TaskStatus.WAITING]:
            return []
        return open_approvals.oldest(self.run, ASKED_SHOWN + 1)

    @property
    def filters(self) -> Iterator[tuple[str, str, int]]:
        """Yield each status with its label and its number of tasks, the most alarming first."""
        for status in BY_CONCERN:
            yield status.value, formatting.status_label(status), self.counts[status]

    @property
    def is_live(self) -> bool:
        """Whether anything may still change: the run, or a hook after it."""
        return not self.run.is_finished or any(self.hooks[status] for status in TASK_ACTIVE)

    @property
    def poll(self) -> int:
        return POLL_LARGE if self.counts.total() > LARGE else POLL
