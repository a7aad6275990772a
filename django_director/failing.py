"""What becomes of an attempt whose code raised: handed back, tried again, or failed."""

from __future__ import annotations

import random
import signal
import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate

from .definitions.arguments import ArgumentsError
from .engine import finish, recovery
from .engine.claim import Claim
from .engine.finish import Failure
from .exceptions import DirectorError, ExpressionError, InputTooLarge, InvalidResult, Misuse
from .retrying import next_delay

if TYPE_CHECKING:
    from .celery import DirectorTask

PACKAGE: Final = f"{__package__}."
SIGNAL_EXITS: Final = frozenset(signum - 256 for signum in signal.Signals)
KILL_DELAY: Final = 0.2
NEVER_RETRIED: Final = (ArgumentsError, ExpressionError, Ignore, InputTooLarge, InvalidResult, Misuse, Reject)
"""The next attempt would fail in the same way."""


def record(task: DirectorTask, claimed: Claim, error: BaseException) -> None:
    """Write down what an error makes of the attempt: handed back, tried again, or failed."""
    if _is_farewell(error):
        # After a hard time limit the process is killed 0.1 s after the signal; its parent tells of that.
        time.sleep(KILL_DELAY)
        finish.hand_back(claimed)
        return
    if claimed.node.kind != "task" and not isinstance(error, DirectorError):
        # What goes wrong in what is ours is nobody's mistake in the workflow: it is tried again.
        recovery.lose_message(claimed.task_id, claimed.sequence, f"{type(error).__name__}: {error}")
        return
    cause = _cause(error)
    delay = _delay(task, claimed, error, cause)
    if delay is None:
        finish.fail(claimed, failure(cause))
    else:
        finish.retry_later(claimed, failure(cause), delay)


def _is_farewell(error: BaseException) -> bool:
    """Whether the process was told to end, by Celery or by a signal, while the task ran."""
    if isinstance(error, (WorkerShutdown, WorkerTerminate)):
        return True
    # What billiard's signal handler exits with in a pool process; who swallows that keeps the process alive.
    return isinstance(error, SystemExit) and error.code in SIGNAL_EXITS


def shown(error: BaseException) -> BaseException:
    """What Celery shall see: never something that makes it drop, send again or end the process."""
    if isinstance(error, (Ignore, Reject)):
        return DirectorError(
            f"a task in a run can't raise {type(error).__name__}: return a value, or raise an error to fail"
        )
    if isinstance(error, SystemExit) and not _is_farewell(error):
        return DirectorError(f"the task called sys.exit({error.code!r}); raise an error to fail, or return")
    return error


def failure(error: BaseException, prefix: str = "") -> Failure:
    """The error as people read it, with the part of its traceback that is theirs."""
    seen = shown(error)
    text = "".join(traceback.format_exception(type(error), error, _user_frames(error)))
    return Failure(error=f"{prefix}{type(seen).__name__}: {seen}".rstrip(": "), traceback=text)


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
                return cause
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
    when: Any = error.when
    if when is None:
        return float(task.default_retry_delay)
    if isinstance(when, (int, float)):
        return float(when)
    return max(0.0, float(when.timestamp() - time.time()))
