"""Runs the tasks of a batch: claims them at once, runs one after the other, and commits results together.

To Celery and to the code each of the tasks runs as it does alone. Only the success of a task is kept in memory for
a moment, and committed with others; whatever else becomes of it is written at once.

A result is committed ``PERIOD`` seconds after it is there at the latest, and before the next task begins if that
may take longer. Where a task takes longer than the ones before it, a thread commits what waits.
"""

from __future__ import annotations

import logging
import marshal
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from celery import signals as celery_signals
from celery.app.task import Context
from celery.app.trace import task_has_custom, trace_ok_t
from django.db import DatabaseError, InterfaceError

from django_director import signals
from django_director.common import shutdown
from django_director.common.process_signs import page
from django_director.conf import director
from django_director.db.errors import is_of_data
from django_director.db.lock_limits import met_lock
from django_director.db.sessions import one_session
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.tickets import Ticket, UnfitMessage
from django_director.engine.batches import finish as together
from django_director.engine.batches import unstarted
from django_director.engine.batches.claims import Claimed
from django_director.engine.batches.claims import claim as claim_batch
from django_director.engine.batches.finish import Done
from django_director.graph import has_lanes
from django_director.masking.redaction import Redactor

from . import attempts, identity, inputs, missing_runs
from .attempts import Attempt, Request
from .clocks import of_batches as clock
from .errors import make_failure
from .protocols import StepTask
from .time_limits import SPAN, is_limited

logger = logging.getLogger(__name__)

PERIOD: Final = 0.1
"""Seconds after which a result is committed, and the run is asked whether it goes on."""
SLOW: Final = 1.0
"""Seconds after which a task is slow: the others of its batch are given back, for other processes to run them."""


def trace(task: StepTask, tracer: Callable[..., object], header: object, request: Request) -> object:
    """Claim the tasks of a batch's message and let Celery's ``tracer`` run each; return what Celery gets for it.

    A message is ignored as ``attempts.trace`` ignores one.
    """
    message = Context(request, called_directly=False)
    with one_session():
        try:
            claimed = _claim(task, message, header)
        except UnfitMessage as error:
            attempts.refuse(task, error)
            claimed = None
        except Exception as error:
            return attempts.fail_to_claim(tracer, message, request, error)
        if claimed is None:
            return attempts.ignore(task, message)
        began = time.monotonic()
        try:
            _Batch(task, message, claimed).run(tracer, request)
        except Exception:
            # Celery's tracer has handled the errors of the tasks. To let this one pass might end the worker.
            logger.exception("A batch of `%s` was broken off; the leases of its tasks will tell.", task.name)
        return trace_ok_t(None, None, time.monotonic() - began, "a batch")


def _claim(task: StepTask, message: Context, header: object) -> Claimed | None:
    ticket = Ticket.parse(message.id, task.name, header)
    with attempts.at_work_for(message):
        worker = str(message.hostname or "")
        claimed = claim_batch(ticket, worker, identity.worker_key(), partial(inputs.uses_of, task))
        if claimed.claims:
            return claimed
        missing_runs.forward(task, message, ticket)
        return None


