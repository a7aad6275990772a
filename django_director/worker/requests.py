"""Messages as a worker's own process sees them: it hears of a process that is gone on every version of Celery.

Imported in workers only, by the name that ``DirectorTask.Request`` gives.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]
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


class Attentive(Base):
    """Mixed into a class of requests: tells the engine of what is lost of its tasks, and changes nothing else.

    Whatever Celery does with the message then, acknowledge it or send it back, is of no effect: the task is queued
    anew under its next sequence, and the message is out of date.
    """

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The task's time is up."""
        if not soft:
            self._notice(TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """The task raised, or its process is gone."""
        error = exc_info.exception
        self._notice(error.exc if isinstance(error, ExceptionWithTraceback) else error)
        return super().on_failure(exc_info, *args, **kwargs)

    def revoked(self) -> bool:
        """Whether Celery drops the message: somebody has revoked it, as by ``celery control revoke``."""
        is_dropped: bool = super().revoked()
        if is_dropped and self.request_dict.get(HEADER):
            reporter.lose(self.id, "its message was revoked")
        return is_dropped

    def _notice(self, error: BaseException) -> None:
        if not self.request_dict.get(HEADER):
            return
        match error:
            case TimeLimitExceeded(args=(int() | float() as seconds,)):
                reporter.lose(self.id, str(error), float(seconds))
            case WorkerLostError():
                reporter.lose(self.id, str(error))
            case Terminated():
                reporter.lose(self.id, "its process was terminated")
            case SystemExit() | KeyboardInterrupt():
                reporter.lose(self.id, f"its process ended with {error!r}")


class DirectorRequest(Attentive, Request):
    """The requests of a ``DirectorTask``."""


@cache
def attentive(name: Any) -> Any:
    """The class of requests that a project gave a task, or its name, as one that tells of losses too."""
    own: Any = symbol_by_name(name)
    if issubclass(own, Attentive):
        return own
    return type(own.__name__, (Attentive, own), {"__module__": own.__module__})
