"""Begins an attempt: claims the task of a message, and works out the arguments of its function.

This happens before Celery traces the task. So the task's handlers, the receivers of its signals and its result
backend get what Celery promises them: the arguments of the function, and an id that is the same at every attempt.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

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

from . import identity, inputs, missing_runs
from .protocols import StepTask
from .time_limits import limit_of

Request: TypeAlias = dict[str, Any]
"""What Celery knows of a message."""

logger = logging.getLogger(__name__)

LOOK_AGAIN: Final = 15.0
"""Seconds until a task is tried again that Celery could not begin, as when its result backend is away."""
_NO_MORE: Final[Request] = {
    # A message must not name further tasks to be called with the result: it is for the steps that follow.
    **dict.fromkeys(("callbacks", "errbacks", "chain", "chord")),
    # Celery logs these texts. The real arguments may be secret.
    "argsrepr": "()",
    "kwargsrepr": "{}",
}


@dataclass(slots=True)
class Attempt:
    """A claimed task, and the arguments of its function."""

    claimed: Claim
    texts: Redactor
    delivery: Any = None
    """Celery's ``delivery_info`` of the message."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    is_wanted: bool = True
    """Whether the step's ``when`` is true."""
    problem: Exception | None = None
    """The error for which there are no arguments."""
    finish: Callable[[Claim, object], bool] = finish.finish
    """Commits the result of the attempt, or keeps it to be committed with others of its batch."""
    is_tried_again: bool = False
    """Whether the attempt has failed and another one follows."""
    is_taken_up: bool = False
    """Whether Celery has called the task. From then on ``execution.perform`` writes how the attempt ends."""


@contextlib.contextmanager
def at_work() -> Iterator[None]:
    """Let this block work for the engine in a process of a worker: with the engine's own connection."""
    with shutdown.watch.working(), engine_session():
        yield


def trace(task: StepTask, tracer: Callable[..., object], header: object, request: Request) -> object:
    """Claim the task of a message and let Celery's ``tracer`` run it; return what the tracer returns.

    A message is ignored if it is a duplicate, out of date, or not of the task that it names: no handler and no
    receiver of a signal is called for it.
    """
    message = Context(request, called_directly=False)
    with one_session():
        try:
            attempt = _begin(task, message, header)
        except UnfitMessage as error:
            refuse(task, error)
            attempt = None
        except Exception as error:
            return fail_to_claim(tracer, message, request, error)
        return ignore(task, message) if attempt is None else run(tracer, attempt, message, request)


def run(tracer: Callable[..., object], attempt: Attempt, message: Context, request: Request) -> object:
    """Let Celery's ``tracer`` run a claimed task; return what the tracer returns."""
    changed = _change_request(attempt, message, request)
    try:
        return tracer(changed["id"], attempt.args, attempt.kwargs, changed)
    finally:
        if not attempt.is_taken_up:
            _put_off(attempt, message)


def fail_to_claim(tracer: Callable[..., object], message: Context, request: Request, error: Exception) -> object:
    """Let the task of a message that could not be claimed fail for Celery; return what the tracer returns.

    The database may be away. The supervisor will offer the task's row again.
    """
    kept = {"headers": message.headers, "director_attempt": error}
    return tracer(message.id, (), {}, request | _NO_MORE | kept)


def refuse(task: StepTask, why: object) -> None:
    """Log that a message of a run is refused.

    The log line repeats nothing of the message: anybody may have sent it.
    """
    logger.warning("Refused a message for the task `%s`: %s", task.name, why, extra={"action": "refuse"})


def _begin(task: StepTask, message: Context, header: object) -> Attempt | None:
    ticket = Ticket.parse(message.id, task.name, header)
    with at_work_for(message):
        claimed = claims.claim(
            ticket,
            str(message.hostname or ""),
            limit_of(task, message),
            identity.worker_key(),
            partial(inputs.uses_of, task),
        )
        if claimed is None:
            missing_runs.forward(task, message, ticket)
            return None
        return prepare(task, claimed, message.delivery_info)


def prepare(task: StepTask, claimed: Claim, delivery: object = None) -> Attempt:
    """Return the attempt of a claimed task: whether its function is called at all, and with which arguments."""
    texts = Redactor(lambda: claimed.payload.value, claimed.graph.definition.schema, claimed.run.pk)
    attempt = Attempt(claimed, texts, delivery)
    try:
        _find_arguments(task, attempt)
    # An expression of the workflow may raise any error: then the attempt fails with it.
    except Exception as problem:
        attempt.problem = problem
    return attempt


def at_work_for(message: Context) -> contextlib.AbstractContextManager[None]:
    """Let a block work for the engine, see ``at_work``."""
    # If this process runs the task for its caller, as in a test, it uses the caller's connection.
    return contextlib.nullcontext() if message.is_eager else at_work()


def _find_arguments(task: StepTask, attempt: Attempt) -> None:
    claimed = attempt.claimed
    attempt.is_wanted = inputs.evaluate_when(claimed)
    if not attempt.is_wanted or claimed.node.kind != "task":
        return
    attempt.args, attempt.kwargs = inputs.bind_arguments(task, claimed)
    keys = secret_keys()
    if secret := [value for name, value in attempt.kwargs.items() if keys.is_secret(name)]:
        attempt.texts.add(secret)


def _change_request(attempt: Attempt, message: Context, request: Request) -> Request:
    """Return the request with which Celery runs the attempt."""
    changed = {
        **request,
        **_NO_MORE,
        "id": str(attempt.claimed.task_id),
        # Without this Celery would take the keys that are added here for headers of the message.
        "headers": message.headers,
        "retries": attempt.claimed.failures,
        "director_attempt": attempt,
        "director_policy": attempt.claimed.node.retry,
        # Removes secrets from Celery's log lines, see `celery_log`.
        "director_texts": attempt.texts,
    }
    if (message.delivery_info or {}).get("redelivered"):
        # Celery would drop a redelivered message if its result backend has a success of the task. But the task may
        # run again because a person wants it. The claim has shown that the message is no duplicate.
        changed["delivery_info"] = {**(message.delivery_info or {}), "redelivered": False}
    return changed


def ignore(task: StepTask, message: Context) -> trace_ok_t:
    """Return what Celery gets for a message that is ignored."""
    try:
        raise Ignore
    except Ignore as error:
        outcome: Any = TraceInfo(IGNORED, error)
        outcome.handle_ignore(task, message)
        return trace_ok_t(ExceptionInfo(internal=True), outcome, 0.0, None)


def _put_off(attempt: Attempt, message: Context) -> None:
    """Queue the task again a little later. It does not count as a failure: the task's code was not called."""
    logger.warning("Celery could not begin task %s; it is tried again.", attempt.claimed.task_id)
    with at_work_for(message):
        finish.put_off(attempt.claimed, LOOK_AGAIN)
