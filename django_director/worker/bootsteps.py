"""Starts the supervisor inside a Celery worker, and the thread that writes the worker's signs of life."""

from __future__ import annotations

import contextlib
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
from billiard.util import get_pdeathsig  # type: ignore[attr-defined]
from celery import Celery, bootsteps, signals

from django_director.conf import director
from django_director.db.own_connections import close_before_fork, close_unused

from . import child_processes, frozen_processes, identity
from .consumed_queues import Consumed
from .protocols import TimerEntry, Worker

if TYPE_CHECKING:
    from django_director.engine.supervisor.loop import Supervisor

    from .heartbeat import Heartbeat

logger = logging.getLogger(__name__)

_bootsteps: Any = bootsteps
RUN = _bootsteps.RUN

REVIVE_PERIOD = 1.0
"""Seconds between two checks whether the supervisor is alive."""
WATCH_PERIOD = 1.0
"""Seconds between two signs that the supervisor's process gives to its parent."""
FROZEN_SECONDS = 8.0
"""After so many seconds without a sign the process is replaced. A worker counts as lost only later than that."""
STUCK_SECONDS = 60.0
"""After so many seconds without progress the supervisor counts as stuck."""
LEAVE_SECONDS = 4.0
"""For how many seconds a worker that ends tries to write so to the database."""
MARGIN = 1.0
"""Seconds after ``LEAVE_SECONDS`` until a process that has not ended is killed."""


class SupervisorProcess(Process):
    """The supervisor as a child process of a worker; Celery starts its embedded beat in the same way.

    A thread of this process writes the worker's signs of life. The process ends when its parent ends, in whatever
    way. A SIGTERM ends the supervisor only, because the worker may still have tasks to finish; ``end`` ends both.
    """

    def __init__(self, app: Celery, name: str, key: int, consumed: Consumed) -> None:
        super().__init__()
        self.app = app
        self.name = "Supervisor"
        self.daemon = True
        self.worker = name
        self.key = key
        self.consumed = consumed
        # Memory shared with the child process. It holds the time of the child's last sign, by a clock that both
        # processes have in common, and whether the child is to end. A second signal could not say that: of two
        # signals that come at once only one is received.
        self._shared = mmap.mmap(-1, 9)
        self._give_sign()

    def run(self) -> None:
        """Supervise, and write signs of life, until the worker ends: the main function of the child process."""
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
        # A thread that waits for something must not keep the worker from ending.
        os._exit(0)

    @property
    def is_stuck(self) -> bool:
        """Whether the process has given no sign for ``FROZEN_SECONDS``."""
        (at,) = struct.unpack("d", self._shared[:8])
        return bool(time.monotonic() - at > FROZEN_SECONDS)

    def end(self, seconds: float) -> None:
        """Tell the process to end; kill it after ``seconds``."""
        self._shared[8] = 1
        self.terminate()
        child_processes.end(self, seconds)

    @property
    def _is_to_end(self) -> bool:
        return self._shared[8] != 0

    def _on_sigterm(self, *_: object) -> None:
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
            self._watcher.check()
            time.sleep(WATCH_PERIOD)
        logger.error("The supervisor has done nothing for %g s; its process ends, for a new one.", STUCK_SECONDS)
        os._exit(1)


class SupervisorThread(threading.Thread):
    """The supervisor and the signs of life of a worker whose pool does not fork, as threads of the worker."""

    def __init__(self, name: str, key: int, consumed: Consumed) -> None:
        super().__init__(name="Supervisor", daemon=True)
        self.supervisor = _new_supervisor()
        # Without a watcher: a task that lets no other thread run can hold up these signs of life.
        self._heartbeat = _new_heartbeat(key, name, consumed)

    def run(self) -> None:
        """Supervise until ``terminate``."""
        self._heartbeat.start()
        if director.SUPERVISOR == "worker":
            self.supervisor.run()

    @property
    def is_stuck(self) -> bool:
        """Whether the supervisor has made no progress for ``STUCK_SECONDS``."""
        return director.SUPERVISOR == "worker" and self.supervisor.silence > STUCK_SECONDS

    def is_alive(self) -> bool:
        """Whether the supervisor runs, or is not to run in this worker."""
        return super().is_alive() or director.SUPERVISOR != "worker"

    def terminate(self) -> None:
        """Tell the supervisor to end after its present tick."""
        self.supervisor.stop()

    def end(self, seconds: float) -> None:
        """Tell the supervisor and the signs of life to end; wait for that for ``seconds`` at most.

        A thread can't be killed: one that waits for something ends with the worker's process.
        """
        self.supervisor.stop()
        self._heartbeat.leave(seconds)


