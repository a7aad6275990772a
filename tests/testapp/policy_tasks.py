"""Tasks for the tests of `retry`, `timeout`, hooks and log lines."""

from __future__ import annotations

import builtins
import logging
import time
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.exceptions import Reject

import django_director

ODD = "NUL \x00, half \ud800"


def _attempt() -> int:
    running = django_director.context()
    assert running is not None
    return running.attempt


@shared_task(name="FLAKY")
def flaky(failures: int = 10**9, error: str = "ValueError") -> int:
    """Raise an exception of Python's in the first attempts; return the number of the one that did not."""
    if _attempt() <= failures:
        raise getattr(builtins, error)("not yet")
    return _attempt()


@shared_task(name="ASKING", bind=True, max_retries=1, default_retry_delay=0)
def asking(self: Any, failures: int = 10**9, how: str = "exc") -> int:
    """As FLAKY, by ``self.retry``: with the exception, bare while it is handled, or returned and not raised."""
    try:
        return flaky(failures)
    except ValueError as error:
        if how == "later":
            self.retry(exc=error, throw=False)
            return 0
        raise self.retry(**{"exc": error} if how == "exc" else {}, countdown=3600) from error


@shared_task(name="REPLACING", bind=True, autoretry_for=(Exception,), max_retries=5, default_retry_delay=0)
def replacing(self: Any) -> None:
    self.replace(flaky.s())


@shared_task(name="LOGGING")
def log_lines(
    lines: list[list[str]],
    level: str = "INFO",
    times: int = 1,
    fails: bool = False,
    args: tuple[Any, ...] = (),
    until: str = "",
) -> None:
    """Log each line by its logger; with EXCEPTION while an exception is handled; then wait for the file ``until``.

    ``{odd}`` stands for what no database would hold in the arguments either.
    """
    for number, (name, message) in enumerate(lines * times):
        logger, text = logging.getLogger(name), message.replace("{attempt}", str(_attempt())).replace("{odd}", ODD)
        text = text.replace("{number}", str(number))
        if level == "EXCEPTION":
            try:
                _ = 1 / 0
            except ZeroDivisionError:
                logger.exception(text)
        else:
            logger.log(logging.getLevelName(level), text, *args)
    deadline = time.monotonic() + 60
    while until and not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    if fails:
        raise ValueError("as asked")


@shared_task(name="REFUSING", bind=True, autoretry_for=(Exception,), max_retries=5, default_retry_delay=0)
def refusing(self: Any) -> None:
    raise Reject("no")


@shared_task(name="MIXED", bind=True, max_retries=0)
def mixed(self: Any, failures: int = 10**9) -> None:
    """Fail by raising and by ``self.retry`` in turn."""
    if _attempt() <= failures:
        error = ValueError("not yet")
        raise error if _attempt() % 2 else self.retry(exc=error)
