"""The supervisor inside a Celery worker, and the signs of life of that worker."""

from __future__ import annotations

import gc
import logging
import mmap
import os
import signal
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from billiard.context import Process
from celery import bootsteps, signals
from django.db import connections

from django_director.conf import director

from . import child_processes, frozen_processes, identity
from .queues import Consumed

if TYPE_CHECKING:
    from django_director.engine.supervisor.loop import Supervisor

    from .heartbeat import Heartbeat

logger = logging.getLogger(__name__)

_bootsteps: Any = bootsteps
RUN = _bootsteps.RUN

REVIVE_PERIOD = 1.0
"""Seconds between two looks whether the supervisor is alive."""
WATCH_PERIOD = 1.0
"""Seconds between two signs that the supervisor's process gives to its parent."""
FROZEN_SECONDS = 8.0
"""Without a sign for so long the process is replaced: sooner than its worker would count as lost."""
STUCK_SECONDS = 60.0
"""Without progress for so long the supervisor waits for something that does not come."""
LEAVE_SECONDS = 4.0
"""How long the end of a worker waits for the database to take note of it."""
MARGIN = 1.0
"""Seconds after that until a process which has not ended is killed."""


class SupervisorProcess(Process):
    """The supervisor as a child of a worker, started the way Celery starts its embedded beat.

    Beside it a thread writes the worker's signs of life. The process ends with its parent, however that ends. A
    SIGTERM ends the supervisor alone, as the worker may still have tasks to finish; ``end`` ends all.
    """

    def __init__(self, app: Any, name: str, key: int, consumed: Consumed) -> None:
        super().__init__()
        self.app = app
        self.name = "Supervisor"
        self.daemon = True
        self.worker = name
        self.key = key
        self.consumed = consumed
        # Shared with the child: the moment of its last sign, by a clock that both read alike, and whether it is to
        # end. Two signals that come at once are one.
        self._shared = mmap.mmap(-1, 9)
        self._give_sign()

    def run(self) -> None:
        """The child's main function."""
        child_processes.begin(self.app)
        self._parent = os.getppid()
        self._leaving = threading.Event()
        self._supervisor = _new_supervisor()
        self._watcher = frozen_processes.Watcher()
        signal.signal(signal.SIGTERM, self._on_sigterm)
        threading.Thread(target=self._watch, name="director-watch", daemon=True).start()
        heartbeat = _new_heartbeat(self.key, self.worker, self.consumed, watcher=self._watcher)
        heartbeat.start()
        if director.SUPERVISOR == "worker":
            self._supervisor.run(self._has_parent)
        while self._has_parent() and not (self._is_to_end or self._leaving.wait(WATCH_PERIOD)):
            self._supervisor.show_progress()
        if self._supervisor.is_stopped:
            heartbeat.leave(LEAVE_SECONDS)
        # Whatever a thread waits for, it must not keep the worker from ending.
        os._exit(0)

    @property
    def is_stuck(self) -> bool:
        """Whether the process gives no sign any more, as one that is frozen."""
        (at,) = struct.unpack("d", self._shared[:8])
        return bool(time.monotonic() - at > FROZEN_SECONDS)

    def end(self, seconds: float) -> None:
        """Tell it to end; give it so long, and no longer."""
        self._shared[8] = 1
        self.terminate()
        child_processes.end(self, seconds)

    @property
    def _is_to_end(self) -> bool:
        return self._shared[8] != 0

    def _on_sigterm(self, *_: Any) -> None:
        if self._is_to_end:
            self._leaving.set()
            threading.Timer(LEAVE_SECONDS, os._exit, [0]).start()
        self._supervisor.stop()

    def _has_parent(self) -> bool:
        return os.getppid() == self._parent

    def _give_sign(self) -> None:
        self._shared[:8] = struct.pack("d", time.monotonic())

    def _watch(self) -> None:
        while self._supervisor.silence < STUCK_SECONDS:
            self._give_sign()
            self._watcher.look()
            time.sleep(WATCH_PERIOD)
        logger.error("The supervisor has done nothing for %g s; its process ends, for a new one.", STUCK_SECONDS)
        os._exit(1)


