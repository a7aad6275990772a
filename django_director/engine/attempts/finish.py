"""What a worker does at the end of an attempt: commit its result, its failure, or that it is to run again.

Each is one transaction, see ``endings``. Where another session has locked a row, what came of the attempt is kept
for the supervisor to write, see ``unwritten``. ``False`` from any of them means: the task is not this claim's any
more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVarTuple

from django_director.common import failpoints
from django_director.db.functions import later
from django_director.db.texts import storable
from django_director.db.transactions import WORKER_PATIENCE, in_transaction, statement, transact
from django_director.engine.flow import advance
from django_director.models import Task

from . import endings, finish_fast
from .claim import Claim
from .failures import Failure, stored
from .unwritten import End, of_failure, or_keep

Arguments = TypeVarTuple("Arguments")


def finish(claim: Claim, result: object) -> bool:
    """Commit the (normalised) result of a claimed task and what follows from its success."""
    failpoints.point("finish.before")
    return or_keep(partial(_finish, claim, result), claim, End.SUCCESS, lambda: {"result": result})


def fail(claim: Claim, failure: Failure) -> bool:
    """Commit the failure of a claimed task and what follows from it."""

    def write(text: Failure) -> bool:
        return or_keep(
            _patiently(endings.write_failure, claim, text), claim, End.FAILURE, partial(of_failure, text)
        )

    return stored(failure, write)


def skip(claim: Claim, reason: str) -> bool:
    """Commit that a claimed task is skipped, and what follows from that."""
    return or_keep(
        _patiently(endings.write_skip, claim, reason), claim, End.SKIP, lambda: {"reason": storable(reason)}
    )


def retry_later(claim: Claim, failure: Failure, delay: float) -> bool:
    """Let a claimed task wait ``delay`` seconds and run again."""

    def write(text: Failure) -> bool:
        def content() -> dict[str, Any]:
            return {"failure": of_failure(text), "delay": delay}

        return or_keep(_patiently(endings.write_retry, claim, text, delay), claim, End.RETRY, content)

    return stored(failure, write)


def requeue(claim: Claim) -> bool:
    """Queue a claimed task again because its worker goes away in good order; nothing is spent."""
    return or_keep(partial(transact, partial(endings.write_requeue, claim)), claim, End.HAND_BACK, dict)


@in_transaction(patience=WORKER_PATIENCE)
def put_off(claim: Claim, seconds: float) -> bool:
    """Let a claimed task whose code was not called be queued again in so many seconds; nothing is spent."""
    return endings.suspend(claim, not_before=later(seconds))


@in_transaction()
def mark_lost(task: Task, failure: Failure) -> bool:
    """Queue a running task again, or fail it for good, because its worker is gone.

    ``task`` is the row as it was read, with its run: ``sequence``, ``claim`` and the end of its lease are the
    fence, so a sign of life since then counts.
    """
    return endings.write_loss(task, failure)


def _finish(claim: Claim, result: object) -> bool:
    if statement(partial(finish_fast.at_once, claim, result), patience=WORKER_PATIENCE):
        advance.announce_task(claim.task_id)
        failpoints.point("finish.committed")
        return True
    return transact(partial(endings.write_success, claim, result), patience=WORKER_PATIENCE)


def _patiently(end: Callable[[*Arguments], bool], *args: *Arguments) -> Callable[[], bool]:
    return partial(transact, partial(end, *args), patience=WORKER_PATIENCE)
