"""Run tasks of a finished run again: the chosen ones and everything downstream of them.

Gates are not undone step by step but computed anew from the rows, by the same function that audits them.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from django.db.models import Case, F, When

from django_director import faults
from django_director.clock import Now, later
from django_director.exceptions import Conflict
from django_director.graph import Graph, expand, replay, spans
from django_director.inserts import BATCH
from django_director.models import Attempt, Gate, Run, Task
from django_director.status import (
    RUN_RETRYABLE,
    TASK_RETRYABLE,
    RunStatus,
    Stop,
    TaskStatus,
)

from . import settle
from .claim import RunSnapshot
from .launch import current_version, start_version
from .rows import insert_gates
from .transactions import after_commit, transact

logger = logging.getLogger(__name__)

_KEPT: Final = {
    TaskStatus.FAILED: Attempt.Outcome.FAILED,
    TaskStatus.SUCCESS: Attempt.Outcome.REPLACED,
}


class Again(NamedTuple):
    """A task that a retry runs again."""

    position: int
    step: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPreview:
    """What a retry would do."""

    again: list[Again]
    kept: int
    """How many tasks keep their result."""


def preview_retry(run: Run) -> RetryPreview:
    """Say what ``retry`` would run again, without doing it. Raises ``Conflict`` where ``retry`` would."""
    _check_retryable(run)
    statuses = _statuses(run)
    chosen = _chosen(run.version.graph, statuses)
    again = [
        Again(position, run.version.graph.nodes[position].step.id, statuses[position])
        for position in sorted(chosen)
    ]
    return RetryPreview(again=again, kept=len(statuses) - len(again))


def retry(run: Run, *, user: Any = None) -> Run:
    """Run the failed and canceled tasks of a finished run again, and everything downstream of them.

    What succeeded and does not depend on them is kept. Returns the run as it is now. Raises ``Conflict`` for a
    run that is active or has succeeded.
    """
    _check_retryable(run)
    transact(partial(_retry, run, secrets.randbits(63)))
    run.refresh_from_db()
    return run


def relaunch(run: Run, payload: Any = None, *, user: Any = None, version: str = "current") -> Run:
    """Start a new run of the same workflow, with the same payload unless another is given.

    ``version`` is ``current`` or ``same`` (the one ``run`` had). Raises as ``start`` does.
    """
    if version not in ("current", "same"):
        raise ValueError(f"version must be “current” or “same”, not {version!r}")
    chosen = run.version if version == "same" else current_version(run.workflow.name)
    return start_version(
        chosen,
        run.payload if payload is None else payload,
        user=user if user is not None and user.pk else None,
        trigger="relaunch",
        relaunched_from=run,
    )


def recompute(run: Run) -> bool:
    """Compute an active run's gates anew and queue or end what they allow.

    The way out for a run in which nothing is active although it has no outcome: that can't come from the engine,
    but from a hand in the database. Says whether the run was still active.
    """
    return transact(partial(_recompute, run))


def _check_retryable(run: Run) -> None:
    run.refresh_from_db(fields=["status", "stop", "generation", "paused_at", "finished_at"])
    if run.status not in RUN_RETRYABLE:
        raise Conflict(
            f"run {run.pk} can't be retried: it is {run.shown_status}; only failed and canceled runs can"
        )


def _retry(run: Run, token: int) -> None:
    timeout = run.version.graph.definition.timeout
    reopened = (
        Run.objects.retryable()
        .filter(pk=run.pk, generation=run.generation)
        .update(
            status=RunStatus.RUNNING,
            stop=Stop.NONE,
            generation=F("generation") + 1,
            token=token,
            paused_at=None,
            deadline_at=None if timeout is None else later(timeout),
            finished_at=None,
            error="",
        )
    )
    if not reopened:
        _go_on_from_commit(run, token)
        return
    graph = run.version.graph
    statuses = _statuses(run)
    chosen = _chosen(graph, statuses)
    _keep_attempts(run, chosen)
    _reset_tasks(run, chosen)
    statuses.update(dict.fromkeys(chosen, TaskStatus.PENDING))
    faults.point("reset.updated")
    after_commit(partial(faults.point, "reset.committed"))
    _go_on(RunSnapshot(pk=run.pk, generation=run.generation + 1), graph, statuses)


def _go_on_from_commit(run: Run, token: int) -> None:
    """Go on from our own commit, if its answer was lost: with it went what should have been published."""
    if not Run.objects.filter(pk=run.pk, token=token).exists():
        raise Conflict(f"run {run.pk} can't be retried: somebody else has just changed it")
    Task.objects.filter(run_id=run.pk).steps().queued().update(next_dispatch_at=Now())


def _recompute(run: Run) -> bool:
    if not Run.objects.active().filter(pk=run.pk, stop=Stop.NONE).update(generation=F("generation")):
        return False
    graph = run.version.graph
    snapshot = RunSnapshot(pk=run.pk, generation=run.generation)
    statuses = _statuses(run)
    if len(statuses) < len(graph.nodes):
        logger.error("Run %s has lost rows of tasks; it fails.", run.pk, extra={"run_id": str(run.pk)})
        settle.end(snapshot, graph, RunStatus.FAILED)
    else:
        _go_on(snapshot, graph, statuses)
    return True


def _go_on(run: RunSnapshot, graph: Graph, statuses: Mapping[int, str]) -> None:
    """Write the gates as the rows say, queue what is ready, and end the run when there is nothing to do.

    A run that was canceled while its last task ran, and let it succeed, has nothing to do when it is retried.
    """
    again = replay(graph, statuses)
    Gate.objects.filter(run_id=run.pk).delete()
    insert_gates(run.pk, graph, again.tallies)
    settle.carry_out(run, graph, again.found)


def _chosen(graph: Graph, statuses: Mapping[int, str]) -> set[int]:
    forgiven = set(expand(graph.forgiven))
    return graph.downstream(
        position
        for position, status in statuses.items()
        if status in TASK_RETRYABLE and not (status == TaskStatus.FAILED and position in forgiven)
    )


def _statuses(run: Run) -> dict[int, str]:
    return dict(Task.objects.filter(run_id=run.pk).steps().values_list("position", "status"))


def _keep_attempts(run: Run, chosen: set[int]) -> None:
    """Keep what is known of the attempts that the reset wipes from the tasks' rows."""
    ended = Task.objects.filter(run_id=run.pk).at(spans(chosen)).filter(status__in=_KEPT)
    Attempt.objects.bulk_create(
        [
            Attempt(
                task_id=task["pk"],
                number=task["attempt"],
                generation=run.generation,
                outcome=_KEPT[task["status"]],
                worker=task["worker"],
                error=task["error"],
                traceback=task["traceback"],
                started_at=task["started_at"],
                finished_at=task["finished_at"],
            )
            for task in ended.filter(attempt__gt=0).values(
                "pk", "attempt", "status", "worker", "error", "traceback", "started_at", "finished_at"
            )
        ],
        batch_size=BATCH,
    )


def _reset_tasks(run: Run, chosen: set[int]) -> None:
    Task.objects.filter(run_id=run.pk).at(spans(chosen)).update(
        # Before the status: MySQL evaluates assignments in order.
        reruns=F("reruns") + Case(When(status=TaskStatus.SUCCESS, then=1), default=0),
        status=TaskStatus.PENDING,
        claim=None,
        lease_until=None,
        next_dispatch_at=None,
        not_before=None,
        deadline_at=None,
        asked_at=None,
        decision=None,
        decided_by=None,
        unknown_since=None,
        dispatches=0,
        failures=0,
        crashes=0,
        attempt=0,
        result=None,
        error="",
        traceback="",
        reason="",
        worker="",
        progress=None,
        queued_at=None,
        started_at=None,
        finished_at=None,
    )
