"""What rows must say after each step of the model test."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django_director.graph import Graph, expand
from django_director.models import Run, Task
from django_director.querysets import positions_in
from django_director.status import RUN_FINISHED, STOP_SPARING, TASK_ACTIVE, RunStatus, Stop, TaskStatus

from . import driver

OUTCOMES = {
    Stop.CANCEL: RunStatus.CANCELED,
    Stop.STEP_TIMEOUT: RunStatus.CANCELED,
    Stop.FAIL_FAST: RunStatus.FAILED,
    Stop.SKIP: RunStatus.CANCELED,
}


def check_run(run: Run) -> None:
    """An outcome as the tasks', and gates as the tasks' statuses say."""
    statuses = set(run.tasks.steps().values_list("status", flat=True))
    graph = run.version.graph
    failed = run.tasks.steps().failed()
    broken = failed.exclude(positions_in(graph.forgiven)) if graph.forgiven else failed
    if run.status in RUN_FINISHED:
        assert not statuses & TASK_ACTIVE, "a finished run has an active task"
        assert run.status == OUTCOMES.get(run.stop, run.status), "a canceled run has another outcome"
    if run.status == RunStatus.SUCCESS:
        assert not statuses & {TaskStatus.CANCELED, TaskStatus.UPSTREAM_FAILED}
        assert not broken.exists()
    if run.status == RunStatus.FAILED:
        # What a cancel has left counts as failed after a rerun.
        assert broken.exists() or TaskStatus.CANCELED in statuses
    if not run.stop:
        driver.check_gates(run)


def check_slots(workflow: str, limit: int) -> None:
    """As many runs of a key as may, and no more."""
    runs = Run.objects.filter(workflow__name=workflow)
    held = Counter(runs.filter(status=RunStatus.RUNNING).values_list("concurrency_key", flat=True))
    assert not held or max(held.values()) <= limit, "more runs of a key than its limit"
    for key in runs.wanting().values_list("concurrency_key", flat=True):
        assert held[key] == limit, "a run waits for a slot that is free"


def check_pauses() -> None:
    """What is paused is a whole family."""
    awaited = Run.objects.active().unstopped().filter(is_awaited=True).select_related("parent_task__run")
    apart = [run for run in awaited if (run.paused_at is None) != (run.parent_task.run.paused_at is None)]
    assert not apart, "a pause has not reached a child run"


def check_stops() -> None:
    """What is stopped for good too."""
    awaited = Run.objects.active().unstopped().filter(is_awaited=True)
    assert not awaited.exclude(parent_task__run__stop__in=STOP_SPARING).exists(), (
        "a stop has not reached a child run"
    )


def check_reset(run: Run, task: Task, verb: str, before: dict[Any, Task]) -> None:
    """What had succeeded and runs again has a new key, and an attempt that tells of it; all else is kept."""
    again, around = _again(run.version.graph, task)
    for row in run.tasks.steps():
        old = before[row.pk]
        if row.position == around:
            continue
        if (row.map_index, row.position) not in again:
            assert (row.status, row.reruns, row.result) == (old.status, old.reruns, old.result)
            continue
        assert row.status != TaskStatus.SUCCESS, "a reset has left what is downstream"
        assert row.reruns == old.reruns + (old.status == TaskStatus.SUCCESS)
        replaced = row.attempts.filter(outcome="replaced", generation=run.generation - 1).count()
        assert replaced == int(old.status == TaskStatus.SUCCESS and old.attempt > 0)
    status = Task.objects.get(pk=task.pk).status
    assert status == TaskStatus.SKIPPED if verb == "skip" else status in {TaskStatus.QUEUED, TaskStatus.PENDING}


def _again(graph: Graph, task: Task) -> tuple[set[tuple[int, int]], int | None]:
    """What a reset of a task is about, by item and position, and the map around it; without junctions."""
    around = graph.node(task.position).map_position
    first = task.position if around is None else around
    later = {(-1, position) for position in _downstream(graph, first)}
    if around is None:
        return later, None
    own = range(task.position, (graph.nodes[around].body or (0, 0))[1])
    return later | {(task.map_index, position) for position in own}, around


def _downstream(graph: Graph, first: int) -> set[int]:
    found = {first}
    size = 0
    while size < len(found):
        size = len(found)
        found |= {node.position for node in graph.nodes if found & set(node.upstream)}
        found |= {position for head in found for position in expand(graph.nodes[head].inside)}
    return found
