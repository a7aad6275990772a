"""What the child processes of a worker have in common that are not of its pool."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, Final

import celery.utils.log
from billiard.common import reset_signals
from celery import platforms

POLL_PERIOD: Final = 0.02
"""Seconds between two looks at a child process that is to end."""


def is_forking(worker: Any) -> bool:
    """Whether the worker's pool is made of processes: a thread beside one that forks may block its children."""
    pool = worker.pool_cls
    return "prefork" in (pool if isinstance(pool, str) else str(pool.__module__))


def begin(app: Any) -> None:
    """Make a fork of the worker a process of its own; called first in the child."""
    reset_signals(full=False)
    _close_inherited_files()
    app.set_default()
    app.set_current()
    # Ctrl-C reaches the whole group: the worker decides when its children go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end(process: Any, seconds: float) -> None:
    """Give a child process, which has begun, ``seconds`` to end by itself; then kill it, even a frozen one."""
    # Billiard's `join` knows no time-out for a child that has closed the files which it inherited.
    until = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < until:
        time.sleep(POLL_PERIOD)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)


def _close_inherited_files() -> None:
    """Let go of the worker's broker and event sockets, as Celery's beat does; logs stay open."""
    log: Any = celery.utils.log
    close: Any = platforms.close_open_fds
    close([sys.__stdin__, sys.__stdout__, sys.__stderr__, *log.iter_open_logger_fds()])
