"""What rows must say after each step of the model test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django_director.graph import Graph, expand
from django_director.models import Gate, Run, Task
from django_director.status import RUN_FINISHED, STOP_SPARING, TASK_ACTIVE, RunStatus, Stop, TaskStatus
from tests.acceptance import checker

from . import driver

OUTCOMES = {
    Stop.CANCEL: RunStatus.CANCELED,
    Stop.STEP_TIMEOUT: RunStatus.CANCELED,
    Stop.FAIL_FAST: RunStatus.FAILED,
    Stop.SKIP: RunStatus.CANCELED,
}


class Watch:
    """Checks those runs of which something has changed since it looked last."""

    def __init__(self) -> None:
        self.seen: dict[Any, Any] = {}

    def look(self) -> None:
        """An outcome as the tasks', gates as the tasks' statuses say, and child runs that somebody waits for."""
        now = self._read()
        if now == self.seen:
            return
        changed = [pk for pk, rows in now.items() if rows != self.seen.get(pk)]
        self.seen = now
        for run in Run.objects.filter(pk__in=changed).select_related("version"):
            _check_run(run, now[run.pk])
        checker.assert_none(checker.family(Run.objects.only("pk")))

    def _read(self) -> dict[Any, tuple[list[Any], ...]]:
        found: dict[Any, tuple[list[Any], ...]] = {}
        for pk, *columns in Run.objects.values_list("pk", "status", "stop", "generation").order_by():
            found[pk] = (columns, [], [])
        tasks = Task.objects.order_by("pk")
        for pk, *columns in tasks.values_list("run", "is_hook", "map_index", "position", "status", "map_count"):
            found[pk][1].append(tuple(columns))
        for pk, *columns in Gate.objects.order_by("pk").values_list(
            "run", "seq", "remaining", "failed", "skipped"
        ):
            found[pk][2].append(tuple(columns))
        return found


def _check_run(run: Run, rows: tuple[list[Any], ...]) -> None:
    graph = run.version.graph
    steps = [(position, status) for is_hook, _, position, status, _ in rows[1] if not is_hook]
    statuses = {status for _, status in steps}
    forgiven = set(expand(graph.forgiven))
    is_broken = any(status == TaskStatus.FAILED and position not in forgiven for position, status in steps)
    if run.status in RUN_FINISHED:
        assert not statuses & TASK_ACTIVE, "a finished run has an active task"
        assert run.status == OUTCOMES.get(run.stop, run.status), "a canceled run has another outcome"
    if run.status == RunStatus.SUCCESS:
        assert not statuses & {TaskStatus.CANCELED, TaskStatus.UPSTREAM_FAILED}
        assert not is_broken, "a run is a success although something has failed"
    if run.status == RunStatus.FAILED:
        # What a cancel has left counts as failed after a rerun.
        assert is_broken or TaskStatus.CANCELED in statuses
    if not run.stop:
        driver.check_gates(run)


def check_slots(limits: Mapping[str, int]) -> None:
    """As many runs of a workflow's key as may, and no more."""
    runs = Run.objects.filter(workflow__name__in=limits).order_by()
    columns = ("workflow__name", "concurrency_key")
    held = Counter(runs.filter(status=RunStatus.RUNNING).values_list(*columns))
    for (workflow, _), number in held.items():
        assert number <= limits[workflow], "more runs of a key than its limit"
    for key in runs.awaiting_slot().values_list(*columns):
        assert held[key] == limits[key[0]], "a run waits for a slot that is free"


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
