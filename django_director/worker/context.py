"""The context of a running task: what its code may ask and show while it runs."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from django_director.common.json_values import MAX_INT, storable_text
from django_director.common.throttle import Throttle
from django_director.db.lock_limits import limited
from django_director.db.transactions import connection, statement
from django_director.engine.attempts.claim import Claim
from django_director.exceptions import Misuse
from django_director.masking.redaction import Redactor
from django_director.models import Task
from django_director.status import RUN_FINISHED, STOP_SPARING

logger = logging.getLogger(__name__)

CANCELED_PERIOD: Final = 1.0
"""Seconds for which ``context().canceled`` repeats its last answer."""

_refusals: Final = Throttle()


@dataclass(slots=True)
class Context:
    """What the code of a running task may know and show about itself; ``context()`` returns it."""

    run_id: UUID
    task_id: UUID
    attempt: int
    """The number of the attempt: 1 for the first. Failures and lost workers count."""
    idempotency_key: str
    """A text that all attempts of this task have in common.

    It changes when a task that has succeeded is run again.
    """
    _token: int
    _texts: Redactor
    _asked_at: float = field(default=float("-inf"))
    _canceled: bool = False

    @property
    def canceled(self) -> bool:
        """Whether the task should end early: its run was stopped, or another worker runs the task now."""
        if not self._canceled and time.monotonic() - self._asked_at >= CANCELED_PERIOD:
            self._asked_at = time.monotonic()
            self._canceled = not self._is_wanted()
        return self._canceled

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show how far the task is: ``done`` of ``total``, and a message.

        It has no effect if another worker runs the task now. Raises ``Misuse`` for a value that is no number.
        """
        value: dict[str, object] = {
            "done": _number("done", done),
            "total": None if total is None else _number("total", total),
        }
        said = str(message)
        mine = Task.objects.running().filter(pk=self.task_id, claim=self._token)
        with _harmless("show the progress of"):
            # To know what is secret, the payload of the run may have to be read.
            value["message"] = storable_text((self._texts.text(said) if said else "")[:200])
            statement(lambda: limited(mine).update(progress=value))

    def _is_wanted(self) -> bool:
        mine = Task.objects.running().filter(pk=self.task_id, claim=self._token)
        row: Any = (True,)
        with _harmless("ask whether anybody still wants"):
            row = statement(lambda: mine.values_list("is_hook", "run__stop", "run__status").first())
        return row is not None and (row[0] or (row[1] in STOP_SPARING and row[2] not in RUN_FINISHED))


@contextlib.contextmanager
def _harmless(purpose: str) -> Iterator[None]:
    """Let a task go on if the database does not answer in this block, which only shows or asks something.

    Inside a transaction of the task's own the error is raised: PostgreSQL would refuse further statements of that
    transaction.
    """
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        if connection().in_atomic_block:
            raise
        if _refusals.passes(purpose):
            logger.warning("The database does not let us %s a task: %s", purpose, str(error).strip())


def _number(name: str, value: float) -> float:
    """Return a value as a number that JSON can hold. Raises ``Misuse`` for any other value."""
    if type(value) is int and abs(value) < MAX_INT:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Misuse(f"progress(): `{name}` is no number that can be shown")
    return number


_context: ContextVar[Context | None] = ContextVar("director_context", default=None)


def context() -> Context | None:
    """Return the context of the task that runs now; ``None`` outside a run."""
    return _context.get()


@contextlib.contextmanager
def entered(claimed: Claim, texts: Redactor) -> Iterator[None]:
    """Let ``context()`` return the context of a claimed task in this block."""
    key = f"{claimed.task_id}-{claimed.reruns}"
    token = _context.set(
        Context(
            run_id=claimed.run.pk,
            task_id=claimed.task_id,
            attempt=claimed.attempt,
            idempotency_key=key,
            _token=claimed.token,
            _texts=texts,
        )
    )
    try:
        yield
    finally:
        _context.reset(token)
