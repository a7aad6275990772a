"""What becomes of an attempt whose code raised: handed back, tried again, or failed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import billiard.common
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from django.db import OperationalError

from django_director.common import ids
from django_director.db.lock_limits import is_row_locked
from django_director.db.transactions import WORKER_PATIENCE
from django_director.definitions.call_plan import ArgumentsError
from django_director.engine import outbox
from django_director.engine.attempts import finish, unwritten
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import MAX_ERROR, Failure
from django_director.engine.retry_policy import HIGHEST, next_delay
from django_director.engine.supervisor import leases, timeouts
from django_director.exceptions import DirectorError, ExpressionError, InputTooLarge, InvalidResult, Misuse
from django_director.masking.redaction import Redactor

from . import end_signals, error_texts, greenlets

if TYPE_CHECKING:
    from django_director.celery import DirectorTask

PACKAGE: Final = f"{__package__}."
SIGNAL_EXITS: Final = {signum - 256: signum for signum in signal.Signals}
"""What billiard's signal handler exits with in a pool process."""
HAND_BACKS: Final = 5
"""How often a task is handed back for nothing. A task may be what ends its worker each time."""
CHAIN: Final = 100
"""How many errors behind an error are looked at."""
TRIES: Final = 3
"""How often a row is read anew that was renewed meanwhile."""
NEVER_RETRIED: Final = (ArgumentsError, ExpressionError, Ignore, InputTooLarge, InvalidResult, Misuse, Reject)
"""The next attempt would fail in the same way."""
NOT_FOR_CELERY: Final = (MemoryError, Terminated, TimeLimitExceeded, WorkerLostError)
"""Exceptions from which Celery concludes on its process, or on the worker."""


def handle_failure(task: DirectorTask, claimed: Claim, error: BaseException, texts: Redactor) -> float | None:
    """Write down what an error makes of the attempt: handed back, tried again, or failed.

    Returns in how many seconds a further attempt follows, where the task's failure leads to one.
    """
    if (why := _interruption(error)) is not None:
        _give_back(claimed, why, is_told=greenlets.is_killed(error))
    elif greenlets.is_time_out(error, claimed.time_limit):
        limit = claimed.time_limit or 0
        _end_late(claimed, limit)
    elif claimed.node.kind != "task" and is_row_locked(error):
        unwritten.keep(claimed, unwritten.End.PUT_OFF, {})
    elif claimed.node.kind != "task" and not isinstance(error, DirectorError):
        # What goes wrong in what is ours is nobody's mistake in the workflow: it is tried again.
        _lose(claimed, texts.text(error_texts.described(error)))
    else:
        return _fail(task, claimed, error, texts)
    return None


def _fail(task: DirectorTask, claimed: Claim, error: BaseException, texts: Redactor) -> float | None:
    cause = _cause(error)
    try:
        delay = _delay(task, claimed, error, cause)
    except Misuse as misuse:
        cause, delay = misuse, None
    if delay is None:
        finish.fail(claimed, failure(cause, texts))
        return None
    return delay if finish.retry_later(claimed, failure(cause, texts), delay) else None


def _interruption(error: BaseException) -> str | None:
    """What ended the process, or the greenlet, while the task ran; ``None``: the error is the task's own."""
    if (exit_ := _signal_exit(error)) is not None:
        return f"its process was ended by {SIGNAL_EXITS[exit_.code].name}"
    if greenlets.is_killed(error):
        return "its greenlet was killed"
    if isinstance(error, (WorkerShutdown, WorkerTerminate)) and end_signals.is_going():
        return "its worker ended"
    return None


def _signal_exit(error: BaseException | None) -> Any:
    """The exit of this pool process that a signal caused; what the task does about it may raise in its turn."""
    if not _has_signal():
        return None
    for _ in range(CHAIN):
        if error is None or (isinstance(error, SystemExit) and error.code in SIGNAL_EXITS):
            return error
        error = error.__cause__ if error.__context__ is None else error.__context__
    return None


def _has_signal() -> bool:
    common: Any = billiard.common
    return bool(common._should_have_exited[0])


def _give_back(claimed: Claim, why: str, is_told: bool) -> None:
    """Queue the task again; as a crash, unless its worker goes away, or cancels it."""
    if _has_signal():
        # Else a worker that goes might end the process, by its second signal, before this is written.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    first = outbox.first_sequence(claimed.run.generation)
    given_back = claimed.sequence - first - claimed.failures - claimed.crashes
    message_id = ids.message_id(claimed.task_id, claimed.sequence)
    if given_back < HAND_BACKS and (is_told or end_signals.is_expected(message_id)):
        finish.requeue(claimed)
    else:
        _lose(claimed, why)


def _lose(claimed: Claim, why: str) -> None:
    lose = partial(leases.mark_message_lost, claimed.task_id, claimed.sequence, why, patience=WORKER_PATIENCE)
    unwritten.or_keep(partial(_insist, lose), claimed, unwritten.End.LOSS, lambda: {"why": why})


