"""Decides what becomes of an attempt whose code raised an error: queued again, tried again later, or failed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final

import billiard.common
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from django.db import OperationalError

from django_director.common import ids
from django_director.db.errors import is_row_locked
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
from .protocols import StepTask

PACKAGE: Final = f"{__package__}."
SIGNAL_EXITS: Final = {signum - 256: signum for signum in signal.Signals}
"""The exit codes of billiard's signal handler in a pool process, and their signals."""
HAND_BACKS: Final = 5
"""How often a task is queued again without counting a crash: the task itself may end its worker each time."""
CHAIN: Final = 100
"""How many causes of an error are examined."""
TRIES: Final = 3
"""How often a change of a row is tried that a renewal of the row's lease may have prevented."""
NEVER_RETRIED: Final = (ArgumentsError, ExpressionError, Ignore, InputTooLarge, InvalidResult, Misuse, Reject)
"""Errors after which the next attempt would fail in the same way."""
NOT_FOR_CELERY: Final = (MemoryError, Terminated, TimeLimitExceeded, WorkerLostError)
"""Errors that would make Celery believe that its process, or its worker, is to end."""


def handle_failure(task: StepTask, claimed: Claim, error: BaseException, texts: Redactor) -> float | None:
    """Write what becomes of an attempt that raised ``error``: queued again, tried again later, or failed.

    Returns after how many seconds the next attempt follows, if the task has failed and is to be tried again.
    """
    if (why := _interruption(error)) is not None:
        _requeue(claimed, why, is_told=greenlets.is_killed(error))
    elif greenlets.is_time_out(error, claimed.time_limit):
        limit = claimed.time_limit or 0
        _end_late(claimed, limit)
    elif claimed.node.kind != "task" and is_row_locked(error):
        unwritten.keep(claimed, unwritten.End.PUT_OFF, {})
    elif claimed.node.kind != "task" and not isinstance(error, DirectorError):
        # This step is the engine's own work. Its errors are no mistake in the workflow, so it is tried again.
        _mark_lost(claimed, texts.text(error_texts.describe(error)))
    else:
        return _fail(task, claimed, error, texts)
    return None


def _fail(task: StepTask, claimed: Claim, error: BaseException, texts: Redactor) -> float | None:
    cause = _cause(error)
    try:
        delay = _delay(task, claimed, error, cause)
    except Misuse as misuse:
        cause, delay = misuse, None
    if delay is None:
        finish.fail(claimed, make_failure(cause, texts))
        return None
    return delay if finish.retry_later(claimed, make_failure(cause, texts), delay) else None


def _interruption(error: BaseException) -> str | None:
    """Return what has ended the process, or the greenlet, of the task; ``None``: the error is the task's own."""
    if (exit_ := _signal_exit(error)) is not None:
        return f"its process was ended by {SIGNAL_EXITS[int(exit_.code or 0)].name}"
    if greenlets.is_killed(error):
        return "its greenlet was killed"
    if isinstance(error, (WorkerShutdown, WorkerTerminate)) and end_signals.is_going():
        return "its worker ended"
    return None


def _signal_exit(error: BaseException | None) -> SystemExit | None:
    """Return the ``SystemExit`` that a signal to this pool process has raised, if it is behind ``error``.

    A task that handles it may have raised another error.
    """
    if not _has_signal():
        return None
    for _ in range(CHAIN):
        if isinstance(error, SystemExit) and error.code in SIGNAL_EXITS:
            return error
        if error is None:
            return None
        error = error.__cause__ if error.__context__ is None else error.__context__
    return None


def _has_signal() -> bool:
    common: Any = billiard.common
    return bool(common._should_have_exited[0])


def _requeue(claimed: Claim, why: str, is_told: bool) -> None:
    """Queue the task again. It counts as a crash, unless its worker ends or has canceled the task."""
    if _has_signal():
        # A worker that ends may send a second signal, which would end this process before the row is written.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    first = outbox.first_sequence(claimed.run.generation)
    given_back = claimed.sequence - first - claimed.failures - claimed.crashes
    message_id = ids.message_id(claimed.message_task or claimed.task_id, claimed.sequence)
    if given_back < HAND_BACKS and (is_told or end_signals.is_expected(message_id)):
        finish.requeue(claimed)
    else:
        _mark_lost(claimed, why)


def _mark_lost(claimed: Claim, why: str) -> None:
    lose = partial(leases.mark_message_lost, claimed.task_id, claimed.sequence, why, patience=WORKER_PATIENCE)
    unwritten.or_keep(partial(_insist, lose), claimed, unwritten.End.LOSS, lambda: {"why": why})


def _end_late(claimed: Claim, limit: float) -> None:
    try:
        _insist(lambda: timeouts.time_out_message(claimed.task_id, claimed.sequence, limit))
    except OperationalError as error:
        # The supervisor will do it as soon as the row is unlocked, because the task's deadline has passed.
        if not is_row_locked(error):
            raise


