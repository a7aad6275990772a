"""Runs and tasks as the JSON objects of the API and of ``--json``; no other module makes these objects.

Times are ISO 8601 in UTC, durations are seconds, and absent values are ``None``. Values that may be secret are
left out unless the caller says that the reader may see them, and are masked even then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django_director.conf import director
from django_director.db.functions import iso
from django_director.definitions import ApprovalStep
from django_director.engine.concurrency import keys, pending_reasons
from django_director.exceptions import InvalidPayload
from django_director.graph import OWN_TASK, is_read_in_pieces
from django_director.masking.values import MASKED, mask
from django_director.models import Run, Task, Workflow
from django_director.status import TaskStatus

from . import served_queues, visible_errors
from .hook_names import outcome_of
from .summaries import TaskCounts, items_to_come, progress, task_counts

if TYPE_CHECKING:
    from django_director.graph import Graph

Json = dict[str, Any]

LOGS_SHOWN: Final = 10
"""The log lines of so many attempts of a task are shown: of the last ones."""


def run_as_json(
    run: Run,
    *,
    with_payload: bool,
    counts: dict[str, int] | None = None,
    shown_parents: Collection[UUID] | None = None,
) -> Json:
    """Return a run, without its tasks.

    ``payload`` and ``result`` are ``None`` unless ``with_payload``. ``counts`` are the task counts of a run that
    has just been started, if the caller knows them; else they take a query. ``shown_parents`` are the tasks that
    ``parent_task`` may name; without them it may name any.
    """
    found = task_counts([run])[run.pk] if counts is None else TaskCounts(counts, counts)
    data = _run(run, found, pending_reasons.of_run(run), sees_payload=with_payload)
    _hide_parent(data, run, shown_parents)
    if with_payload:
        data["concurrency_key"] = shown_key(run)
        data["payload"] = mask(run.payload, run.version.graph.definition.schema)
        data |= _result(run.read_result())
    return data


def runs_as_json(
    runs: Iterable[Run],
    *,
    sees_payload: Callable[[Workflow], bool],
    shown_parents: Collection[UUID] | None = None,
) -> list[Json]:
    """Return the runs of a list, without ``payload`` and ``result``.

    It takes one query for all of them, and another if some are pending. ``sees_payload`` returns whether the
    reader may see errors of a workflow in full. ``shown_parents`` are those of ``run_as_json``. Read the runs with
    ``Run.objects.for_listing()``.
    """
    listed = list(runs)
    counts, places = task_counts(listed), pending_reasons.of_runs(listed)
    seen = {run.workflow_id: sees_payload(run.workflow) for run in listed}
    shown = [_run(run, counts[run.pk], places.get(run.pk), sees_payload=seen[run.workflow_id]) for run in listed]
    for run, data in zip(listed, shown, strict=True):
        _hide_parent(data, run, shown_parents)
    return shown


def shown_key(run: Run) -> str | None:
    """Return the concurrency key of a run, for readers who may see its payload; ``None`` without a key.

    The key is hidden unless it follows from parts of the payload that are not hidden.
    """
    if not run.concurrency_key:
        return None
    graph = run.version.graph
    try:
        key = keys.key_of(graph, mask(run.payload, graph.definition.schema), run.facts)
    except InvalidPayload:
        return MASKED
    return keys.readable(run.concurrency_key) if key == run.concurrency_key else MASKED


def task_as_json(task: Task, *, with_payload: bool) -> Json:
    """Return a task, with its result, traceback and log lines if ``with_payload``; the log lines take a query.

    The result of a map is the list of its items' results. (It is ``None`` in ``tasks_as_json``.)
    """
    data = next(_tasks(task.run, [task], with_payload=with_payload, is_list=False))
    if with_payload and task.map_count is not None:
        data |= _result(task.read_result())
    return data | {"logs": _logs(task) if with_payload else None}


def tasks_as_json(run: Run, tasks: Iterable[Task], *, with_payload: bool) -> Iterator[Json]:
    """Yield tasks of one run, with results and tracebacks if ``with_payload``; it takes no query for each.

    The result of a map is left out, and so is a list over ``MAX_RESULT`` that only maps read.
    """
    return _tasks(run, tasks, with_payload=with_payload)


def task_lines_as_json(run: Run, tasks: Iterable[Task]) -> Iterator[Json]:
    """Yield what a list for people shows of tasks of one run: errors in full, no results, nothing of their order.

    Read the tasks with ``for_listing()``.
    """
    queues, maps = served_queues.Names(), _Maps(run)
    for task in tasks:
        data = _task(task, run, sees_payload=True) | {"queue": queues.of(task) or None}
        yield data if task.map_count is None else data | {"progress": maps.progress(task)}


def time_as_json(value: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with a ``Z``; ``None`` for ``None``."""
    return iso(value)


