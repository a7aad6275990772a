"""Begins and ends child processes of a worker that do not belong to its pool."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, Final, Protocol

import celery.utils.log
from billiard.common import reset_signals
from celery import Celery, platforms

from .protocols import Worker

POLL_PERIOD: Final = 0.02
"""Seconds between two checks whether a child process has ended."""


class ChildProcess(Protocol):
    """A process that this one has started, by ``billiard`` or ``multiprocessing``."""

    @property
    def pid(self) -> int | None: ...
    def is_alive(self) -> bool: ...


def is_forking(worker: Worker) -> bool:
    """Whether the worker's pool consists of forked processes.

    Beside such a pool the worker must not use threads: a lock that a thread holds at a fork is never released in
    the child.
    """
    pool = worker.pool_cls
    return "prefork" in (pool if isinstance(pool, str) else str(pool.__module__))


def begin(app: Celery) -> None:
    """Make a forked child of the worker independent of it; the child calls this first."""
    reset_signals(full=False)
    _close_inherited_files()
    app.set_default()
    app.set_current()
    # Ctrl-C sends SIGINT to the whole process group. The worker decides when its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end(process: ChildProcess, seconds: float) -> None:
    """Wait up to ``seconds`` for a child process to end by itself; then kill it, even if it is frozen."""
    # Billiard's `join` ignores its time-out for a child that has closed the files which it inherited.
    until = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < until:
        time.sleep(POLL_PERIOD)
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)


def _close_inherited_files() -> None:
    """Close the sockets of the worker's broker and events, as Celery's beat does; logs stay open."""
    log: Any = celery.utils.log
    close: Any = platforms.close_open_fds
    close([sys.__stdin__, sys.__stdout__, sys.__stderr__, *log.iter_open_logger_fds()])
