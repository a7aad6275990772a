"""Run a whole workflow in this process: no broker, no worker, the same engine."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from celery import Celery, current_app
from celery.app.trace import build_tracer
from django.db.models import Q

from django_director.common import ids
from django_director.db.functions import Now
from django_director.db.transactions import transact
from django_director.definitions import WorkflowStep
from django_director.dispatch import publisher
from django_director.dispatch.publisher import HEADER
from django_director.engine import lineage, outbox, stopping
from django_director.engine.attempts import endings
from django_director.engine.attempts.failures import Failure
from django_director.engine.concurrency import admission, pending_reasons
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
"""Seconds between two looks while a retry or a wait has time left, or the run is paused."""
NAMED: Final = 3
"""How many tasks a message names."""
IDLE_SECONDS: Final = 2.0
"""For so long a run whose delays are skipped may stand still: then nobody is there to move it."""


def run_to_end(
    run: Run,
    timeout: float | None = None,
    on_change: Callable[[Run], object] | None = None,
    *,
    skip_delays: bool = False,
) -> Run:
    """Run a started run's tasks, and its hook, one after the other until there is an outcome.

    A run in which nothing is left to do but to decide on its approvals is returned without one; call this again
    when somebody has decided. ``on_change`` is called after each task. ``skip_delays`` lets retries follow at
    once, and ends waits at once. Raises ``TimeoutError`` after ``timeout`` seconds, looked at between tasks, and
    ``Conflict`` when the run waits for the end of another one and there is no ``timeout``, or with
    ``skip_delays`` for anything that nobody here does: nobody may be there to do it.
    """
    proxy: Any = current_app
    app: Celery = proxy._get_current_object()
    app.loader.import_default_modules()
    adopt(app)
    deadline = None if timeout is None else time.monotonic() + timeout
    own = _Family(run)
    moved_at = time.monotonic()
    with publisher.withheld(own):
        while (moved := _step(app, own, skip_delays)) is not None:
            run.refresh_from_db()
            if deadline is None:
                _refuse_to_wait(own)
            if moved:
                moved_at = time.monotonic()
            elif skip_delays:
                _refuse_to_idle(own, time.monotonic() - moved_at)
            if on_change is not None:
                on_change(run)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"run {run.pk} has no outcome after {timeout} s")
    run.refresh_from_db()
    return run


class _Family:
    """A run and the child runs below it; it grows while they run."""

    def __init__(self, root: Run) -> None:
        self.root = root
        self._known = {root.pk}
        self._has_children = any(isinstance(node.step, WorkflowStep) for node in root.version.graph.nodes)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._known or (self._has_children and run_id in self._look())

    @property
    def runs(self) -> RunQuerySet:
        """All of them."""
        if self._has_children:
            self._look()
        found: RunQuerySet = Run.objects.filter(pk__in=self._known)
        return found

    def _look(self) -> set[UUID]:
        self._known.update(lineage.descendants(self.root.pk))
        return self._known


def _refuse_to_wait(own: _Family) -> None:
    for run_id, waits in pending_reasons.of_runs(own.runs.filter(status=RunStatus.PENDING)).items():
        if waits.behind and waits.behind not in own:
            raise Conflict(f"run {run_id} {waits}; it stays pending")


def _refuse_to_idle(own: _Family, seconds: float) -> None:
    """Raise ``Conflict`` where nothing has moved for ``seconds`` that can't be right, in a run without delays."""
    if own.root.shown_status == "paused":
        raise Conflict(f"run {own.root.pk} is paused: resume it first")
    if seconds < IDLE_SECONDS:
        return
    active = Task.objects.filter(run__in=own.runs).active().for_listing()
    running = [f"“{task.label}” is running elsewhere ({task.worker})" for task in active.running()[:NAMED]]
    others = [f"“{task.label}” is {task.status}" for task in active.order_by("position")[:NAMED]]
    raise Conflict(f"run {own.root.pk} does not go on: {', '.join(running or others) or 'it has no task to run'}")


def _step(app: Celery, own: _Family, skip_delays: bool) -> bool | None:
    """Do what can be done now; say whether that was anything, or ``None`` when nothing is left to do."""
    run, runs = own.root, own.runs
    tasks = Task.objects.filter(run__in=runs)
    if run.shown_status == "paused":
        time.sleep(PAUSE)
        return False
    timeouts.stop_overdue_runs(runs)
    for run_id in runs.stopping().values_list("pk", flat=True):
        stopping.continue_stop(run_id)
    for pending in runs.filter(status=RunStatus.PENDING):
        if skip_delays:
            admission.bring_forward(pending)
        admission.try_start(pending)
    delayed = tasks.filter(not_before__isnull=False)
    publishing.wake_tasks(delayed if skip_delays else delayed.filter(not_before__lte=Now()))
    if skip_delays:
        timers.end_waits(tasks)
    timers.fire(tasks)
    queued = list(tasks.queued().select_related("run__version").order_by("run_id", "position")[:BATCH])
    for task in queued:
        _execute(app, task)
    # In a transaction of the caller's nobody has told the steps that wait for child runs.
    told = [child_workflows.report(child) for child in runs.reporting().values_list("pk", flat=True)]
    if queued or told:
        return True
    if not _goes_on(tasks):
        return None
    time.sleep(PAUSE)
    return False


def _goes_on(tasks: TaskQuerySet) -> bool:
    """Whether something may happen without anybody's decision."""
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
        transact(lambda: endings.fail_row(task, failure))
        return
    message = outbox.message_of(task, task.run.version.content_hash)
    tracer: Any = build_tracer(celery_task.name, celery_task, eager=True, app=app)
    try:
        attempts.trace(celery_task, tracer, message.header, _request(task, message.header))
    # Of the task's own handlers, after its outcome was written. A worker logs them, too, and goes on.
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
