"""Runs a whole workflow in this process, with the same engine but without a broker and a worker."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID
from weakref import WeakSet

from celery import Celery, current_app
from celery.app.trace import build_tracer
from django.db.models import Q

from django_director.common import ids
from django_director.db.functions import Now
from django_director.db.transactions import transact
from django_director.definitions import WorkflowStep
from django_director.dispatch import publisher
from django_director.dispatch.messages import HEADER
from django_director.engine import lineage, outbox, stopping
from django_director.engine.attempts import endings
from django_director.engine.attempts.failures import Failure
from django_director.engine.concurrency import admission, pending_reasons
from django_director.engine.queries import read_to_end
from django_director.engine.steps import child_workflows, timers
from django_director.engine.supervisor import publishing, timeouts
from django_director.exceptions import Conflict
from django_director.models import Run, Task
from django_director.models.querysets import RunQuerySet, TaskQuerySet
from django_director.status import RunStatus, TaskStatus

from . import attempts
from .task import adopt

logger = logging.getLogger(__name__)

BATCH: Final = 100
PAUSE: Final = 0.05
"""Seconds between two checks of a run that waits for a retry or a wait step, or that is paused.

While tasks run, what else is due in the run is looked at as often: each look costs more than a short task.
"""
TELL: Final = 0.5
"""Seconds between two calls of the function that shows what happens: it asks the database several things."""
NAMED: Final = 3
"""How many tasks an error message names."""
IDLE_SECONDS: Final = 2.0
"""After so many seconds without progress a run whose delays are skipped is given up: no other process moves it."""
CHANGING: Final = ("status", "stop", "paused_at", "started_at", "finished_at")
"""The columns of a run that are read again while it runs."""


def run_to_end(
    run: Run,
    timeout: float | None = None,
    on_change: Callable[[Run], object] | None = None,
    *,
    skip_delays: bool = False,
) -> Run:
    """Run the tasks of a started run, and its hook, until the run has an outcome; return the run.

    If nothing is left to do but decisions on approvals, the run is returned without an outcome. Call this again
    when they are decided. ``on_change`` is called with the run after each task, or after several short ones. With
    ``skip_delays`` retries follow at once, and wait steps end at once.

    Raises ``TimeoutError`` after ``timeout`` seconds, which are checked between tasks. Raises ``Conflict`` if the
    run waits for the end of another run and there is no ``timeout``; and with ``skip_delays`` also if the run
    waits for anything that this process does not do, because there may be no other process to do it.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    own = _Family(run)
    rounds = _Rounds(_ready_app(), own, skip_delays=skip_delays)
    moved_at, told_at = time.monotonic(), float("-inf")
    with publisher.withheld(own):
        while (moved := rounds.next()) is not None:
            if moved:
                moved_at = time.monotonic()
            elif deadline is None:
                _refuse_to_wait(own)
            if not moved and skip_delays:
                _refuse_to_idle(own, time.monotonic() - moved_at)
            if on_change is not None and time.monotonic() - told_at >= TELL:
                told_at = time.monotonic()
                run.refresh_from_db(fields=CHANGING)
                on_change(run)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"run {run.pk} has no outcome after {timeout} s")
    run.refresh_from_db()
    if on_change is not None:
        on_change(run)
    return run


_ready: Final[WeakSet[Celery]] = WeakSet()


def _ready_app() -> Celery:
    """Return the app, after the modules of its tasks were imported and the tasks that exist now were adopted."""
    proxy: Any = current_app
    app: Celery = proxy._get_current_object()
    # Once, as a worker does it: each time Celery also runs Django's checks of the models.
    if app not in _ready:
        app.loader.import_default_modules()
        _ready.add(app)
    adopt(app)
    return app


class _Family:
    """A run and all child runs below it; new child runs are added while they start."""

    def __init__(self, root: Run) -> None:
        self.root = root
        self._known = {root.pk}
        self._has_children = any(isinstance(node.step, WorkflowStep) for node in root.version.graph.nodes)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._known or run_id in self._find_all()

    @property
    def runs(self) -> RunQuerySet:
        """The runs as a queryset."""
        found: RunQuerySet = Run.objects.filter(pk__in=self._find_all())
        return found

    @property
    def tasks(self) -> TaskQuerySet:
        """The tasks of the runs."""
        found: TaskQuerySet = Task.objects.filter(run__in=self._find_all())
        return found

    def has_ended(self) -> bool:
        """Whether all the runs have an outcome, the root as it was read, and all their tasks."""
        return self.root.is_finished and not self.runs.active().exists() and not self.tasks.active().exists()

    def _find_all(self) -> set[UUID]:
        if self._has_children:
            self._known.update(lineage.descendants(self.root.pk))
        return self._known


def _refuse_to_wait(own: _Family) -> None:
    for run_id, waits in pending_reasons.of_runs(own.runs.filter(status=RunStatus.PENDING)).items():
        if waits.behind and waits.behind not in own:
            raise Conflict(f"run {run_id} {waits}; it stays pending")


