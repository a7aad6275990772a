"""What the page of a run shows of one task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.utils.safestring import SafeString

from django_director.common.times import aware
from django_director.definitions import WorkflowStep
from django_director.models import Run, Task
from django_director.presentation import hook_names, silent_workers
from django_director.status import TaskStatus

from . import formatting, task_lines
from .links import Links, called_name


@dataclass(frozen=True, slots=True)
class Row:
    """A task in the tree of steps."""

    id: UUID
    label: str
    celery_name: str
    hook: str
    """The name of the hook; empty if the task is no hook."""
    badge: SafeString
    attempt: int
    started: SafeString | str
    duration: str
    since: str
    """When a running task has started, in seconds since 1970: the page counts its duration from there."""
    error: str
    child: str
    """The address of the child run; empty without one."""
    child_badge: SafeString | str


def since(row: Run | Task) -> str:
    """Return from when the duration of a running run or task counts, in seconds since 1970; empty for others.

    It is a text, for templates write numbers with separators.
    """
    begun = formatting.counted_from(row)
    if begun is None or row.is_finished or (isinstance(row, Run) and row.paused_at is not None):
        return ""
    return str(int(aware(begun).timestamp()))


def make_rows(tasks: Iterable[Task], run: Run, links: Links, *, sees_payload: bool) -> list[Row]:
    """Return the rows of some tasks of a run. It takes one query if some of them have child runs."""
    tasks = list(tasks)
    called = _child_runs(tasks, run)
    return [_row(task, run, links, called, sees_payload=sees_payload) for task in tasks]


def _child_runs(tasks: Iterable[Task], run: Run) -> Mapping[UUID, Run]:
    steps = run.version.graph.node
    ids = [
        task.child_run for task in tasks if task.child_run and isinstance(steps(task.position).step, WorkflowStep)
    ]
    columns = ("status", "stop", "paused_at", "finished_at")
    return Run.objects.only(*columns).in_bulk(ids) if ids else {}


def _row(task: Task, run: Run, links: Links, called: Mapping[UUID, Run], *, sees_payload: bool) -> Row:
    task.run = run
    is_running = task.status == TaskStatus.RUNNING
    child = called.get(task.child_run) if task.child_run else None
    return Row(
        id=task.pk,
        label=formatting.name(task.label),
        celery_name=called_name(run.version.graph.node(task.position)),
        hook=hook_names.of_task(task),
        badge=task_lines.badge(task),
        attempt=task.attempt,
        started=_clock(task.started_at),
        duration=formatting.elapsed(task) if is_running or task.duration is not None else "",
        since=since(task) if is_running and not silent_workers.is_marked(task) else "",
        error=_explain(task, sees_payload=sees_payload),
        child=links.to_run(child.pk) if child else "",
        child_badge=formatting.badge(child.shown_status) if child else "",
    )


def _clock(moment: datetime | None) -> str:
    """Return a time of today without its date."""
    text = formatting.moment(moment)
    today = formatting.moment(datetime.now(UTC))[:10]
    return text.removeprefix(today).strip() if moment else ""


def _explain(task: Task, *, sees_payload: bool) -> str:
    """Return why a task is in its status, or what a running one reports."""
    if task.status == TaskStatus.RUNNING and task.progress and not silent_workers.is_marked(task):
        return task_lines.progress_text(task, sees_payload=sees_payload)
    return task_lines.explain_status(task, sees_payload=sees_payload)