class SupervisorStep(bootsteps.StartStopStep):
    """Starts the supervisor with a worker, and starts it again when it dies or gives no sign.

    If ``DIRECTOR["SUPERVISOR"]`` is not "worker", it starts only the thread that writes the worker's signs of
    life.
    """

    label = "Supervisor"
    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Worker, **kwargs: object) -> None:
        self.child: SupervisorProcess | SupervisorThread | None = None
        self.entry: TimerEntry | None = None
        # This comes before the pool is made: the processes of the pool inherit the key.
        self.key = identity.begin()
        self.consumed = Consumed()
        super().__init__(worker, **kwargs)

    def start(self, worker: Worker) -> None:
        """Start the supervisor, and check it once a second from now on."""
        self._spawn(worker)
        self.entry = worker.timer.call_repeatedly(REVIVE_PERIOD, self._revive, (worker,))
        signals.worker_shutdown.connect(self._end, weak=False)

    def stop(self, worker: Worker) -> None:
        """Stop the supervisor. The signs of life go on, because the pool may still have tasks to finish."""
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None
        if self.child is not None:
            self.child.terminate()

    def terminate(self, worker: Worker) -> None:
        """Stop the supervisor in a cold shutdown of the worker."""
        self.stop(worker)

    def _end(self, **_: object) -> None:
        """Receive ``worker_shutdown``: end the signs of life too, because the pool has ended."""
        child, self.child = self.child, None
        if child is not None:
            child.end(LEAVE_SECONDS + MARGIN)

    def _spawn(self, worker: Worker) -> None:
        self.consumed.write(worker)
        if child_processes.is_forking(worker):
            close_before_fork()
            prepare_to_fork()
            self.child = SupervisorProcess(worker.app, str(worker.hostname), self.key, self.consumed)
        else:
            self.child = SupervisorThread(str(worker.hostname), self.key, self.consumed)
        self.child.start()

    def _revive(self, worker: Worker) -> None:
        child = self.child
        # A signal to the whole process group ends the supervisor, but the worker first finishes its tasks: it must
        # not start the supervisor again meanwhile.
        if child is None or worker.blueprint.state != RUN:
            return
        self.consumed.write(worker)
        # The threads of a pool that does not fork share their connections with this process.
        close_unused()
        if not child.is_alive():
            logger.error("The supervisor has died; it is started again.")
            self._spawn(worker)
        elif child.is_stuck:
            logger.error("The supervisor gives no sign; it is ended and started again.")
            child.end(0)
            self._spawn(worker)


def prepare_to_fork(**_: object) -> None:
    """Import the modules that forked processes will need, and keep their memory shared with this process.

    A module that a child imports itself takes memory of its own. And the garbage collector writes on every object
    that it visits, which would copy the shared pages: ``gc.freeze`` keeps it from visiting these objects.
    """
    from django_director.engine.supervisor import loop  # noqa: F401 - needs models

    from .execution import perform  # noqa: F401 - needs models

    # Billiard sets this signal in each process of the pool. The libraries with which it does so take 6 MB.
    with contextlib.suppress(OSError, NotImplementedError):
        get_pdeathsig()
    gc.collect()
    gc.freeze()


def _new_heartbeat(
    key: int, name: str, consumed: Consumed, watcher: frozen_processes.Watcher | None = None
) -> Heartbeat:
    from .heartbeat import Heartbeat  # needs models

    return Heartbeat(key, name, watcher, consumed.names)


def _new_supervisor() -> Supervisor:
    from django_director.engine.supervisor.loop import Supervisor  # needs models

    return Supervisor()
