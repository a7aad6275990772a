"""Keeps the log lines of a task with its attempt: all lines of its thread while its code runs."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from django.db.models import Value
from django.db.models.expressions import Combinable

from django_director.common.json_values import storable_text
from django_director.conf import KIB, director
from django_director.db.compiled import waiting_at_most
from django_director.db.lock_limits import row_seconds
from django_director.db.texts import storable
from django_director.db.transactions import statement
from django_director.engine.attempts.claim import Claim
from django_director.masking.redaction import Redactor
from django_director.models import TaskLog

logger = logging.getLogger(__name__)

LEVEL: Final = logging.INFO
MAX_BYTES: Final = 64 * KIB
"""How many bytes of log lines are kept for one attempt."""
KEPT_OF_LINE: Final = MAX_BYTES - KIB
"""How many bytes are kept of a line that is longer than ``MAX_BYTES``."""
LOCK_SECONDS: Final = 2
DROPPED: Final = "… {count:,} earlier lines were dropped: the last {limit} KiB of an attempt are kept.\n"
CUT: Final = "… the beginning of this line was dropped: "


class Lines:
    """The last log lines of an attempt, as many as fit into ``MAX_BYTES``."""

    def __init__(self, texts: Redactor) -> None:
        self._texts = texts
        self._last = _Last()

    def add(self, line: str) -> None:
        """Add a line, or several lines such as a traceback."""
        # Secrets are removed when the task has ended: to know them, the payload of the run may have to be read,
        # and meanwhile the connection is the task's. A line is cut after that: half a secret is not recognised.
        self._last.add(line)

    @property
    def text(self) -> str:
        """All lines as one text without the secrets of the run; if lines were dropped, its first line says so."""
        last = _Last(self._last.dropped)
        for line in self._last.lines:
            last.add(_cut(self._texts.text(line)))
        dropped = DROPPED.format(count=last.dropped, limit=MAX_BYTES // KIB) if last.dropped else ""
        return dropped + "".join(f"{line}\n" for line in last.lines)

    def keep(self, claim: Claim) -> None:
        """Store the lines of a claimed task's attempt. An error is logged and not raised; without lines there is
        no query."""
        if not self._last.lines:
            return
        row = TaskLog(
            task_id=claim.task_id,
            sequence=claim.sequence,
            attempt=claim.attempt,
            generation=claim.run.generation,
        )
        try:
            row.text = _limited(storable(self.text))
            statement(lambda: TaskLog.objects.bulk_create([row], ignore_conflicts=True))
        # No error may cost the task its result here, not even that of a time limit.
        except Exception as error:
            logger.warning("The log lines of task %s could not be kept: %s", claim.task_id, error)


class _Last:
    """The last lines of some, as many as fit into ``MAX_BYTES``; a longer line counts as one that was cut."""

    def __init__(self, dropped: int = 0) -> None:
        self.lines: deque[str] = deque()
        self.dropped = dropped
        self._bytes = 0

    def add(self, line: str) -> None:
        self.lines.append(line)
        self._bytes += _size(line)
        while self._bytes > MAX_BYTES:
            self._bytes -= _size(self.lines.popleft())
            self.dropped += 1


def _cut(line: str) -> str:
    data = line.encode()
    return line if len(data) < MAX_BYTES else CUT + data[-KEPT_OF_LINE:].decode(errors="ignore")


def _limited(text: str) -> str | Combinable:
    """Return the text, as an expression that limits how long its INSERT waits for the lock of the task's row.

    The foreign key of a new row needs that lock.
    """
    return waiting_at_most(LOCK_SECONDS, Value(text)) if row_seconds() is not None else text


def _size(line: str) -> int:
    size = len(line.encode())
    return 1 + (size if size < MAX_BYTES else KEPT_OF_LINE + len(CUT))


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
def captured(lines: Lines) -> Iterator[None]:
    """Collect in ``lines`` what this thread logs in this block; the levels of loggers are not changed."""
    if not director.CAPTURE_LOGS:
        yield
        return
    _attach()
    token = _lines.set(lines)
    try:
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
