"""Carries out an attempt: runs the code of a claimed task, and commits its outcome."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from celery.exceptions import Ignore
from django.db import DatabaseError, InterfaceError

from django_director.common.json_values import NotStorable, normalise
from django_director.db.errors import is_of_data
from django_director.db.sessions import user_session
from django_director.db.transactions import disconnect
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.exceptions import InvalidResult
from django_director.models.results import size_limit

from . import context, error_texts, own_steps, process_state
from .attempts import Attempt, at_work
from .errors import error_for_celery, handle_failure, make_failure
from .leases import keeper
from .logs import Lines, captured
from .protocols import StepTask

T = TypeVar("T")


def perform(task: StepTask, attempt: Attempt) -> object:
    """Carry out an attempt and write its outcome; return the task's value, or raise an error for Celery.

    ``Ignore`` means that the task belongs to another worker now, ``Retry`` that the attempt has failed and the
    task runs again later. After any other error the task has failed.
    """
    attempt.is_taken_up = True
    request: Any = task.request
    request.delivery_info = attempt.delivery
    # If this process runs the task for its caller, as in a test, it uses the caller's connection.
    with contextlib.nullcontext() if request.is_eager else at_work():
        request.director_value = value = _carry_out(task, attempt)
        return value


def _carry_out(task: StepTask, attempt: Attempt) -> object:
    claimed, texts = attempt.claimed, attempt.texts
    lines = Lines(claimed, texts)
    seen: BaseException | None = None
    with context.entered(claimed, texts), keeper.keep(claimed):
        try:
            with captured(lines, is_live=not task.request.is_eager):
                value = _run_step(task, attempt)
        except BaseException as error:
            handle = partial(handle_failure, task, claimed, error, texts)
            delay = _write_outcome(lines, partial(_insist, handle))
            attempt.is_tried_again = delay is not None
            seen = error_for_celery(task, claimed, error, delay)
            if seen is error:
                raise
        if seen is not None:
            # Raised outside of the `except` block: the original error must not become its context.
            raise seen
        _write_outcome(lines, _ending(attempt, value))
    return None if value is own_steps.HELD or isinstance(value, own_steps.Skip) else value


def _ending(attempt: Attempt, value: object) -> Callable[[], object]:
    """Return the function that writes the outcome of a step which has returned ``value``."""
    claimed = attempt.claimed
    match value:
        case own_steps.Skip():
            return partial(_insist, partial(_skip, claimed, value.reason))
        case own_steps.HELD:
            # The step waits, and the function that let it wait has written so.
            return lambda: None
        case _:
            return partial(_commit, attempt, value)


def _write_outcome(lines: Lines, write: Callable[[], T]) -> T:
    # The log lines come first: who sees the outcome must find them too. The outcome is written even if a signal
    # interrupts the writing of the lines.
    try:
        lines.keep()
    finally:
        outcome = write()
    return outcome


def _insist(write: Callable[[], T]) -> T:
    """Call ``write``, which writes an outcome; call it once more if it is interrupted.

    So the user's code need not run again. If a soft time limit is reached here, the code has kept it. An exception
    that ends the process is raised again afterwards.
    """
    try:
        return write()
    except (DatabaseError, InterfaceError, UnicodeError, Ignore):
        raise
    except Exception:
        # The connection may be in the middle of an answer, and so not be usable.
        disconnect()
        return write()
    except BaseException:
        disconnect()
        write()
        raise


def _run_step(task: StepTask, attempt: Attempt) -> object:
    """Run the step; return its value, ``HELD`` if it waits, or a ``Skip``."""
    claimed = attempt.claimed
    if attempt.problem is not None:
        raise attempt.problem
    if not attempt.is_wanted:
        text = " ".join(str(claimed.node.step.when).split())
        return own_steps.Skip(f"`when` is false: {text}")
    if claimed.node.kind == "task":
        return _call(task, attempt)
    value = own_steps.perform(claimed)
    return value if value is own_steps.HELD or isinstance(value, own_steps.Skip) else _stored(claimed, value)


def _skip(claimed: Claim, reason: str) -> None:
    if not finish.skip(claimed, reason):
        raise Ignore


def _call(task: StepTask, attempt: Attempt) -> object:
    process = os.getpid()
    with user_session():
        try:
            value = _run_code(task, attempt.args, attempt.kwargs)
        finally:
            if os.getpid() != process:
                # This is a process that the task has forked. The outcome and the connections belong to its parent.
                os._exit(0)
        pending = task.request.get("director_retry")
        if pending is not None:
            raise pending
        return _stored(attempt.claimed, value)


def _run_code(task: StepTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """Run the user's code and return its value; then restore the state of the process, and make its error safe."""
    had_alarm = process_state.has_alarm()
    try:
        try:
            task.start_plainly(args, kwargs)
            return task.run_plainly(*args, **kwargs)
        finally:
            process_state.restore(had_alarm)
    except BaseException as error:
        safe = error_texts.make_safe(error)
        if safe is error:
            raise
    # Raised outside of the `except` block: the original error must not become its context.
    raise safe


def _stored(claimed: Claim, value: object) -> object:
    """Return the result of a step in the form in which it is stored. Raises ``InvalidResult``."""
    try:
        return normalise(value, size_limit(claimed.graph, claimed.node.position))
    except NotStorable as error:
        raise InvalidResult(
            f"the task's result can't be stored: {error}; return plain JSON values, or store the data elsewhere "
            "and return where it is"
        ) from error


def _commit(attempt: Attempt, value: object) -> None:
    claimed = attempt.claimed
    try:
        committed = _insist(partial(attempt.finish, claimed, value))
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not is_of_data(error):
            # The database has refused every statement for as long as a worker waits. The supervisor will find the
            # task when its lease has expired.
            raise
        # The database can't store this result. The task fails with an error that does not contain it.
        failure = make_failure(error, attempt.texts, "the result could not be stored: ")
        _insist(partial(finish.fail, claimed, failure))
        raise
    if not committed:
        raise Ignore
