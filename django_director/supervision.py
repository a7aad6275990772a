"""The supervisor inside a Celery worker, and what the worker's own process has to tell the engine."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import celery.utils.log
from billiard.common import reset_signals
from billiard.context import Process
from celery import bootsteps, platforms
from celery.exceptions import TimeLimitExceeded
from django.db import DatabaseError, InterfaceError, connections

from . import farewell
from .conf import director
from .ids import parse_message_id

if TYPE_CHECKING:
    from .engine.supervise import Supervisor

logger = logging.getLogger(__name__)

REVIVE_PERIOD = 1.0
"""Seconds between two looks whether the supervisor's process and those of the pool are alive."""

REPORT_PERIOD = 0.5
"""Seconds in which unknown tasks are collected."""
_unknown: list[tuple[UUID, int]] = []
# Celery's timer may be a thread.
_collecting = threading.Lock()


class SupervisorProcess(Process):
    """The supervisor as a child of a worker, started the way Celery starts its embedded beat.

    It ends with its parent, however the parent ends.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.name = "Supervisor"
        self.daemon = True

    def run(self) -> None:
        """The child's main function."""
        reset_signals(full=False)
        _close_inherited_files()
        self.app.set_default()
        self.app.set_current()
        parent = os.getppid()
        supervisor = _new_supervisor()
        # Ctrl-C reaches the whole group: the worker decides when its supervisor goes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
        supervisor.run(is_wanted=lambda: os.getppid() == parent)


class SupervisorThread(threading.Thread):
    """The supervisor for pools that do not fork."""

    def __init__(self) -> None:
        super().__init__(name="Supervisor", daemon=True)
        self.supervisor = _new_supervisor()

    def run(self) -> None:
        """Supervise until ``terminate``."""
        self.supervisor.run()

    def terminate(self) -> None:
        """Let the thread end after its present tick."""
        self.supervisor.stop()


class SupervisorStep(bootsteps.StartStopStep):
    """Starts a supervisor with each worker, and again when it dies."""

    label = "Supervisor"
    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        self.child: SupervisorProcess | SupervisorThread | None = None
        self.entry: Any = None
        super().__init__(worker, **kwargs)

    def include_if(self, worker: Any) -> bool:
        """Sites may run ``manage.py superviseworkflows`` instead."""
        return bool(director.SUPERVISOR == "worker")

    def start(self, worker: Any) -> None:
        """Start the supervisor and look after it."""
        self._spawn(worker)
        self.entry = worker.timer.call_repeatedly(REVIVE_PERIOD, self._look, (worker,))

    def stop(self, worker: Any) -> None:
        """Stop it in good order."""
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None
        if self.child is not None:
            child, self.child = self.child, None
            child.terminate()
            child.join(5)

    def terminate(self, worker: Any) -> None:
        """Stop it when the worker goes down at once."""
        self.stop(worker)

    def _spawn(self, worker: Any) -> None:
        if "prefork" in _pool_name(worker):
            # A child must not inherit a connection: two processes would write on one socket.
            connections.close_all()
            prepare_to_fork()
            self.child = SupervisorProcess(worker.app)
        else:
            self.child = SupervisorThread()
        self.child.start()

    def _look(self, worker: Any) -> None:
        self._revive(worker)
        if worker.use_eventloop and worker.pool is not None and "prefork" in _pool_name(worker):
            # The event loop hears of a killed process a moment before it can be reaped, and asks again after 5 s.
            worker.pool.maintain_pool()

    def _revive(self, worker: Any) -> None:
        # A signal to the whole group has ended both.
        if self.child is not None and not self.child.is_alive() and not farewell.is_going():
            logger.error("The supervisor has died; it is started again.")
            self._spawn(worker)


def prepare_to_fork(**_: Any) -> None:
    """Make what a child will need part of the pages that it shares with this process, and let them stay shared.

    What a child imports itself is its own memory, and the garbage collector writes on every object it looks at.
    """
    from . import worker  # noqa: F401 - needs models
    from .engine import supervise  # noqa: F401 - needs models

    gc.collect()
    gc.freeze()


def report_lost(message_id: str, error: BaseException) -> None:
    """Tell the engine that the process of a message is gone; called in the worker's main process."""
    from .engine import recovery, timeouts  # needs models

    task_id, sequence = parse_message_id(message_id)
    try:
        if isinstance(error, TimeLimitExceeded):
            timeouts.time_out_message(task_id, sequence, float(error.args[0]))
        else:
            recovery.lose_message(task_id, sequence, str(error))
    except (DatabaseError, InterfaceError) as problem:
        logger.warning("The loss of %s could not be written down, its lease will tell: %s", message_id, problem)
    finally:
        # Pool processes are forked from this one.
        connections.close_all()


def report_running_on(message_ids: list[str]) -> None:
    """Tell the engine what was given up and can't be killed; called in the worker's main process."""
    from .engine import stop  # needs models

    try:
        stop.note_running_on(message_ids)
    except (DatabaseError, InterfaceError) as problem:
        logger.warning("It could not be written down that %s run on: %s", ", ".join(message_ids), problem)
    finally:
        connections.close_all()


def report_unknown(message_id: str, consumer: Any) -> None:
    """Tell the engine, within moments, that this worker has dropped a message because it does not know the task.

    Many are told at once: a worker drops a backlog as fast as it comes.
    """
    message = parse_message_id(message_id)
    with _collecting:
        _unknown.append(message)
        if len(_unknown) == 1:
            consumer.timer.call_after(REPORT_PERIOD, _report_unknown, (str(consumer.hostname),))


def _report_unknown(worker: str) -> None:
    from .engine import unknown  # needs models

    with _collecting:
        messages, _unknown[:] = _unknown[:], []
    try:
        unknown.note(messages, worker)
    except (DatabaseError, InterfaceError) as problem:
        logger.warning("%d unknown tasks could not be written down: %s", len(messages), problem)
    finally:
        connections.close_all()


def _close_inherited_files() -> None:
    """Let go of the worker's broker and event sockets, as Celery's beat does; logs stay open."""
    log: Any = celery.utils.log
    close: Any = platforms.close_open_fds
    close([sys.__stdin__, sys.__stdout__, sys.__stderr__, *log.iter_open_logger_fds()])


def _pool_name(worker: Any) -> str:
    pool = worker.pool_cls
    return pool if isinstance(pool, str) else str(pool.__module__)


def _new_supervisor() -> Supervisor:
    from .engine.supervise import Supervisor  # needs models

    return Supervisor()
