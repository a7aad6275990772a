"""Transitions: which columns are written with each status of a task or a run.

Each function gives the columns of one kind of change, for an INSERT or an UPDATE. Its decorator says from which
statuses to which ones it leads; ``None`` stands for a row that is not there yet. What must hold of a row before
the change, such as the claim, is asked by the caller in the same statement. No other module of the engine writes a
status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from django.db.models import Case, F, When
from django.db.models.functions import Coalesce

from django_director.conf import director
from django_director.db.functions import Now, Number, Text, Time, later, moved_on
from django_director.models.columns import COUNTED_FROM
from django_director.status import (
    RUN_ACTIVE,
    RUN_FINISHED,
    TASK_FINISHED,
    TASK_RETRYABLE,
    TASK_UNSTARTED,
    RunStatus,
    Stop,
    TaskStatus,
)

Columns = dict[str, Any]
S = TypeVar("S")
T = TypeVar("T")
Change = TypeVar("Change", bound=Callable[..., Columns])

TASK_CHANGES: Final[dict[str, frozenset[tuple[TaskStatus | None, TaskStatus]]]] = {}
"""By the name of a function: the transitions of tasks that it stands for."""
RUN_CHANGES: Final[dict[str, frozenset[tuple[RunStatus | None, RunStatus]]]] = {}
"""By the name of a function: the transitions of runs that it stands for."""

_NEVER_RAN: Final[Columns] = {
    **dict.fromkeys(("map_count", "claim", "lease_until", "next_dispatch_at", "not_before", "deadline_at")),
    **dict.fromkeys(("asked_at", "decision", "unknown_since", "unsendable_since", "result", "progress")),
    **dict.fromkeys(("dispatches", "failures", "crashes", "attempt"), 0),
    **dict.fromkeys(("decided_by_id", "error", "traceback", "reason", "worker"), ""),
    **dict.fromkeys(("queued_at", "started_at", "finished_at")),
}
"""The columns of a task that never ran."""
_DONE: Final = (TaskStatus.SUCCESS, TaskStatus.SKIPPED)
_RAN: Final = (TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.SKIPPED)
_UNRUN: Final = (TaskStatus.SKIPPED, TaskStatus.UPSTREAM_FAILED, TaskStatus.CANCELED)


def _pairs(moves: Iterable[tuple[Iterable[T], Iterable[S]]]) -> frozenset[tuple[T, S]]:
    return frozenset((old, new) for before, after in moves for old in before for new in after)


def task_change(
    *moves: tuple[Iterable[TaskStatus | None], Iterable[TaskStatus]],
) -> Callable[[Change], Change]:
    """Note between which statuses of tasks a function leads."""

    def note(change: Change) -> Change:
        TASK_CHANGES[change.__name__] = _pairs(moves)
        return change

    return note


def run_change(
    *moves: tuple[Iterable[RunStatus | None], Iterable[RunStatus]],
) -> Callable[[Change], Change]:
    """Note between which statuses of runs a function leads."""

    def note(change: Change) -> Change:
        RUN_CHANGES[change.__name__] = _pairs(moves)
        return change

    return note


@task_change(([None], [TaskStatus.PENDING]))
def pending() -> Columns:
    """A new task that waits for those before it."""
    # What is queued first in a generation of its run has its first sequence then.
    return {"status": TaskStatus.PENDING, "sequence": 0}


@task_change(([None, TaskStatus.PENDING], [TaskStatus.QUEUED]))
def queued(sequence: Number, next_dispatch_at: Time, queued_at: Time = None) -> Columns:
    """A task that can run is queued, now if no ``queued_at`` is given."""
    return {
        "status": TaskStatus.QUEUED,
        "sequence": sequence,
        "queued_at": Now() if queued_at is None else queued_at,
        "next_dispatch_at": next_dispatch_at,
    }


@task_change(([None, TaskStatus.PENDING], [TaskStatus.WAITING]))
def delayed(not_before: Time) -> Columns:
    """A first task of a new run that is to begin at a later time."""
    return {"status": TaskStatus.WAITING, "not_before": not_before}


@task_change(([None, TaskStatus.PENDING], _UNRUN))
def settled(status: Text, finished_at: Time = None) -> Columns:
    """A task never runs, as its trigger rule says; it is over now if no ``finished_at`` is given."""
    return {"status": status, "finished_at": Now() if finished_at is None else finished_at}


@task_change(([TaskStatus.QUEUED], [TaskStatus.RUNNING]))
def claimed(*, token: Number, worker: Text, worker_key: Text, lease: float, timeout: float | None) -> Columns:
    """A worker has claimed a task, for ``lease`` seconds and an attempt of ``timeout`` seconds at most."""
    deadline: Columns = {} if timeout is None else {"deadline_at": later(timeout)}
    return deadline | {
        "status": TaskStatus.RUNNING,
        "claim": token,
        "lease_until": later(lease),
        "attempt": F("failures") + F("crashes") + 1,
        "worker": worker,
        "worker_key": worker_key,
        "started_at": Now(),
        "next_dispatch_at": None,
        "unknown_since": None,
        "unsendable_since": None,
        # The reason said why no worker took the task.
        "reason": "",
    }


@task_change(([TaskStatus.RUNNING], [TaskStatus.WAITING]))
def waiting(**purpose: object) -> Columns:
    """A worker gives up a task that waits; ``purpose`` has the columns that say for what, as ``not_before``."""
    columns = {"status": TaskStatus.WAITING, "claim": None, "lease_until": None, "deadline_at": None}
    return columns | purpose


@task_change(([TaskStatus.RUNNING], [TaskStatus.QUEUED]))
def queued_again(sequence: int) -> Columns:
    """A running task is queued under its next message; ``sequence`` is that of its last one."""
    return {
        "status": TaskStatus.QUEUED,
        "sequence": sequence + 1,
        "claim": None,
        "lease_until": None,
        "deadline_at": None,
        "queued_at": Now(),
        "next_dispatch_at": later(director.DISPATCH_GRACE),
        "dispatches": 0,
    }


@task_change(([TaskStatus.RUNNING], [TaskStatus.PENDING]))
def held_back(sequence: Number) -> Columns:
    """An item of a map, claimed in a batch, waits again until `max_parallel` lets it begin."""
    unclaimed = waiting(queued_at=None, started_at=None, worker="", worker_key=None, dispatches=0)
    return unclaimed | {"status": TaskStatus.PENDING, "sequence": sequence}


@task_change(([TaskStatus.WAITING], [TaskStatus.QUEUED]))
def woken() -> Columns:
    """A task whose delay is over is queued, due at once."""
    return {
        "status": TaskStatus.QUEUED,
        "sequence": F("sequence") + 1,
        "not_before": None,
        "queued_at": Now(),
        "next_dispatch_at": Now(),
        "dispatches": 0,
    }


@task_change(([TaskStatus.RUNNING, TaskStatus.WAITING], _RAN), ([TaskStatus.QUEUED], [TaskStatus.FAILED]))
def ended(status: TaskStatus) -> Columns:
    """A task ends that ran or waited, or it fails in its queue, as no worker knows it or no broker takes it."""
    return {
        "status": status,
        "finished_at": Now(),
        "lease_until": None,
        "deadline_at": None,
        "next_dispatch_at": None,
    }


@task_change(([TaskStatus.RUNNING], [TaskStatus.SUCCESS]))
def succeeded(result: object) -> Columns:
    """An attempt has succeeded with this result; what was said of earlier attempts goes."""
    return {**ended(TaskStatus.SUCCESS), "result": result, "error": "", "traceback": "", "reason": ""}


@task_change(([TaskStatus.WAITING], [*_RAN, TaskStatus.CANCELED]))
def map_ended(status: TaskStatus, error: str) -> Columns:
    """A map ends, as all its items have."""
    return {"status": status, "finished_at": Now(), "error": error}


@task_change((TASK_UNSTARTED, [TaskStatus.CANCELED]))
def swept(reason: str) -> Columns:
    """A task that had not started is canceled, as its run is stopped."""
    return {
        "status": TaskStatus.CANCELED,
        "finished_at": Now(),
        "next_dispatch_at": None,
        "not_before": None,
        "deadline_at": None,
        "asked_at": None,
        "reason": reason,
    }


@task_change(([TaskStatus.WAITING], [TaskStatus.CANCELED]))
def canceled_with_child(reason: str) -> Columns:
    """A step of a stopped run is canceled, as the child run that it waited for is."""
    return {"status": TaskStatus.CANCELED, "finished_at": Now(), "reason": reason}


@task_change(([TaskStatus.RUNNING], [TaskStatus.CANCELED]))
def given_up(reason: str) -> Columns:
    """A running task is canceled by force, whatever becomes of its code."""
    return {
        "status": TaskStatus.CANCELED,
        "finished_at": Now(),
        "lease_until": None,
        "deadline_at": None,
        "reason": reason,
    }


@task_change((TASK_FINISHED, [TaskStatus.PENDING]))
def reset() -> Columns:
    """A task of a finished run is to run again."""
    return {
        # Before the status: MySQL evaluates assignments in order.
        "reruns": F("reruns") + Case(When(status=TaskStatus.SUCCESS, then=1), default=0),
        # What was done is done anew; what was not goes on with the child run it has.
        "child_run": Case(When(status__in=_DONE, then=None), default=F("child_run")),
        "status": TaskStatus.PENDING,
        **_NEVER_RAN,
    }


@task_change((TASK_RETRYABLE, [TaskStatus.SKIPPED]))
def skipped_by_user(reason: str) -> Columns:
    """A failed or canceled task of a finished run is taken as skipped."""
    return {"status": TaskStatus.SKIPPED, **_NEVER_RAN, "reason": reason, "finished_at": Now()}


@task_change((TASK_FINISHED - {TaskStatus.UPSTREAM_FAILED}, [TaskStatus.WAITING]))
def map_reopened() -> Columns:
    """A map of a finished run waits again, as some of its items are to run again."""
    # Its duration is that of the items it waits for now: the time between the failure and the retry is no work.
    return {"status": TaskStatus.WAITING, "started_at": Now(), "finished_at": None, "error": "", "reason": ""}


@run_change(([None], RunStatus))
def run_created(outcome: RunStatus | None, *, has_key: bool) -> Columns:
    """A new run: with an outcome if none of its tasks ever runs, pending if it has a key and so needs a slot."""
    return {"status": outcome or (RunStatus.PENDING if has_key else RunStatus.RUNNING)}


@run_change(([RunStatus.PENDING], [RunStatus.RUNNING]))
def run_admitted(slot: int, deadline_at: Time) -> Columns:
    """A pending run gets a slot of its key."""
    return {
        "status": RunStatus.RUNNING,
        "slot": slot,
        "next_admission_at": None,
        "started_at": Coalesce("started_at", Now()),
        "deadline_at": deadline_at,
    }


@run_change(([RunStatus.RUNNING], RUN_FINISHED), ([RunStatus.PENDING], [RunStatus.CANCELED]))
def run_ended(outcome: Text, error: Text, *, has_key: bool) -> Columns:
    """A run gets its outcome; one with a key frees its slot, and wants none any more."""
    freed: Columns = {"slot": None, "queued_at": None, "next_admission_at": None} if has_key else {}
    return {"status": outcome, "finished_at": Now(), "error": error, **freed}


@run_change((RUN_FINISHED, RUN_ACTIVE))
def run_reopened(*, has_key: bool, timeout: float | None, token: int, is_awaited: bool) -> Columns:
    """A finished run goes on; one with a key wants a slot first, behind those that wait already."""
    waits: Columns = {"queued_at": Now(), "next_admission_at": later(director.DISPATCH_GRACE)} if has_key else {}
    return {
        "status": RunStatus.PENDING if has_key else RunStatus.RUNNING,
        "deadline_at": None if timeout is None else later(timeout),
        **waits,
        "stop": Stop.NONE,
        "generation": F("generation") + 1,
        "token": token,
        "counted_from": moved_on(COUNTED_FROM, Coalesce("paused_at", "finished_at")),
        "paused_at": None,
        "finished_at": None,
        "error": "",
        "is_awaited": is_awaited,
    }
