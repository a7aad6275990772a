"""What a worker does with a task that it has claimed: run the user's code, commit what came of it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from celery.exceptions import Ignore
from django.db import DatabaseError, InterfaceError

from django_director.common.json_values import MAX_INT, NotStorable, normalise, storable_text
from django_director.common.throttle import Throttle
from django_director.conf import director
from django_director.db.errors import is_of_data
from django_director.db.lock_limits import limited
from django_director.db.sessions import user_session
from django_director.db.transactions import connection, disconnect, statement
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.exceptions import InvalidResult, Misuse
from django_director.masking.redaction import Redactor
from django_director.models import Task
from django_director.status import RUN_FINISHED, STOP_SPARING

from . import error_texts, leftovers, own_steps
from .attempts import Attempt, at_work
from .errors import failure, handle_failure, shown
from .leases import keeper
from .logs import Lines, captured

if TYPE_CHECKING:
    from django_director.celery import DirectorTask

T = TypeVar("T")

logger = logging.getLogger(__name__)

CANCELED_PERIOD: Final = 1.0
"""Seconds for which ``context().canceled`` repeats its last answer."""

_refusals: Final = Throttle()


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
    _texts: Redactor
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
            "message": storable_text(self._texts.text(str(message))[:200]),
        }
        mine = Task.objects.running().filter(pk=self.task_id, claim=self._token)
        with _harmless("show the progress of"):
            statement(lambda: limited(mine).update(progress=value))

    def _is_wanted(self) -> bool:
        mine = Task.objects.running().filter(pk=self.task_id, claim=self._token)
        row: Any = (True,)
        with _harmless("ask whether anybody still wants"):
            row = statement(lambda: mine.values_list("is_hook", "run__stop", "run__status").first())
        return row is not None and (row[0] or (row[1] in STOP_SPARING and row[2] not in RUN_FINISHED))


@contextlib.contextmanager
def _harmless(purpose: str) -> Iterator[None]:
    """Let a task go on that only wanted to show or to ask something when the database does not answer.

    Inside a transaction of the task's own the error is its to handle: PostgreSQL has spoiled the transaction.
    """
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        if connection().in_atomic_block:
            raise
        if _refusals.passes(purpose):
            logger.warning("The database does not let us %s a task: %s", purpose, str(error).strip())


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


def perform(task: DirectorTask, attempt: Attempt) -> Any:
    """Carry out an attempt. Returns the task's value, or raises what Celery shall see of it.

    ``Ignore``: the task is no longer this worker's. ``Retry``: the attempt failed and the task runs again later.
    Anything else: the task failed. What is so is recorded already.
    """
    attempt.is_taken_up = True
    request: Any = task.request
    request.delivery_info = attempt.delivery
    # A task of this very process, as in a test, is its caller's to connect.
    with contextlib.nullcontext() if request.is_eager else at_work():
        request.director_value = value = _carry_out(task, attempt)
        return value


def _carry_out(task: DirectorTask, attempt: Attempt) -> Any:
    claimed, texts = attempt.claimed, attempt.texts
    lines = Lines(texts)
    seen: BaseException | None = None
    with _in_context(claimed, texts), keeper.keep(claimed):
        try:
            with captured(lines):
                value = _do(task, attempt)
        except BaseException as error:
            delay = _conclude(
                lines, claimed, partial(_insist, partial(handle_failure, task, claimed, error, texts))
            )
            seen = shown(task, claimed, error, delay)
            if seen is error:
                raise
        if seen is not None:
            # Not where the error is handled: what can't be shown must not come along with it.
            raise seen
        end: Callable[[], object]
        match value:
            case own_steps.Skip():
                end = partial(_insist, partial(_skip, claimed, value.reason))
            case own_steps.HELD:
                value, end = None, _nothing
            case _:
                end = partial(_commit, claimed, value, texts)
        _conclude(lines, claimed, end)
    return None if isinstance(value, own_steps.Skip) else value


def _conclude(lines: Lines, claimed: Claim, end: Callable[[], T]) -> T:
    # Before the outcome: whoever sees that shall find the lines too. They must not cost it, even by a signal.
    try:
        lines.keep(claimed)
    finally:
        came = end()
    return came


def _nothing() -> None:
    """The end of a step that waits: whoever let it wait has written so."""


def _insist(write: Callable[[], T]) -> T:
    """Write what came of the code, once more if that is interrupted: the code is not to run again for it.

    A soft time limit that is reached here was kept by the code. What ends the process goes on afterwards.
    """
    try:
        return write()
    except (DatabaseError, InterfaceError, UnicodeError, Ignore):
        raise
    except Exception:
        # The connection may be in the middle of an answer.
        disconnect()
        return write()
    except BaseException:
        disconnect()
        write()
        raise


def _do(task: DirectorTask, attempt: Attempt) -> Any:
    """Do the step and return what came of it: a value, ``HELD`` or a ``Skip``."""
    claimed = attempt.claimed
    if attempt.problem is not None:
        raise attempt.problem
    if not attempt.is_wanted:
        text = " ".join(str(claimed.node.step.when).split())
        return own_steps.Skip(f"`when` is false: {text}")
    return _call(task, attempt) if claimed.node.kind == "task" else own_steps.perform(claimed)


def _skip(claimed: Claim, reason: str) -> None:
    if not finish.skip(claimed, reason):
        raise Ignore


def _call(task: DirectorTask, attempt: Attempt) -> Any:
    process = os.getpid()
    with user_session():
        try:
            value = _run_code(task, attempt.args, attempt.kwargs)
        finally:
            if os.getpid() != process:
                # A child that the task forked came back: the outcome and the connections are its parent's.
                os._exit(0)
        pending = task.request.get("director_retry")
        if pending is not None:
            raise pending
        return normalise_result(value)


def _run_code(task: DirectorTask, args: Any, kwargs: Any) -> Any:
    """Run the user's code; neither what it leaves behind nor what it raises harms what follows."""
    had_alarm = leftovers.has_alarm()
    try:
        try:
            task.start_plainly(args, kwargs)
            return task.run_plainly(*args, **kwargs)
        finally:
            leftovers.clear(had_alarm)
    except BaseException as error:
        seen = error_texts.tamed(error)
        if seen is error:
            raise
    # Not where the error is handled: it must not come along.
    raise seen


def normalise_result(value: Any) -> Any:
    """The value as it is stored. Raises ``InvalidResult``."""
    try:
        return normalise(value, director.MAX_RESULT)
    except NotStorable as error:
        raise InvalidResult(
            f"the task's result can't be stored: {error}; return plain JSON values, or store the data elsewhere "
            "and return where it is"
        ) from error


def _commit(claimed: Claim, value: Any, texts: Redactor) -> None:
    try:
        committed = _insist(partial(finish.finish, claimed, value))
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not is_of_data(error):
            # The database has refused everything for as long as we wait. The lease tells, when it answers.
            raise
        # This very result can't be stored: say so, without it.
        _insist(partial(finish.fail, claimed, failure(error, texts, "the result could not be stored: ")))
        raise
    if not committed:
        raise Ignore


@contextlib.contextmanager
def _in_context(claimed: Claim, texts: Redactor) -> Iterator[None]:
    key = f"{claimed.task_id}-{claimed.reruns}"
    token = _context.set(
        Context(
            run_id=claimed.run.pk,
            task_id=claimed.task_id,
            attempt=claimed.attempt,
            idempotency_key=key,
            _token=claimed.token,
            _texts=texts,
        )
    )
    try:
        yield
    finally:
        _context.reset(token)
