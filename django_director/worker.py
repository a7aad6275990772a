"""What a worker does with a message: claim, run the user's code, commit what came of it."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from celery.exceptions import Ignore
from django.db import DatabaseError

from . import inputs, ownsteps
from .conf import director
from .engine import claim as claims
from .engine import finish
from .engine.claim import Claim
from .engine.reading import Ticket
from .engine.transactions import connection, disconnect, statement
from .exceptions import InvalidResult, Misuse
from .failing import failure, record, shown
from .jsonvalues import MAX_INT, NotStorable, normalise, storable_text
from .leases import keeper
from .limits import limit_of
from .logs import Lines, captured
from .models import Task
from .status import RUN_FINISHED, STOP_SPARING

if TYPE_CHECKING:
    from .celery import DirectorTask

CANCELED_PERIOD: Final = 1.0
"""Seconds for which ``context().canceled`` repeats its last answer."""


@dataclass(slots=True)
class Context:
    """What a task may know and say about itself while it runs; see ``context``."""

    run_id: UUID
    task_id: UUID
    attempt: int
    """1 for the first; counted over failures and lost workers."""
    idempotency_key: str
    """The same for every attempt of this task; new when a task that had succeeded is run again."""
    _token: int
    _asked_at: float = field(default=float("-inf"))
    _canceled: bool = False

    @property
    def canceled(self) -> bool:
        """Whether the task should give up: its run was stopped, or it was given to another worker."""
        if not self._canceled and time.monotonic() - self._asked_at >= CANCELED_PERIOD:
            self._asked_at = time.monotonic()
            self._canceled = not self._is_wanted()
        return self._canceled

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show how far the task is. Ignored when the task is no longer this worker's.

        Raises ``Misuse`` for what is no number.
        """
        value = {
            "done": _number("done", done),
            "total": None if total is None else _number("total", total),
            "message": storable_text(str(message)[:200]),
        }
        mine = Task.objects.running().filter(pk=self.task_id, claim=self._token)
        statement(lambda: mine.update(progress=value))

    def _is_wanted(self) -> bool:
        mine = Task.objects.running().filter(pk=self.task_id, claim=self._token)
        row = statement(lambda: mine.values_list("is_hook", "run__stop", "run__status").first())
        return row is not None and (row[0] or (row[1] in STOP_SPARING and row[2] not in RUN_FINISHED))


def _number(name: str, value: Any) -> float:
    """The number as JSON has it. Raises ``Misuse``."""
    if type(value) is int and abs(value) < MAX_INT:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Misuse(f"progress(): `{name}` is no number that can be shown")
    return number


_context: ContextVar[Context | None] = ContextVar("director_context", default=None)


def context() -> Context | None:
    """The running task's context; ``None`` outside a run."""
    return _context.get()


def perform(task: DirectorTask, ticket: Ticket) -> Any:
    """Run one message. Returns the task's value, or raises what Celery shall see of it.

    ``Ignore``: the message is a duplicate or out of date. ``Retry``: the task runs again later. Anything else:
    the attempt failed; it is recorded already.
    """
    claimed = claims.claim(ticket, str(task.request.hostname or ""), limit_of(task))
    if claimed is None:
        raise Ignore
    request: Any = task.request
    request.retries = claimed.failures
    request.director_policy = claimed.node.retry
    return _attempt(task, claimed)


def _attempt(task: DirectorTask, claimed: Claim) -> Any:
    lines = Lines()
    seen: BaseException | None = None
    was_atomic = connection().in_atomic_block
    with _in_context(claimed), keeper.keep(claimed):
        try:
            with captured(lines):
                value = _do(task, claimed)
        except BaseException as error:
            _reset_connection(was_atomic)
            lines.keep(claimed)
            record(task, claimed, error)
            seen = shown(task, error)
            if seen is error:
                raise
        if seen is not None:
            # Not where the error is handled: what can't be shown must not come along with it.
            raise seen
        _reset_connection(was_atomic)
        # Before the outcome: whoever sees that shall find the lines too.
        lines.keep(claimed)
        match value:
            case ownsteps.Skip():
                _skip(claimed, value.reason)
            case ownsteps.HELD:
                value = None
            case _:
                _commit_before_leaving(claimed, value)
    return None if isinstance(value, ownsteps.Skip) else value


def _do(task: DirectorTask, claimed: Claim) -> Any:
    """Do the step and return what came of it: a value, ``ownsteps.HELD`` or an ``ownsteps.Skip``."""
    if not inputs.judge(claimed):
        text = " ".join(str(claimed.node.step.when).split())
        return ownsteps.Skip(f"`when` is false: {text}")
    return _call(task, claimed) if claimed.node.kind == "task" else ownsteps.perform(claimed)


def _skip(claimed: Claim, reason: str) -> None:
    if not finish.skip(claimed, reason):
        raise Ignore


def _call(task: DirectorTask, claimed: Claim) -> Any:
    args, kwargs = inputs.arguments(task, claimed)
    process = os.getpid()
    try:
        task.start_plainly(args, kwargs)
        value = task.run_plainly(*args, **kwargs)
    finally:
        if os.getpid() != process:
            # A child that the task forked came back: the outcome and the connection are its parent's.
            os._exit(0)
    pending = task.request.get("director_retry")
    if pending is not None:
        raise pending
    return normalise_result(value)


def normalise_result(value: Any) -> Any:
    """The value as it is stored. Raises ``InvalidResult``."""
    try:
        return normalise(value, director.MAX_RESULT)
    except NotStorable as error:
        raise InvalidResult(
            f"the task's result can't be stored: {error}; return plain JSON values, or store the data elsewhere "
            "and return where it is"
        ) from error


def _commit_before_leaving(claimed: Claim, value: Any) -> None:
    """Commit a result. The exit that a signal causes meanwhile waits for it: the code need not run again."""
    try:
        _commit(claimed, value)
    except SystemExit:
        # It may have come in the middle of a statement.
        disconnect()
        _commit(claimed, value)
        raise


def _commit(claimed: Claim, value: Any) -> None:
    try:
        committed = finish.finish(claimed, value)
    except DatabaseError as error:
        # The database refuses this very result: say so, without it.
        finish.fail(claimed, failure(error, "the result could not be stored: "))
        raise
    if not committed:
        raise Ignore


@contextlib.contextmanager
def _in_context(claimed: Claim) -> Iterator[None]:
    key = f"{claimed.task_id}-{claimed.reruns}"
    token = _context.set(
        Context(
            run_id=claimed.run.pk,
            task_id=claimed.task_id,
            attempt=claimed.attempt,
            idempotency_key=key,
            _token=claimed.token,
        )
    )
    try:
        yield
    finally:
        _context.reset(token)


def _reset_connection(was_atomic: bool) -> None:
    """Undo what the user's code may have done to the connection, so that the outcome can be written."""
    if was_atomic:
        return
    database = connection()
    if database.in_atomic_block:
        # A transaction that the code has begun and not ended is not ours to commit.
        database.in_atomic_block = False
        database.close()
    database.close_if_unusable_or_obsolete()
