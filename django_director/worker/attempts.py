"""Begin an attempt: claim the task of a message, and find out what its function is to be called with.

Both happen before Celery traces the task. So its handlers, the receivers of its signals and its result backend get
what Celery promises them: the arguments of the function, and an id that is the same at every attempt.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore
from celery.states import IGNORED

from django_director.common import shutdown
from django_director.db.sessions import engine_session, one_session
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.tickets import Ticket, UnfitMessage
from django_director.masking.redaction import Redactor
from django_director.masking.values import secret_keys

from . import copies, identity, inputs
from .time_limits import limit_of

if TYPE_CHECKING:
    from django_director.celery import DirectorTask

logger = logging.getLogger(__name__)

LOOK_AGAIN: Final = 15.0
"""Seconds after which a task is queued again that Celery could not begin, as when its result backend is away."""
_NO_MORE: Final[dict[str, Any]] = {
    # What a message may add to itself: the result is for the steps that follow.
    **dict.fromkeys(("callbacks", "errbacks", "chain", "chord")),
    # Celery logs them in place of the arguments, which may be secret.
    "argsrepr": "()",
    "kwargsrepr": "{}",
}


@dataclass(slots=True)
class Attempt:
    """A claimed task, and what its function is called with."""

    claimed: Claim
    texts: Redactor
    delivery: Any = None
    """Celery's ``delivery_info`` of the message."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    is_wanted: bool = True
    """Whether ``when`` holds."""
    problem: Exception | None = None
    """Why there are no arguments."""
    is_taken_up: bool = False
    """Whether Celery has come to call the task: from then on the task's own code ends the attempt."""


@contextlib.contextmanager
def at_work() -> Iterator[None]:
    """Work for the engine in this block, in a process of a worker."""
    with shutdown.watch.working(), engine_session():
        yield


def trace(task: DirectorTask, tracer: Callable[..., Any], header: Any, request: dict[str, Any]) -> Any:
    """Claim the task of a message, and let Celery's ``tracer`` run it; return what a tracer returns.

    A message that is a duplicate, out of date, or not of the task that it names is ignored: no handler and no
    receiver hears of it. ``request`` is what Celery knows of the message.
    """
    message = Context(request, called_directly=False)
    with one_session():
        try:
            attempt = _begin(task, message, header)
        except UnfitMessage as error:
            refuse(task, error)
            attempt = None
        except Exception as error:
            # As when the database is away: for Celery the task fails, and its row waits to be sent again.
            kept = {"headers": message.headers, "director_attempt": error}
            return tracer(message.id, (), {}, request | _NO_MORE | kept)
        if attempt is None:
            return _ignored(task, message)
        told = _told(attempt, message, request)
        try:
            return tracer(told["id"], attempt.args, attempt.kwargs, told)
        finally:
            if not attempt.is_taken_up:
                _put_off(attempt, message)


def refuse(task: DirectorTask, why: object) -> None:
    """Say that a message of a run is not believed; nothing of what it says is repeated."""
    logger.warning("Refused a message for the task `%s`: %s", task.name, why, extra={"action": "refuse"})


def _begin(task: DirectorTask, message: Any, header: Any) -> Attempt | None:
    ticket = Ticket.read(message.id, task.name, header)
    with _at_work_for(message):
        claimed = claims.claim(ticket, str(message.hostname or ""), limit_of(task, message), identity.worker_key())
        if claimed is None:
            copies.hand_on(task, message, ticket)
            return None
        return prepare(task, claimed, message.delivery_info)


def prepare(task: DirectorTask, claimed: Claim, delivery: Any = None) -> Attempt:
    """Make the attempt of a claimed task: whether it runs at all, and with which arguments."""
    texts = Redactor(claimed.payload, claimed.graph.definition.schema, claimed.run.pk)
    attempt = Attempt(claimed, texts, delivery)
    try:
        _find_arguments(task, attempt)
    # Of a workflow's own expressions too: whatever it is, the attempt fails by it.
    except Exception as problem:
        attempt.problem = problem
    return attempt


def _at_work_for(message: Any) -> contextlib.AbstractContextManager[None]:
    # A task of this very process, as in a test, is its caller's to connect.
    return contextlib.nullcontext() if message.is_eager else at_work()


def _find_arguments(task: DirectorTask, attempt: Attempt) -> None:
    claimed = attempt.claimed
    attempt.is_wanted = inputs.judge(claimed)
    if not attempt.is_wanted or claimed.node.kind != "task":
        return
    attempt.args, attempt.kwargs = inputs.arguments(task, claimed)
    keys = secret_keys()
    if secret := [value for name, value in attempt.kwargs.items() if keys.is_secret(name)]:
        attempt.texts.add(secret)


def _told(attempt: Attempt, message: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What Celery shall know of the task's request."""
    told = {
        **request,
        **_NO_MORE,
        "id": str(attempt.claimed.task_id),
        # Else what is added here would count as a header of the message.
        "headers": message.headers,
        "retries": attempt.claimed.failures,
        "director_attempt": attempt,
        "director_policy": attempt.claimed.node.retry,
        # What Celery logs of the step is cleaned by it.
        "director_texts": attempt.texts,
    }
    if (message.delivery_info or {}).get("redelivered"):
        # Celery would drop what its result backend has a success of, as when a person has it run again. That this
        # message is no duplicate is known by the claim.
        told["delivery_info"] = {**message.delivery_info, "redelivered": False}
    return told


def _ignored(task: DirectorTask, message: Any) -> Any:
    try:
        raise Ignore
    except Ignore as error:
        outcome = TraceInfo(IGNORED, error)
        outcome.handle_ignore(task, message)
        return trace_ok_t(ExceptionInfo(internal=True), outcome, 0.0, None)


def _put_off(attempt: Attempt, message: Any) -> None:
    """Queue the task again, a little later, for nothing: its code was never called."""
    logger.warning("Celery could not begin task %s; it is tried again.", attempt.claimed.task_id)
    with _at_work_for(message):
        finish.put_off(attempt.claimed, LOOK_AGAIN)