class SupervisorThread(threading.Thread):
    """The supervisor for pools that do not fork, and the signs of life of the worker."""

    def __init__(self, name: str, key: int, consumed: Consumed) -> None:
        super().__init__(name="Supervisor", daemon=True)
        self.supervisor = _new_supervisor()
        # A task that lets no other thread run would hold them up.
        self._heartbeat = _new_heartbeat(key, name, consumed)

    def run(self) -> None:
        """Supervise until ``terminate``."""
        self._heartbeat.start()
        if director.SUPERVISOR == "worker":
            self.supervisor.run()

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for something that does not come."""
        return director.SUPERVISOR == "worker" and self.supervisor.silence > STUCK_SECONDS

    def is_alive(self) -> bool:
        """Say whether it does what it is for."""
        return super().is_alive() or director.SUPERVISOR != "worker"

    def terminate(self) -> None:
        """Let the supervisor end after its present tick."""
        self.supervisor.stop()

    def end(self, seconds: float) -> None:
        """Let the signs of life end too: nobody can end a thread that waits for something."""
        self.supervisor.stop()
        self._heartbeat.leave(seconds)


class SupervisorStep(bootsteps.StartStopStep):
    """Starts a supervisor with each worker, and again when it dies or hangs.

    Where ``DIRECTOR["SUPERVISOR"]`` is not "worker" it only writes the worker's signs of life.
    """

    label = "Supervisor"
    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        self.child: SupervisorProcess | SupervisorThread | None = None
        self.entry: Any = None
        # Before the pool is made: its processes inherit it.
        self.key = identity.begin()
        self.consumed = Consumed()
        super().__init__(worker, **kwargs)

    def start(self, worker: Any) -> None:
        """Start the supervisor and look after it."""
        self._spawn(worker)
        self.entry = worker.timer.call_repeatedly(REVIVE_PERIOD, self._revive, (worker,))
        signals.worker_shutdown.connect(self._end, weak=False)

    def stop(self, worker: Any) -> None:
        """Stop it in good order; the signs of life go on, for the pool may still have tasks to finish."""
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None
        if self.child is not None:
            self.child.terminate()

    def terminate(self, worker: Any) -> None:
        """Stop it when the worker goes down at once."""
        self.stop(worker)

    def _end(self, **_: Any) -> None:
        """The pool has ended by now."""
        child, self.child = self.child, None
        if child is not None:
            child.end(LEAVE_SECONDS + MARGIN)

    def _spawn(self, worker: Any) -> None:
        self.consumed.show(worker)
        if child_processes.is_forking(worker):
            # A child must not inherit a connection: two processes would write on one socket.
            connections.close_all()
            prepare_to_fork()
            self.child = SupervisorProcess(worker.app, str(worker.hostname), self.key, self.consumed)
        else:
            self.child = SupervisorThread(str(worker.hostname), self.key, self.consumed)
        self.child.start()

    def _revive(self, worker: Any) -> None:
        child = self.child
        # A signal to the whole group ends the supervisor before a worker that still has tasks to finish.
        if child is None or worker.blueprint.state != RUN:
            return
        self.consumed.show(worker)
        if not child.is_alive():
            logger.error("The supervisor has died; it is started again.")
            self._spawn(worker)
        elif child.is_stuck:
            logger.error("The supervisor gives no sign; it is ended and started again.")
            child.end(0)
            self._spawn(worker)


def prepare_to_fork(**_: Any) -> None:
    """Make what a child will need part of the pages that it shares with this process, and let them stay shared.

    What a child imports itself is its own memory, and the garbage collector writes on every object it looks at.
    """
    from django_director.engine.supervisor import loop  # noqa: F401 - needs models

    from .execution import perform  # noqa: F401 - needs models

    gc.collect()
    gc.freeze()


def _new_heartbeat(
    key: int, name: str, consumed: Consumed, watcher: frozen_processes.Watcher | None = None
) -> Heartbeat:
    from .heartbeat import Heartbeat  # needs models

    return Heartbeat(key, name, watcher, consumed.read)


def _new_supervisor() -> Supervisor:
    from django_director.engine.supervisor.loop import Supervisor  # needs models

    return Supervisor()
