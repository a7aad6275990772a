"""Celery's requests in a worker's main process, which report lost attempts on every version of Celery.

Only workers import this module, by the name that ``DirectorTask.Request`` gives.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined]
from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import TimeLimitExceeded
from celery.utils.imports import symbol_by_name
from celery.worker.request import Request

from django_director.dispatch.messages import HEADER, SIZE

from . import time_limits
from .losses import reporter
from .lost_batches import lost_batch

if TYPE_CHECKING:
    Base = Request
else:
    Base = object


class ReportsLosses(Base):
    """Mixed into a class of requests: reports lost attempts to the engine, and changes nothing else.

    It does not matter whether Celery then acknowledges the message or sends it back: the engine queues the task
    again under its next sequence, so the message is out of date.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        header = self.request_dict.get(HEADER)
        if isinstance(header, dict) and SIZE in header:
            # A batch's time is to leave each of its tasks its own.
            self.time_limits = time_limits.of_batch(self.task)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Report an attempt that has exceeded its hard time limit."""
        if not soft:
            self._notice(TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: ExceptionInfo, *args: bool, **kwargs: bool) -> Any:
        """Report an attempt whose process has ended; an error of the task itself is not reported."""
        error = exc_info.exception
        self._notice(error.exc if isinstance(error, ExceptionWithTraceback) else error)
        return super().on_failure(exc_info, *args, **kwargs)

    def revoked(self) -> bool:
        """Return whether Celery drops the message because somebody has revoked it; if so, report that."""
        is_dropped: bool = super().revoked()
        if is_dropped and self.request_dict.get(HEADER):
            self._lose("its message was revoked")
        return is_dropped

    def _notice(self, error: BaseException | None) -> None:
        if not self.request_dict.get(HEADER):
            return
        match error:
            case TimeLimitExceeded(args=(int() | float() as seconds,)):
                self._lose(str(error), float(seconds))
            case WorkerLostError():
                self._lose(str(error))
            case Terminated():
                self._lose("its process was terminated")
            case SystemExit() | KeyboardInterrupt():
                self._lose(f"its process ended with {error!r}")

    def _lose(self, why: str, seconds: float | None = None) -> None:
        pid: Any = self.worker_pid
        reporter.note_loss(self.id, why, seconds, lost_batch(self.request_dict[HEADER], pid))


class DirectorRequest(ReportsLosses, Request):
    """The requests of a ``DirectorTask``."""


@cache
def loss_reporting_class(name: str | type[Request]) -> Any:
    """Return a class of requests, given by itself or by its name, as one that reports lost attempts too."""
    own: type[Request] = symbol_by_name(name) if isinstance(name, str) else name
    if issubclass(own, ReportsLosses):
        return own
    made: type[Request] = type(own.__name__, (ReportsLosses, own), {"__module__": own.__module__})
    return made
