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

from django_director.dispatch.messages import HEADER

from .losses import reporter

if TYPE_CHECKING:
    Base = Request
else:
    Base = object


class ReportsLosses(Base):
    """Mixed into a class of requests: reports lost attempts to the engine, and changes nothing else.

    It does not matter whether Celery then acknowledges the message or sends it back: the engine queues the task
    again under its next sequence, so the message is out of date.
    """

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
            reporter.note_loss(self.id, "its message was revoked")
        return is_dropped

    def _notice(self, error: BaseException | None) -> None:
        if not self.request_dict.get(HEADER):
            return
        match error:
            case TimeLimitExceeded(args=(int() | float() as seconds,)):
                reporter.note_loss(self.id, str(error), float(seconds))
            case WorkerLostError():
                reporter.note_loss(self.id, str(error))
            case Terminated():
                reporter.note_loss(self.id, "its process was terminated")
            case SystemExit() | KeyboardInterrupt():
                reporter.note_loss(self.id, f"its process ended with {error!r}")


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