def _run(run: Run, counts: TaskCounts, place: pending_reasons.Waiting | None, *, sees_payload: bool) -> Json:
    done, total = progress(counts.work)
    return {
        "id": str(run.pk),
        "workflow": run.workflow.name,
        "version": run.version.number,
        "status": run.shown_status,
        "trigger": run.trigger,
        "user": run.user_name or None,
        "comment": run.comment or None,
        "payload": None,
        "result": None,
        "result_error": None,
        "error": visible_errors.of_run(run, sees_payload=sees_payload) or None,
        "idempotency_key": run.idempotency_key,
        "concurrency_key": None,
        "waiting": None if place is None else _waiting(place),
        "schedule": run.schedule,
        "scheduled_for": time_as_json(run.scheduled_for),
        "relaunched_from": _id(run.relaunched_from_id),
        "parent_task": _id(run.parent_task_id),
        "created_at": time_as_json(run.created_at),
        "started_at": time_as_json(run.started_at),
        "finished_at": time_as_json(run.finished_at),
        "duration": run.duration,
        "task_counts": counts.rows,
        "progress": {"done": done, "total": total},
    }


def _hide_parent(data: Json, run: Run, shown_parents: Collection[UUID] | None) -> None:
    if shown_parents is not None and run.parent_task_id not in shown_parents:
        data["parent_task"] = None


def _result(read: tuple[Any, str]) -> Json:
    value, error = read
    return {"result": mask(value), "result_error": error or None}


def _waiting(place: pending_reasons.Waiting) -> Json:
    return {"reason": str(place), "behind": _id(place.behind), "until": time_as_json(place.until)}


def short_run_as_json(run: Run) -> Json:
    return {
        "id": str(run.pk),
        "status": run.shown_status,
        "trigger": run.trigger,
        "created_at": time_as_json(run.created_at),
        "started_at": time_as_json(run.started_at),
        "finished_at": time_as_json(run.finished_at),
        "duration": run.duration,
    }


def _tasks(run: Run, tasks: Iterable[Task], *, with_payload: bool, is_list: bool = True) -> Iterator[Json]:
    upstream, queues, maps = _Upstream(run.version.graph), served_queues.Names(), _Maps(run)
    for task in tasks:
        data = _task(task, run, sees_payload=with_payload) | {"upstream": upstream.of(task)}
        data["queue"] = queues.of(task) or None
        if task.map_count is not None:
            data["progress"] = maps.progress(task)
        if with_payload:
            data["result"] = None if is_list and _is_long(run, task) else mask(task.result)
            data["traceback"] = task.traceback or None
        yield data


def _is_long(run: Run, task: Task) -> bool:
    """Whether a task has a result that is larger than those of others may be, as only maps read it."""
    if task.result is None or task.is_hook or not is_read_in_pieces(run.version.graph, task.position):
        return False
    limit: int = director.MAX_RESULT
    return len(json.dumps(task.result, ensure_ascii=False).encode()) > limit


def _task(task: Task, run: Run, *, sees_payload: bool) -> Json:
    node = run.version.graph.node(task.position)
    step = node.step
    return {
        "id": str(task.pk),
        "run": str(run.pk),
        "step": task.step,
        "label": task.label,
        "kind": node.kind,
        "task": None if task.name == OWN_TASK else task.name,
        "map_index": task.map_index if task.map_index >= 0 else None,
        "is_hook": task.is_hook,
        "hook": outcome_of(task, run.version.graph),
        "generation": task.generation,
        "status": task.status,
        "attempt": task.attempt,
        "upstream": [],
        "queue": None,
        "worker": task.worker or None,
        "result": None,
        "result_error": None,
        "error": visible_errors.of_task(task.error, sees_payload=sees_payload) or None,
        "traceback": None,
        "reason": visible_errors.reason(task.reason, sees_payload=sees_payload) or None,
        "progress": visible_errors.progress(task.progress, sees_payload=sees_payload),
        "prompt": step.prompt or None if isinstance(step, ApprovalStep) else None,
        "decision": visible_errors.decision(task.decision, sees_payload=sees_payload),
        "asked_at": time_as_json(task.asked_at),
        "waits_until": time_as_json(_end_of_wait(task)),
        "child_run": _id(task.child_run),
        "queued_at": time_as_json(task.queued_at),
        "started_at": time_as_json(task.started_at),
        "finished_at": time_as_json(task.finished_at),
        "duration": task.duration,
    }


def _end_of_wait(task: Task) -> datetime | None:
    """Return when the waiting of a task ends by itself: that of an approval, a wait step, or a delayed attempt."""
    return task.deadline_at or task.not_before if task.status == TaskStatus.WAITING else None


def _logs(task: Task) -> list[Json]:
    rows = task.logs.order_by("-sequence").values("attempt", "generation", "text")[:LOGS_SHOWN]
    return [dict(row) for row in rows][::-1]


class _Upstream:
    """The ids of the steps before each task; tasks that wait for the same steps share one list."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.lists: dict[int, list[str]] = {}

    def of(self, task: Task) -> list[str]:
        positions = self.graph.node(task.position).upstream
        if id(positions) not in self.lists:
            self.lists[id(positions)] = [self.graph.node(position).step.id for position in positions]
        return self.lists[id(positions)]


class _Maps:
    """The progress of a run's maps: how many of their items have ended. It takes one query for all of them."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def to_come(self) -> dict[int, int]:
        return items_to_come(self.run)

    def progress(self, task: Task) -> Json | None:
        total, to_come = task.map_count, self.to_come.get(task.position)
        return (
            None if total is None or to_come is None else {"done": total - to_come, "total": total, "message": ""}
        )


def _id(value: object) -> str | None:
    return str(value) if value else None
