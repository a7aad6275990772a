"""The supervisor inside a Celery worker."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from billiard.context import Process
from celery import bootsteps
from django.db import connections

from . import processes
from .conf import director

if TYPE_CHECKING:
    from .engine.supervise import Supervisor

logger = logging.getLogger(__name__)

REVIVE_PERIOD = 1.0
"""Seconds between two looks whether the supervisor's process is alive."""


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
        processes.begin(self.app)
        parent = os.getppid()
        supervisor = _new_supervisor()
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
        self.entry = worker.timer.call_repeatedly(REVIVE_PERIOD, self._revive, (worker,))

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
        if processes.is_forking(worker):
            # A child must not inherit a connection: two processes would write on one socket.
            connections.close_all()
            prepare_to_fork()
            self.child = SupervisorProcess(worker.app)
        else:
            self.child = SupervisorThread()
        self.child.start()

    def _revive(self, worker: Any) -> None:
        # A signal to the whole group ends the supervisor before a worker that still has tasks to finish.
        is_running = worker.blueprint.state == bootsteps.RUN
        if is_running and self.child is not None and not self.child.is_alive():
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


def _new_supervisor() -> Supervisor:
    from .engine.supervise import Supervisor  # needs models

    return Supervisor()
