"""What retry, rerun and skip would do, worked out before their transaction, also to be shown.

The rows of a finished run stay as they are while its generation does, and the transaction asks for that first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from django_director.exceptions import Conflict
from django_director.graph import Graph, Replay, expand, foresee, replay
from django_director.models import Run, Task
from django_director.status import (
    RUN_RETRYABLE,
    TASK_BROKEN,
    TASK_RETRYABLE,
    Stop,
    TaskStatus,
)

from . import admission
from .recompute import statuses_of

SHOWN: Final = 200
"""How many tasks a preview names."""
_NAMED: Final = 3
_SKIPPED: Final = str(TaskStatus.SKIPPED.label)


class Again(NamedTuple):
    """A task as a preview names it, with its present status."""

    position: int
    step: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a reset would do. The lists name the first ``SHOWN`` tasks, in order of position."""

    again: list[Again]
    """What runs again, if all of that succeeds and conditions hold."""
    runs: int
    """How many those are."""
    stays: list[Again]
    """What is kept as it is."""
    kept: int
    """How many those are."""
    idle: int
    """How many tasks are judged anew and come to not run."""
    broken: int
    """How many of what is kept count as failed: with one, the run fails again."""
    skipped: Again | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A reset of a finished run."""

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

    @property
    def changed(self) -> frozenset[int]:
        """What loses its last attempt."""
        return self.again if self.skipped is None else self.again | {self.skipped}

    def preview(self) -> Preview:
        """The same for people."""
        graph = self.run.version.graph
        runs = sorted(foresee(graph, self.after))
        stays = sorted(self.before.keys() - self.changed)
        forgiven = set(expand(graph.forgiven))
        return Preview(
            again=self._named(runs),
            runs=len(runs),
            stays=self._named(stays),
            kept=len(stays),
            idle=len(self.again) - len(runs),
            broken=sum(_is_broken(self.before, position, forgiven) for position in stays),
            skipped=None if self.skipped is None else self._named([self.skipped])[0],
        )

    def _named(self, positions: Iterable[int]) -> list[Again]:
        nodes = self.run.version.graph.nodes
        shown = islice(positions, SHOWN)
        return [Again(position, nodes[position].step.id, self.before[position]) for position in shown]


def of_retry(run: Run) -> Plan:
    """What failed for good or was canceled, and everything downstream of it. Raises ``Conflict``."""
    _refresh(run)
    if run.status not in RUN_RETRYABLE:
        raise _conflict(run, "retried", f"it is {run.shown_status}; only failed and canceled runs can")
    before = _statuses(run, "retried")
    graph = run.version.graph
    forgiven = set(expand(graph.forgiven))
    chosen = (
        position
        for position, status in before.items()
        if status in TASK_RETRYABLE and not (status == TaskStatus.FAILED and position in forgiven)
    )
    return _plan(run, "retried", before, graph.downstream(chosen))


def of_rerun(task: Task) -> Plan:
    """A task and everything downstream of it. Raises ``Conflict``."""
    before = _statuses_around(task, "rerun")
    graph = task.run.version.graph
    plan = _plan(task.run, "rerun", before, graph.downstream([task.position]))
    for status, ranges in plan.replay.found.settled.items():
        if task.position in expand(ranges):
            why = f"it would be {status} again, as long as {_blockers(graph, before, task.position)}"
            raise _conflict(task, "rerun", f"{why}; rerun that, or retry the run")
    return plan


def of_skip(task: Task) -> Plan:
    """A failed or canceled task becomes skipped, and everything downstream is judged anew. Raises ``Conflict``."""
    before = _statuses_around(task, _SKIPPED)
    status = before[task.position]
    if status not in TASK_RETRYABLE:
        raise _conflict(task, _SKIPPED, f"it is {status}; only failed and canceled tasks can")
    again = task.run.version.graph.downstream([task.position]) - {task.position}
    return _plan(task.run, _SKIPPED, before, again, skipped=task.position)


def _plan(
    run: Run, verb: str, before: Mapping[int, str], again: Iterable[int], skipped: int | None = None
) -> Plan:
    if reason := admission.no_room(run):
        raise _conflict(run, f"{verb} now", reason)
    again = frozenset(again)
    after = {**before, **dict.fromkeys(again, TaskStatus.PENDING)}
    if skipped is not None:
        after[skipped] = TaskStatus.SKIPPED
    found = replay(run.version.graph, after)
    return Plan(run=run, verb=verb, before=before, again=again, skipped=skipped, after=after, replay=found)


def _refresh(run: Run) -> None:
    run.refresh_from_db(fields=["status", "stop", "generation", "paused_at", "finished_at"])


def _statuses_around(task: Task, verb: str) -> Mapping[int, str]:
    """The statuses of all tasks of the run of one that may be reset."""
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
    """What keeps a task from running, in words."""
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
