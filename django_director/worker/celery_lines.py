"""What Celery logs of a step: the line with its result, and that with its error. Secrets are taken out of them."""

from __future__ import annotations

import logging
from typing import Any, Final

from celery._state import get_current_task
from celery.utils.saferepr import saferepr

TRACE: Final = "celery.app.trace"
"""The logger that says how a task has ended."""
_formatter: Final = logging.Formatter()


def clean() -> None:
    """Take the secrets of runs out of Celery's lines from now on."""
    logging.getLogger(TRACE).addFilter(_cleaned)


def _cleaned(record: logging.LogRecord) -> bool:
    task = get_current_task()
    texts = None if task is None else getattr(task.request, "director_texts", None)
    if texts is not None and isinstance(record.args, dict):
        shown = {name: _shown(name, value, task, texts) for name, value in record.args.items()}
        record.args = shown
        if hasattr(record, "data"):
            record.data = shown
        _clean_traceback(record, texts)
    return True


def _shown(name: str, value: Any, task: Any, texts: Any) -> Any:
    if name == "return_value":
        return saferepr(texts.value(task.request.director_value), task.resultrepr_maxsize)
    return texts.text(value) if isinstance(value, str) else value


def _clean_traceback(record: logging.LogRecord, texts: Any) -> None:
    """Give the record a text for its traceback, and not the exception, where that tells a secret."""
    if not record.exc_info:
        return
    text = _formatter.formatException(record.exc_info)
    cleaned = texts.text(text)
    if cleaned != text:
        record.exc_info, record.exc_text = None, cleaned
