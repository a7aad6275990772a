"""Approvals: steps that wait until a person decides, or until their time is up.

Two people, the time-out and a cancel may come at the same time: the first one that changes the row decides.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from django_director.common import failpoints
from django_director.db.functions import Now, iso, later
from django_director.db.transactions import WORKER_PATIENCE, after_commit, statement, transact
from django_director.definitions import ApprovalStep, OnTimeout
from django_director.engine import history, outbox
from django_director.engine.arguments import checked_comment, checked_task, checked_user, checked_via
from django_director.engine.attempts import endings
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.exceptions import Conflict
from django_director.models import REASON_LENGTH, Task, users
from django_director.models.querysets import HEAVY_TASK_FIELDS
from django_director.models.users import User
from django_director.status import TASK_FINISHED, TaskStatus

ASKED: Final = "waits for approval"


class _End(NamedTuple):
    """How a decision ends an approval."""

    status: TaskStatus
    approved: bool | None
    word: str


_ENDS: Final[dict[OnTimeout, _End]] = {
    "approve": _End(TaskStatus.SUCCESS, True, "approved"),
    "reject": _End(TaskStatus.FAILED, False, "rejected"),
    "skip": _End(TaskStatus.SKIPPED, None, str(TaskStatus.SKIPPED)),
}


def ask(claim: Claim, timeout: float | None) -> bool:
    """Let a claimed approval wait for a decision, for ``timeout`` seconds if given."""
    deadline = None if timeout is None else later(timeout)
    asking = partial(endings.suspend, claim, asked_at=Now(), deadline_at=deadline, reason=ASKED)
    return statement(asking, patience=WORKER_PATIENCE)


def approve(task: Task, *, user: User = None, comment: str = "", via: str = "") -> Task:
    """Let the run go on from an approval. Returns the task as it is now.

    ``comment`` is kept with the decision. Django's histories of the task and its run say that ``user`` did it, and
    ``via`` what. Raises ``Conflict`` for a task that does not wait for a decision, which says who has decided.
    """
    return _decide(task, "approve", user, comment, via)


def reject(task: Task, *, user: User = None, comment: str = "", via: str = "") -> Task:
    """Let an approval fail, with what follows from that. As ``approve`` otherwise."""
    return _decide(task, "reject", user, comment, via)


def check_waits(task: Task, verb: str = "decided") -> None:
    """Raise ``Conflict`` if a task does not wait for a decision."""
    row = _read(checked_task(task, "check_waits"))
    if row.asked_at is None or row.is_finished:
        raise _conflict(row, verb)


def time_out(task: Task, as_of: datetime) -> bool:
    """Decide on an approval whose time is up, as its step says; ``as_of`` is the time of the database.

    ``task`` is the row as it was read, with its run; part of a transaction.
    """
    step = task.run.version.graph.node(task.position).step
    assert isinstance(step, ApprovalStep)
    end = _ENDS[step.on_timeout]
    reason = f"{end.word}: nobody has decided within {step.timeout:g} s"
    return _end(task, end, reason, by=None, comment="", as_of=as_of)


def _decide(task: Task, verb: OnTimeout, user: User, comment: str, via: str) -> Task:
    user = checked_user(user, verb)
    message = history.line(verb, checked_via(via))
    row, end = _read(checked_task(task, verb)), _ENDS[verb]
    by = None if user is None else user.get_username() or None
    comment = checked_comment(comment)
    reason = (f"{end.word} by {by}" if by else end.word) + (f": {comment}" if comment else "")
    token = secrets.randbits(63)
    values: dict[str, Any] = {"by": by, "comment": comment, "as_of": row.as_of, "claim": token}
    ending = partial(_end, row, end, reason, decided_by_id=users.key_of(user), **values)
    done = row.asked_at is not None and transact(ending)
    if done:
        after_commit(partial(failpoints.point, "decide.committed"))
    now: Task = _read(task)
    if not done:
        _continue_from_commit(now, token, end.word)
    history.record_on_task(user, now, message)
    return now


def _continue_from_commit(now: Task, token: int, verb: str) -> None:
    """Continue after our own commit whose answer was lost: publish what it had queued. Else raise ``Conflict``."""
    if now.claim != token:
        raise _conflict(now, verb)
    queued = Task.objects.filter(run_id=now.run_id).steps().queued()
    statement(lambda: queued.update(next_dispatch_at=outbox.UNSENT))


def _read(task: Task) -> Any:
    rows = Task.objects.select_related("run__workflow", "run__version").annotate(as_of=Now())
    rows = rows.defer(*HEAVY_TASK_FIELDS, "run__payload", "run__version__source", "run__version__definition")
    row: Any = statement(rows.filter(pk=task.pk).first)
    if row is None:
        raise Conflict(f"task {task.pk} is not there any more")
    return row


def _end(
    task: Task, end: _End, reason: str, *, by: str | None, comment: str, as_of: datetime, **columns: object
) -> bool:
    if end.status == TaskStatus.FAILED:
        columns |= Failure(error=reason[0].upper() + reason[1:], reason=reason).columns()
    else:
        columns |= {"reason": reason[:REASON_LENGTH]}
    decision = {"approved": end.approved, "by": by, "comment": comment, "at": iso(as_of)}
    return endings.end_waiting(task, end.status, decision=decision, asked_at=None, **columns)


def _conflict(task: Task, verb: str) -> Conflict:
    return Conflict(f"“{task.label}” of run {task.run_id} can't be {verb}: {_why(task)}")


def _why(task: Task) -> str:
    if task.run.version.graph.node(task.position).kind != "approval":
        return "it is no approval"
    if task.decision is not None:
        # Without the comment: who may decide may not be one who may see it.
        return f"it was {task.reason.partition(':')[0] if task.decision['comment'] else task.reason}"
    if task.status in TASK_FINISHED or task.asked_at is not None:
        # Asked, and the run was stopped since: it is about to be canceled.
        return f"its status is {task.status}" if task.is_finished else f"its run is {task.run.shown_status}"
    return f"nobody was asked yet, its status is {task.status}"