def _refuse_to_idle(own: _Family, seconds: float) -> None:
    """Raise ``Conflict`` if the run is paused, or if it has made no progress for ``IDLE_SECONDS``."""
    if own.root.shown_status == "paused":
        raise Conflict(f"run {own.root.pk} is paused: resume it first")
    if seconds < IDLE_SECONDS:
        return
    active = Task.objects.filter(run__in=own.runs).active().for_listing()
    running = [f"“{task.label}” is running elsewhere ({task.worker})" for task in active.running()[:NAMED]]
    others = [f"“{task.label}” is {task.status}" for task in active.order_by("position")[:NAMED]]
    raise Conflict(f"run {own.root.pk} does not go on: {', '.join(running or others) or 'it has no task to run'}")


class _Rounds:
    """Does what can be done in a family of runs, in rounds.

    A round runs tasks that are queued. What a supervisor does beside, such as to end waits, is done when no task
    is queued, and every ``PAUSE`` seconds.
    """

    def __init__(self, app: Celery, own: _Family, *, skip_delays: bool) -> None:
        self.app = app
        self.own = own
        self.skip_delays = skip_delays
        # Only the time limit of a run may be over before its first task is run here.
        self.looked_at = time.monotonic() if own.root.deadline_at is None else float("-inf")

    def next(self) -> bool | None:
        """Do a round; return whether it has done anything, or ``None`` if nothing is left to do."""
        tasks = self.own.tasks
        has_moved = False
        queued = [] if self._must_look() else _find_queued(tasks)
        if not queued or any(task.run.stop for task in queued):
            self.own.root.refresh_from_db(fields=CHANGING)
            if self.own.has_ended():
                return None
            if self.own.root.shown_status == "paused":
                time.sleep(PAUSE)
                return False
            has_moved = self._look(tasks)
            queued = _find_queued(tasks)
        self._execute(queued)
        if queued or has_moved:
            return True
        if not _goes_on(tasks):
            return None
        time.sleep(PAUSE)
        return False

    def _must_look(self) -> bool:
        return time.monotonic() - self.looked_at > PAUSE

    def _look(self, tasks: TaskQuerySet) -> bool:
        """Do for these runs what the supervisor does for all; return whether a child run has told of its end."""
        runs = self.own.runs
        timeouts.stop_overdue_runs(runs)
        for run_id in runs.stopping().values_list("pk", flat=True):
            stopping.continue_stop(run_id)
        for pending in runs.filter(status=RunStatus.PENDING):
            if self.skip_delays:
                admission.bring_forward(pending)
            admission.try_start(pending)
        delayed = tasks.filter(not_before__isnull=False)
        publishing.wake_tasks(delayed if self.skip_delays else delayed.filter(not_before__lte=Now()))
        if self.skip_delays:
            timers.end_waits(tasks)
        timers.fire(tasks)
        self.looked_at = time.monotonic()
        # In a caller's transaction the steps that wait for child runs do not know yet that these have ended.
        told = [child_workflows.report(child) for child in runs.reporting().values_list("pk", flat=True)]
        return any(told)

    def _execute(self, queued: list[Task]) -> None:
        for task in queued:
            _execute(self.app, task)
            if self._must_look():
                return


def _find_queued(tasks: TaskQuerySet) -> list[Task]:
    """Return the next queued tasks of runs that are not paused, with what their messages say."""
    found = tasks.queued().filter(run__paused_at=None).select_related("run__version")
    columns = ("position", "map_index", "name", "queue", "sequence", "failures")
    found = found.only(*columns, "run__stop", "run__version__content_hash")
    return list(found.order_by("run_id", "position", "map_index")[:BATCH])


def _goes_on(tasks: TaskQuerySet) -> bool:
    """Whether something may happen in the run without a decision on an approval."""
    active = tasks.active()
    if not active.exists():
        return False
    timed = Q(status=TaskStatus.WAITING, asked_at=None) & ~Q(not_before=None, deadline_at=None)
    moving = active.filter(timed | Q(status__in=[TaskStatus.QUEUED, TaskStatus.RUNNING]))
    return moving.exists() or not tasks.asked().exists()


def _execute(app: Celery, task: Task) -> None:
    celery_task: Any = app.tasks.get(task.name)
    if celery_task is None:
        failure = Failure(error=f"UnknownTask: this process does not know the task “{task.name}”")
        [row] = read_to_end(Task.objects.filter(pk=task.pk))
        transact(lambda: endings.fail_row(row, failure))
        return
    message = outbox.message_of(task, task.run.version.content_hash)
    tracer: Any = build_tracer(celery_task.name, celery_task, eager=True, app=app)
    try:
        attempts.trace(celery_task, tracer, message.header, _request(task, message.header))
    # It is an error of the task's own handlers; the outcome is written. A worker logs such an error and goes on.
    except Exception:
        logger.exception("A handler of task %s raised an error.", task.name)


def _request(task: Task, header: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": ids.message_id(task.pk, task.sequence),
        "hostname": socket.gethostname(),
        "headers": {HEADER: header},
        "retries": task.failures,
        "is_eager": True,
        "delivery_info": {"is_eager": True, "routing_key": task.queue or None},
        "root_id": str(task.run_id),
        "parent_id": str(task.run_id),
    }
