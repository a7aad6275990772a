"""Plans of what retry, rerun and skip would do. They are made before the transaction, and shown in previews.

A plan holds as long as the run has the same generation: the rows of a finished run do not change while it does.
The transaction checks the generation first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from django_director.common import ids
from django_director.engine.concurrency import admission
from django_director.exceptions import Conflict
from django_director.graph import Graph, Node, Replay, expand, replay
from django_director.models import Run, Task
from django_director.status import (
    RUN_RETRYABLE,
    TASK_BROKEN,
    TASK_RETRYABLE,
    Stop,
    TaskStatus,
)

from . import item_plans
from .item_plans import ItemPlan
from .recompute import statuses_of

_NAMED: Final = 3
_SKIPPED: Final = TaskStatus.SKIPPED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A planned reset of a finished run."""

    run: Run
    verb: str
    before: Mapping[int, str]
    """The statuses of all tasks by position, as they are."""
    again: frozenset[int]
    """What becomes pending."""
    skipped: int | None
    """What becomes skipped."""
    after: Mapping[int, str]
    """The statuses after that."""
    replay: Replay
    """Where the run stands then."""
    maps: Mapping[int, ItemPlan] = field(default_factory=dict)
    """The maps of which only some items run again, by position."""

    @property
    def removed(self) -> list[Node]:
        """The maps whose tasks for items are deleted."""
        changed = self.changed
        return [node for position, node in self.run.version.graph.maps.items() if position in changed]

    @property
    def changed(self) -> frozenset[int]:
        """The positions of the tasks whose columns are cleared."""
        return self.again if self.skipped is None else self.again | {self.skipped}


def of_retry(run: Run) -> Plan:
    """Plan to run failed and canceled tasks again, and everything downstream of them. Raises ``Conflict``."""
    _refresh(run)
    if run.status not in RUN_RETRYABLE:
        raise _conflict(run, "retried", f"its status is {run.shown_status}; only failed and canceled runs can")
    before = _statuses(run, "retried")
    graph = run.version.graph
    forgiven = set(expand(graph.forgiven))
    chosen = {
        position
        for position, status in before.items()
        if status in TASK_RETRYABLE and not (status == TaskStatus.FAILED and position in forgiven)
    }
    followers = graph.followers(chosen)
    counts = _counts(run, chosen - followers) if graph.maps else {}
    maps = {position: item_plans.of_retry(run, graph, position, count) for position, count in counts.items()}
    return _plan(run, "retried", before, (chosen | followers) - maps.keys(), maps=maps)


def of_rerun(task: Task) -> Plan:
    """Plan to run a task again, and everything downstream of it. Raises ``Conflict``."""
    before = _statuses_around(task, "rerun")
    graph = task.run.version.graph
    if task.map_index >= 0:
        plan = _of_item(task, "rerun", before)
        if _is_blocked_item(task, plan):
            raise _conflict(task, "rerun", "what is before it for its item did not succeed; rerun that")
        return plan
    plan = _plan(task.run, "rerun", before, graph.downstream([task.position]))
    blocked = _what_blocks(task, plan)
    if blocked:
        raise _conflict(task, "rerun", f"{blocked}; rerun that, or retry the run")
    return plan


def of_skip(task: Task) -> Plan:
    """Plan to skip a failed or canceled task, and to decide anew on all downstream of it. Raises ``Conflict``."""
    before = _statuses_around(task, _SKIPPED)
    if task.map_index >= 0:
        task.refresh_from_db(fields=["status"])
    status = before[task.position] if task.map_index < 0 else task.status
    if status not in TASK_RETRYABLE:
        raise _conflict(task, _SKIPPED, f"its status is {status}; only failed and canceled tasks can")
    if task.map_index >= 0:
        if _is_blocked_item(task, _of_item(task, _SKIPPED, before)):
            raise _conflict(task, _SKIPPED, "what is before it for its item did not succeed; skip that")
        return _of_item(task, _SKIPPED, before, skipped=True)
    again = task.run.version.graph.downstream([task.position])
    blocked = _what_blocks(task, _plan(task.run, _SKIPPED, before, again))
    if blocked:
        # The failure before it counts nowhere but in what this one has come to.
        raise _conflict(task, _SKIPPED, f"{blocked}; skip that, or retry the run")
    return _plan(task.run, _SKIPPED, before, again - {task.position}, skipped=task.position)


