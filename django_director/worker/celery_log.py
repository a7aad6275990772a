"""Removes the secrets of runs from the lines that Celery logs when a step has succeeded or failed."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

from celery._state import get_current_task
from celery.utils.saferepr import saferepr
from django.db import DatabaseError, InterfaceError

from django_director.db.sessions import engine_session
from django_director.masking.redaction import Redactor
from django_director.masking.values import MASKED

TRACE: Final = "celery.app.trace"
"""The logger by which Celery says how a task has ended."""
PLAIN: Final = frozenset(("id", "name", "runtime"))
"""What Celery says of a task that is no text of its run."""
_formatter: Final = logging.Formatter()


def hide_secrets() -> None:
    """Remove the secrets of runs from Celery's log lines from now on."""
    logging.getLogger(TRACE).addFilter(_clean)


def _clean(record: logging.LogRecord) -> bool:
    task = get_current_task()
    texts = None if task is None else getattr(task.request, "director_texts", None)
    if texts is not None and isinstance(record.args, dict):
        try:
            # To know what is secret, the payload of the run may have to be read.
            with contextlib.nullcontext() if task.request.is_eager else engine_session():
                shown = {name: _clean_argument(name, value, task, texts) for name, value in record.args.items()}
                _clean_traceback(record, texts)
        except (DatabaseError, InterfaceError):
            shown = {name: value if name in PLAIN else MASKED for name, value in record.args.items()}
            record.exc_info = record.exc_text = None
        record.args = shown
        if hasattr(record, "data"):
            record.data = shown
    return True


def _clean_argument(name: str, value: object, task: Any, texts: Redactor) -> object:
    if name == "return_value":
        return saferepr(texts.value(task.request.director_value), task.resultrepr_maxsize)
    return texts.text(value) if isinstance(value, str) and name not in PLAIN else value


def _clean_traceback(record: logging.LogRecord, texts: Redactor) -> None:
    """Replace the exception of a record by a text without secrets, if its traceback contains a secret."""
    if not record.exc_info:
        return
    text = _formatter.formatException(record.exc_info)
    cleaned = texts.text(text)
    if cleaned != text:
        record.exc_info, record.exc_text = None, cleaned