def _insist(work: Callable[[], bool]) -> bool:
    """Call ``work`` until it succeeds: another thread of this process may renew the row's lease meanwhile."""
    return any(work() for _ in range(TRIES))


def error_for_celery(task: StepTask, claimed: Claim, error: BaseException, delay: float | None) -> BaseException:
    """Return the error that Celery gets in place of ``error``.

    It is a ``Retry`` for a task that is tried again in ``delay`` seconds, and else a failure. It is never an error
    that makes Celery drop or send a message, or end the process. There are two exceptions: an error that ends the
    process anyway, and Ctrl-C where there is no worker.
    """
    if (exit_ := _signal_exit(error)) is not None:
        return exit_
    if _interruption(error) is not None or (isinstance(error, KeyboardInterrupt) and task.request.is_eager):
        return error
    if greenlets.is_time_out(error, claimed.time_limit):
        return DirectorError(timeouts.describe(claimed.time_limit or 0))
    if claimed.node.kind != "task" and is_row_locked(error):
        # The step is done again, see `handle_failure`.
        return Ignore()
    if delay is not None:
        return _retry(claimed, _cause(error), delay)
    return _presentable(_cause(error))


def _retry(claimed: Claim, cause: BaseException, delay: float) -> Retry:
    policy, seen = claimed.node.retry, _presentable(cause)
    number = f"attempt {claimed.failures + 1}" + ("" if policy is None else f" of {policy.max + 1}")
    text = f"Retry in {round(delay, 1):.12g}s: {number} failed: {error_texts.describe(cause)[:MAX_ERROR]}"
    # Celery accepts fractions of a second, although its stubs do not.
    when: Any = delay
    retry = Retry(text, exc=seen, when=when)
    retry.__cause__ = seen
    return retry


def _presentable(error: BaseException) -> Exception:
    """Return the error, or a ``DirectorError`` if Celery could not handle it or would draw a wrong conclusion."""
    is_loggable = error_texts.is_loggable(error)
    is_plain = not isinstance(error, (Ignore, Reject, Retry, *NOT_FOR_CELERY))
    if isinstance(error, Exception) and is_plain and is_loggable and error_texts.is_picklable(error):
        return error
    seen = DirectorError(_misuse(error) or error_texts.describe(error)[:MAX_ERROR])
    seen.__cause__ = error if is_loggable else None
    return seen


def _misuse(error: BaseException) -> str:
    """Return a message for an error that a task must not raise, because Celery or Python give it another meaning.

    Empty for any other error.
    """
    if isinstance(error, (Ignore, Reject, WorkerShutdown, WorkerTerminate)):
        what = error_texts.name(error)
        return f"a task in a run can't raise {what}: return a value, or raise an error to fail"
    if isinstance(error, SystemExit):
        code = repr(error.code) if type(error.code) in (int, str, type(None)) else error_texts.text(error.code)
        return f"the task called sys.exit({code}); raise an error to fail, or return"
    return ""


def make_failure(error: BaseException, texts: Redactor, prefix: str = "") -> Failure:
    """Return the failure to be stored for an error: its text and its traceback, without secrets.

    The traceback begins with the user's own code.
    """
    misuse = _misuse(error)
    described = f"{DirectorError.__name__}: {misuse}" if misuse else error_texts.describe(error)
    traceback = error_texts.format_traceback(error, _user_frames(error))
    return Failure(error=texts.text(f"{prefix}{described}"), traceback=texts.text(traceback))


def _user_frames(error: BaseException) -> TracebackType | None:
    """Return the traceback from the task's own function on; all of it if that function was not called."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(PACKAGE):
        frames = frames.tb_next
    return frames or error.__traceback__


def _cause(error: BaseException) -> BaseException:
    """Return the error for which a task asked for a retry; for any other error the error itself."""
    if isinstance(error, Retry):
        for cause in (error.exc, error.__context__):
            if isinstance(cause, BaseException):
                return error_texts.make_safe(cause)
    return error


def _delay(task: StepTask, claimed: Claim, error: BaseException, cause: BaseException) -> float | None:
    """Return the seconds until the next attempt; ``None``: there is none."""
    policy = claimed.node.retry
    if policy is None:
        return _own_delay(task, error) if isinstance(error, Retry) else None
    if isinstance(error, NEVER_RETRIED):
        return None
    return next_delay(policy, claimed.failures, type(cause), random.random())


def _own_delay(task: StepTask, error: Retry) -> float:
    """Return the seconds until the attempt that a task has asked for.

    Raises ``Misuse`` for a value that is no time.
    """
    when: Any = error.when
    if when is None:
        when = task.default_retry_delay
    try:
        seconds = float(when if isinstance(when, (int, float)) else when.timestamp() - time.time())
        if seconds != seconds:
            raise ValueError
    # The value is the user's: any method of it may raise any error.
    except Exception as problem:
        raise Misuse(f"self.retry() can't wait until {error_texts.text(when)}: that is no time") from problem
    return min(max(0.0, seconds), HIGHEST)
