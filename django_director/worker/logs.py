"""Keeps the log lines of a task with its attempt: all lines of its thread while its code runs.

They are stored when the attempt ends. Of an attempt that runs longer they are stored before, every few seconds, by
a thread of their own: people want to see what a task does, and a lost worker must not take all its lines along.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from typing import Final

from django.db import IntegrityError
from django.db.models import Value
from django.db.models.expressions import Combinable

from django_director.common.json_values import storable_text
from django_director.conf import director
from django_director.db.compiled import waiting_at_most
from django_director.db.lock_limits import bounded, limited, row_seconds
from django_director.db.texts import storable
from django_director.db.transactions import statement, transact
from django_director.engine.attempts.claim import Claim
from django_director.masking.redaction import Redactor
from django_director.models import TaskLog

from .clocks import of_logs as clock
from .log_lines import LogLines

logger = logging.getLogger(__name__)

LEVEL: Final = logging.INFO
HIGHEST: Final = 32_767
"""The highest level that the column holds."""
LOCK_SECONDS: Final = 2
PERIOD: Final = 2.0
"""Seconds from the start of an attempt until its lines are stored while it runs, and from one time to the next."""
LEAST_PAUSE: Final = 20
"""The pause until the next time is so many times as long as the storing took: it must not slow the task down."""


class Lines:
    """The log lines of a claimed task's attempt. Its own thread adds them, and that of the clock stores them."""

    def __init__(self, claim: Claim, texts: Redactor) -> None:
        self._claim, self._texts = claim, texts
        self._lines = LogLines()
        self._writing = threading.Lock()
        self._is_over = False
        self._writes = 0
        """How often a statement was sent that stores the lines; its answer may have been lost."""
        self._next = time.monotonic() + PERIOD
        self.due_at = math.inf
        """When the clock is to store the lines; never if there is none that it has not stored."""

    def add(self, line: str) -> None:
        """Add a line, or several lines such as a traceback."""
        # Secrets are removed when the lines are stored: to know them, the payload of the run may have to be read,
        # and now the connection is the task's. A line is cut after that: half a secret is not recognised.
        self._lines.add(line)
        if self.due_at == math.inf:
            self.due_at = max(self._next, time.monotonic())
            clock.wake_by(self.due_at)

    @property
    def text(self) -> str:
        """All lines as one text without the secrets of the run; if lines were dropped, it says where."""
        # The handler adds lines with this lock held. The standard library renews it in processes that are forked.
        _handler.acquire()
        try:
            lines = self._lines.copy()
        finally:
            _handler.release()
        return str(lines.cleaned(self._texts.text))

    def tick(self) -> None:
        """Store the lines that there are while the task runs. Raises an error of the database."""
        self.due_at = math.inf
        began = time.monotonic()
        with self._writing:
            if self._is_over:
                return
            try:
                with bounded():
                    transact(partial(self._write, self._row(self.text)), patience=0)
            except IntegrityError:
                # Retention or a person has deleted the run.
                self._next = math.inf
                return
            except BaseException:
                self.due_at = time.monotonic() + PERIOD
                raise
            now = time.monotonic()
            self._next = now + max(PERIOD, LEAST_PAUSE * (now - began))

    def keep(self) -> None:
        """Store all lines at the end of the attempt. An error is logged and not raised; without lines there is no
        query."""
        self._is_over = True
        if not self._lines:
            return
        is_alone = False
        try:
            # What the clock's thread is just writing must not come after this.
            is_alone = self._writing.acquire(timeout=LOCK_SECONDS)
            self._store()
        # No error may cost the task its result here, not even that of a time limit.
        except Exception as error:
            logger.warning("The log lines of task %s could not be kept: %s", self._claim.task_id, error)
        finally:
            if is_alone:
                self._writing.release()

    def _store(self) -> None:
        row = self._row(self.text)
        if not self._writes:
            row.text = _limited(row.text)
        statement(partial(self._write, row))

    def _row(self, text: str) -> TaskLog:
        return TaskLog(
            task_id=self._claim.task_id,
            sequence=self._claim.sequence,
            attempt=self._claim.attempt,
            generation=self._claim.run.generation,
            level=min(logging.root.getEffectiveLevel(), HIGHEST),
            text=storable(text),
        )

    def _write(self, row: TaskLog) -> None:
        """Write the row of the attempt: the first time by an INSERT alone, so that a short task needs no more."""
        self._writes += 1
        if self._writes > 1:
            mine = TaskLog.objects.filter(task=row.task_id, sequence=row.sequence)
            if limited(mine).update(text=row.text, writes=self._writes):
                return
        TaskLog.objects.bulk_create([row], ignore_conflicts=True)


def _limited(text: str) -> str | Combinable:
    """Return the text, as an expression that limits how long its INSERT waits for the lock of the task's row.

    The foreign key of a new row needs that lock.
    """
    return waiting_at_most(LOCK_SECONDS, Value(text)) if row_seconds() is not None else text


_lines: ContextVar[Lines | None] = ContextVar("director_log_lines", default=None)


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _Handler(logging.Handler):
    """Adds a record to the lines of the attempt in whose thread it was made, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = _lines.get()
        if lines is None:
            return
        try:
            lines.add(storable_text(self.format(record)))
        # Handlers of the standard library do the same: a message that can't be formatted must not fail the task.
        except Exception:
            self.handleError(record)


_handler: Final = _Handler(LEVEL)
_handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))


_loggers = -1
"""How many loggers there were when the handler was added to them."""


@contextlib.contextmanager
def captured(lines: Lines, *, is_live: bool) -> Iterator[None]:
    """Collect in ``lines`` what this thread logs in this block; the levels of loggers are not changed.

    If ``is_live`` they are stored from time to time while the block goes on.
    """
    if not director.CAPTURE_LOGS:
        yield
        return
    _attach()
    token = _lines.set(lines)
    try:
        with clock.watching(lines, is_needed=is_live):
            yield
    finally:
        _lines.reset(token)


def _attach() -> None:
    """Add the handler to the root logger and to all loggers that do not propagate, such as Celery's.

    This is repeated when there are new loggers, and when a new logging configuration has removed the handler.
    """
    global _loggers
    known = len(logging.root.manager.loggerDict)
    if known == _loggers and _handler in logging.root.handlers:
        return
    _loggers = known
    for own in [logging.root, *list(logging.root.manager.loggerDict.values())]:
        if isinstance(own, logging.Logger) and _is_end(own) and _handler not in own.handlers:
            own.addHandler(_handler)


def _is_end(own: logging.Logger) -> bool:
    return own is logging.root or not own.propagate