def _end_late(claimed: Claim, limit: float) -> None:
    try:
        _insist(lambda: timeouts.time_out_message(claimed.task_id, claimed.sequence, limit))
    except OperationalError as error:
        # Then the supervisor does it, as soon as the row is free: the deadline has passed.
        if not is_row_locked(error):
            raise


def _insist(work: Callable[[], bool]) -> bool:
    """Do again what a sign of life may have come between: this process gives one itself, from another thread."""
    return any(work() for _ in range(TRIES))


def shown(task: DirectorTask, claimed: Claim, error: BaseException, delay: float | None) -> BaseException:
    """What Celery shall see: never something that makes it drop or send again, or that ends the process.

    But for what ends the process anyway, and for somebody's Ctrl-C where there is no worker. A task that is tried
    again in ``delay`` seconds is a retry to Celery, whoever decided so, and any other is a failure.
    """
    if (exit_ := _signal_exit(error)) is not None:
        return exit_  # type: ignore[no-any-return]
    if _interruption(error) is not None or (isinstance(error, KeyboardInterrupt) and task.request.is_eager):
        return error
    if greenlets.is_time_out(error, claimed.time_limit):
        return DirectorError(timeouts.describe(claimed.time_limit or 0))
    if claimed.node.kind != "task" and is_row_locked(error):
        # It is done again, see `record`.
        return Ignore()
    if delay is not None:
        return _retry(claimed, _cause(error), delay)
    return _presentable(_cause(error))


def _retry(claimed: Claim, cause: BaseException, delay: float) -> Retry:
    policy, seen = claimed.node.retry, _presentable(cause)
    number = f"attempt {claimed.failures + 1}" + ("" if policy is None else f" of {policy.max + 1}")
    text = f"Retry in {round(delay, 1):.12g}s: {number} failed: {error_texts.described(cause)[:MAX_ERROR]}"
    # It may be a fraction of a second, whatever the stubs say.
    when: Any = delay
    retry = Retry(text, exc=seen, when=when)
    retry.__cause__ = seen
    return retry


def _presentable(error: BaseException) -> Exception:
    """The error, or one in its place where Celery would conclude something from it, or could not bear it."""
    is_plain = isinstance(error, Exception) and not isinstance(error, (Ignore, Reject, Retry, *NOT_FOR_CELERY))
    is_loggable = error_texts.is_loggable(error)
    if is_plain and is_loggable and error_texts.is_picklable(error):
        return error  # type: ignore[return-value]
    seen = DirectorError(_misuse(error) or error_texts.described(error)[:MAX_ERROR])
    seen.__cause__ = error if is_loggable else None
    return seen


def _misuse(error: BaseException) -> str:
    """What to say to an exception that means something else to Celery, or to Python."""
    if isinstance(error, (Ignore, Reject, WorkerShutdown, WorkerTerminate)):
        what = error_texts.name(error)
        return f"a task in a run can't raise {what}: return a value, or raise an error to fail"
    if isinstance(error, SystemExit):
        code = repr(error.code) if type(error.code) in (int, str, type(None)) else error_texts.text(error.code)
        return f"the task called sys.exit({code}); raise an error to fail, or return"
    return ""


def failure(error: BaseException, texts: Redactor, prefix: str = "") -> Failure:
    """The error as people read it, with the part of its traceback that is theirs, and without secrets."""
    misuse = _misuse(error)
    said = f"{DirectorError.__name__}: {misuse}" if misuse else error_texts.described(error)
    traceback = error_texts.formatted(error, _user_frames(error))
    return Failure(error=texts.text(f"{prefix}{said}"), traceback=texts.text(traceback))


def _user_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the task's own function on; the whole one when it never got there."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(PACKAGE):
        frames = frames.tb_next
    return frames or error.__traceback__


def _cause(error: BaseException) -> BaseException:
    """What made a task ask for a retry: what it says, or what it was handling."""
    if isinstance(error, Retry):
        for cause in (error.exc, error.__context__):
            if isinstance(cause, BaseException):
                return error_texts.tamed(cause)
    return error


def _delay(task: DirectorTask, claimed: Claim, error: BaseException, cause: BaseException) -> float | None:
    """Seconds until the next attempt; ``None``: there is none."""
    policy = claimed.node.retry
    if policy is None:
        return _own_delay(task, error) if isinstance(error, Retry) else None
    if isinstance(error, NEVER_RETRIED):
        return None
    return next_delay(policy, claimed.failures, type(cause), random.random())


def _own_delay(task: DirectorTask, error: Retry) -> float:
    """Seconds. Raises ``Misuse`` for what is no time."""
    when: Any = error.when
    if when is None:
        when = task.default_retry_delay
    try:
        seconds = float(when if isinstance(when, (int, float)) else when.timestamp() - time.time())
        if seconds != seconds:
            raise ValueError
    # Of the user's: a date's methods too.
    except Exception as problem:
        raise Misuse(f"self.retry() can't wait until {error_texts.text(when)}: that is no time") from problem
    return min(max(0.0, seconds), HIGHEST)