class _Batch:
    """The tasks of one message while they run. The thread of the clock uses it too, so a lock guards its state."""

    def __init__(self, task: StepTask, message: Context, claimed: Claimed) -> None:
        now = time.monotonic()
        self._task = task
        self._message = message
        self._lock = threading.RLock()
        self._claim = claimed.claims[0]
        self._left = deque(claimed.claims)
        self._done: dict[int, tuple[Done, Redactor]] = {}
        """By their tokens: what has succeeded and is not committed."""
        self._since: Any = claimed.since
        self._start = self._began = self._looked_at = self._renewed_at = now
        self._took = 0.0
        self._waits_since = float("inf")
        """Since when the oldest result waits to be committed."""
        self._limit = SPAN if is_limited(task, message) else float("inf")
        self._is_watched = _is_watched(task)

    def run(self, tracer: Callable[..., object], request: Request) -> None:
        """Run the tasks one after the other."""
        with clock.watching(self, is_needed=not self._message.is_eager):
            try:
                while (claim := self._next()) is not None:
                    self._run_one(claim, tracer, request)
            finally:
                self._close()
                page.hide_claim()

    def _run_one(self, claim: Claim, tracer: Callable[..., object], request: Request) -> None:
        if signals.task_started.receivers:
            with attempts.at_work_for(self._message):
                claims.send_started(claim.task_id)
        attempt = attempts.prepare(self._task, claim, self._message.delivery_info)
        if claim.values is not None or claim.node.map_position is None:
            attempt.args, attempt.kwargs = _own_copy((attempt.args, attempt.kwargs))
        attempt.finish = partial(self._keep, attempt)
        before = len(self._done)
        try:
            attempts.run(tracer, attempt, self._message, request)
        finally:
            # Whoever finds that this process has ended is to know how far it came, also between two tasks.
            page.show_claim(claim.task_id, claim.token)
        self._took = time.monotonic() - self._began
        if len(self._done) == before:
            # It has not succeeded: that may have stopped the run, or its retry may fill `max_parallel`.
            self._looked_at = float("-inf")
        if attempt.is_tried_again and _has_lanes(claim):
            self._put_back()

    def _next(self) -> Claim | None:
        if self._left:
            self._look()
        with self._lock:
            if not self._left:
                return None
            self._began = time.monotonic()
            clock.wake_by(self._began + SLOW)
            return self._left.popleft()

    def _look(self) -> None:
        """Do what is due between two tasks."""
        now = time.monotonic()
        if shutdown.has_begun() or now - self._start > self._limit:
            self._put_back()
        is_late = now + self._took >= self._waits_since + PERIOD
        is_to_ask = now - self._looked_at >= PERIOD
        if not (is_late or is_to_ask or now - self._renewed_at >= director.RENEW):
            return
        with attempts.at_work_for(self._message):
            if is_late:
                self._flush()
            self._looked_at = now
            if not unstarted.lets_begin(self._claim):
                self._put_back()
            if now - self._renewed_at >= director.RENEW and (left := list(self._left)):
                self._renewed_at = now
                unstarted.renew(left)

    def _keep(self, attempt: Attempt, claim: Claim, result: object) -> bool:
        """Keep the result of a task, to be committed with others; return whether the task is still ours."""
        now = time.monotonic()
        done = Done(claim, result, self._moment(self._began), self._moment(now))
        with self._lock:
            self._done[claim.token] = done, attempt.texts
            self._waits_since = min(self._waits_since, now)
        if self._is_watched:
            return self._flush().get(claim.token, True)
        clock.wake_by(self._waits_since + PERIOD)
        return True

    def _moment(self, at: float) -> Any:
        return self._since + timedelta(seconds=at - self._start)

    def _flush(self, *, is_last: bool = False) -> dict[int, bool]:
        """Commit what is done; return which of it is still ours, by its tokens."""
        with self._lock:
            if not self._done:
                return {}
            try:
                ours = self._commit(is_last)
            except (DatabaseError, InterfaceError):
                # The database has refused every statement for as long as a worker waits: the leases will tell.
                self._forget()
                raise
            self._forget()
            return ours

    def _commit(self, is_last: bool) -> dict[int, bool]:
        waiting = list(self._done.values())
        if self._write([done for done, _ in waiting], is_last):
            return dict.fromkeys(self._done, True)
        return {done.claim.token: _finish_alone(done, texts) for done, texts in waiting}

    def _forget(self) -> None:
        self._done.clear()
        self._waits_since = float("inf")

    def _write(self, done: list[Done], is_last: bool) -> bool:
        try:
            return together.finish_together(done, is_last=is_last)
        except (DatabaseError, InterfaceError, UnicodeError) as error:
            if is_of_data(error) or met_lock(error):
                return False
            raise

    def _put_back(self) -> None:
        """Give back what has not begun."""
        with self._lock:
            left = list(self._left)
            self._left.clear()
            if left:
                with attempts.at_work_for(self._message):
                    unstarted.put_back(left)

    def _close(self) -> None:
        try:
            self._put_back()
        finally:
            with attempts.at_work_for(self._message), self._lock:
                if self._done:
                    self._flush(is_last=True)
                elif _has_lanes(self._claim):
                    # All was committed while a task of this batch was still in work.
                    together.begin_next(self._claim)

    # What the clock's thread uses

    @property
    def due_at(self) -> float:
        """When the clock has to look at it again."""
        slow_at = self._began + SLOW if self._left else float("inf")
        return min(slow_at, self._waits_since + PERIOD)

    def tick(self) -> None:
        """Do what is due although a task runs."""
        now = time.monotonic()
        with self._lock:
            if self._waits_since + PERIOD <= now:
                self._flush()
            if self._left and self._began + SLOW <= now:
                self._put_back()


def _own_copy(arguments: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return a copy of arguments, which are JSON values: what code does to them must not reach the next task."""
    # Ten times as fast as `copy.deepcopy`.
    copied: tuple[Any, Any] = marshal.loads(marshal.dumps(arguments))
    return copied


def _has_lanes(claim: Claim) -> bool:
    position = claim.node.map_position
    return position is not None and has_lanes(claim.graph.nodes[position])


def _is_watched(task: Any) -> bool:
    """Whether code of the project's hears of each success, so that each must be committed before."""
    has_handler = any(task_has_custom(task, name) for name in ("on_success", "after_return"))
    return has_handler or bool(celery_signals.task_success.receivers)


def _finish_alone(done: Done, texts: Redactor) -> bool:
    """Commit one result by itself; return whether the task is still ours."""
    try:
        return finish.finish(done.claim, done.result)
    except (DatabaseError, InterfaceError, UnicodeError) as error:
        if isinstance(error, DatabaseError | InterfaceError) and not is_of_data(error):
            raise
        return finish.fail(done.claim, make_failure(error, texts, "the result could not be stored: "))