def _what_blocks(task: Task, plan: Plan) -> str:
    """Say in words what would keep a task from running although a plan makes it pending."""
    for status, ranges in plan.replay.found.settled.items():
        if task.position in expand(ranges):
            blockers = _blockers(task.run.version.graph, plan.before, task.position)
            return f"it would be {status} again, as long as {blockers}"
    return ""


def _is_blocked_item(task: Task, plan: Plan) -> bool:
    """Whether a task for an item would not run although a plan makes it pending."""
    (own,) = plan.maps.values()
    return any((task.map_index, task.position) in places for places in own.found.settled.values())


def _of_item(task: Task, verb: str, before: Mapping[int, str], *, skipped: bool = False) -> Plan:
    """Plan to run, or skip, a task for an item of a map."""
    graph = task.run.version.graph
    position = graph.node(task.position).map_position or 0
    counts = _counts(task.run, [position])
    maps = {position: item_plans.of_task(task, counts[position], skipped=skipped)}
    return _plan(task.run, verb, before, graph.followers([position]), maps=maps)


def _counts(run: Run, positions: Iterable[int]) -> dict[int, int]:
    """Return the number of items of each map at one of these positions; maps that never ran are left out."""
    chosen = [ids.task_id(run.pk, p) for p in positions if p in run.version.graph.maps]
    rows = Task.objects.filter(pk__in=chosen, map_count__isnull=False)
    return dict(rows.values_list("position", "map_count"))


def _plan(
    run: Run,
    verb: str,
    before: Mapping[int, str],
    again: Iterable[int],
    skipped: int | None = None,
    maps: Mapping[int, ItemPlan] | None = None,
) -> Plan:
    if reason := admission.no_room(run):
        raise _conflict(run, f"{verb} now", reason)
    again, maps = frozenset(again), maps or {}
    after = {**before, **dict.fromkeys(again, TaskStatus.PENDING)}
    after |= {position: plan.status for position, plan in maps.items()}
    if skipped is not None:
        after[skipped] = TaskStatus.SKIPPED
    found = replay(run.version.graph, after)
    return Plan(
        run=run, verb=verb, before=before, again=again, skipped=skipped, after=after, replay=found, maps=maps
    )


def _refresh(run: Run) -> None:
    run.refresh_from_db(fields=["status", "stop", "generation", "paused_at", "finished_at"])


def _statuses_around(task: Task, verb: str) -> Mapping[int, str]:
    """Return the statuses of all tasks of a task's run. Raises ``Conflict`` if the task can't be reset."""
    if task.is_hook:
        raise _conflict(task, verb, "it is a hook, and each outcome of the run starts its hooks anew")
    _refresh(task.run)
    if not task.run.is_finished:
        why = f"the run is {task.run.shown_status}; wait for its outcome, or cancel it"
        raise _conflict(task, verb, why)
    return _statuses(task.run, verb)


def _statuses(run: Run, verb: str) -> Mapping[int, str]:
    # After the run was read: whoever has changed them since has raised its generation.
    statuses = statuses_of(run)
    if run.stop == Stop.DELETE or len(statuses) < len(run.version.graph.nodes):
        raise _conflict(run, verb, "it is being deleted")
    return statuses


def _conflict(what: Run | Task, verb: str, why: str) -> Conflict:
    named = f"run {what.pk}" if isinstance(what, Run) else f"task “{what.label}” of run {what.run_id}"
    return Conflict(f"{named} can't be {verb}: {why}")


def _blockers(graph: Graph, before: Mapping[int, str], position: int) -> str:
    """Say in words which tasks before a task keep it from running."""
    forgiven = set(expand(graph.forgiven))
    kept = graph.nodes[position].upstream
    broken = [p for p in kept if _is_broken(before, p, forgiven)]
    found = broken or [p for p in kept if before[p] == TaskStatus.SKIPPED]
    if not found:
        return "what is before it stays as it is"
    names = [f"“{graph.nodes[p].step.id}” is {before[p]}" for p in found[:_NAMED]]
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def _is_broken(statuses: Mapping[int, str], position: int, forgiven: set[int]) -> bool:
    status = statuses[position]
    return status in TASK_BROKEN and not (status == TaskStatus.FAILED and position in forgiven)
