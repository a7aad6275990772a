"""What a worker's own process has to tell the engine: attempts that are lost, and messages that were dropped.

That process must not wait for a database: while it does, the worker takes no message and hears no signal. So it
collects, and helpers tell: short-lived child processes or, where the pool does not fork, threads.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from billiard.context import Process
from celery import bootsteps
from django.db import DatabaseError, InterfaceError, connections

from django_director.common.ids import parse_message_id
from django_director.conf import director

from . import child_processes

logger = logging.getLogger(__name__)

LOOK_PERIOD: Final = 1.0
"""Seconds between two looks at helpers and at pool processes, and at most between two tries of a helper."""
FIRST_PAUSE: Final = 0.1
"""Seconds until its second try: what a dying process has locked is free within moments."""
LOSS_PERIOD: Final = 0.05
DROP_PERIOD: Final = 0.5
"""Seconds in which losses and dropped messages are collected: a worker drops a backlog as fast as it comes."""
HELPERS: Final = 4
"""How many may tell at the same time; more wait for them."""
MARGIN: Final = 5.0
"""Seconds past a lease after which a helper that still tells is killed: the lease has told."""
FAREWELL: Final = 2.0
"""Seconds that a worker which ends gives its helpers."""


class Loss(NamedTuple):
    """An attempt that has ended although its task did not, or a message that was dropped before there was one."""

    task_id: UUID
    sequence: int
    why: str
    seconds: float | None = None
    """Its time limit, where it ran longer than that."""


class Message(NamedTuple):
    """A message that was dropped because this worker does not know the task of this name."""

    task_id: UUID
    sequence: int
    name: str


class Told(NamedTuple):
    """What one helper tells."""

    worker: str
    losses: list[Loss]
    dropped: list[Message]
    running_on: list[str]
    """The Celery ids of what was given up and can't be killed."""

    @property
    def size(self) -> int:
        return len(self.losses) + len(self.dropped) + len(self.running_on)


class HelperProcess(Process):
    """Tells as a child of the worker, beside a pool that forks."""

    def __init__(self, app: Any, told: Told) -> None:
        super().__init__()
        self.app = app
        self.told = told
        self.name = "Losses"
        self.daemon = True

    def run(self) -> None:
        """The child's main function."""
        child_processes.begin(self.app)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        tell(self.told)

    def end(self, seconds: float) -> None:
        """Let it go on for so long, and no longer."""
        child_processes.end(self, seconds)


class HelperThread(threading.Thread):
    """Tells beside a pool that does not fork."""

    def __init__(self, told: Told) -> None:
        super().__init__(name="Losses", daemon=True)
        self.told = told

    def run(self) -> None:
        """The thread's main function."""
        tell(self.told)

    def end(self, seconds: float) -> None:
        """Wait for it for so long: a thread can't be killed, and ends with the process."""
        self.join(seconds)


class Reporter:
    """Collects in a worker's own process, and hands over to helpers; never waits for a database."""

    def __init__(self) -> None:
        # Celery's timer may be a thread, and so may what hears of the pool's processes.
        self._lock = threading.Lock()
        self._worker: Any = None
        self._losses: dict[str, Loss] = {}
        self._dropped: list[Message] = []
        self._running_on: list[str] = []
        self._helpers: list[tuple[float, HelperProcess | HelperThread]] = []

    @property
    def waiting(self) -> list[Loss]:
        """What has not been handed over yet."""
        return list(self._losses.values())

    def serve(self, worker: Any) -> None:
        """Collect for this worker from now on."""
        self._worker = worker

    def lose(self, message_id: str, why: str, seconds: float | None = None) -> None:
        """The attempt of a message has ended from outside; with ``seconds`` by a time limit of so many."""
        if (parsed := _parsed(message_id)) is None:
            return
        with self._lock:
            is_first = not self._losses
            # Of one loss Celery tells by several ways.
            self._losses.setdefault(message_id, Loss(*parsed, why, seconds))
        if is_first:
            self._call_after(LOSS_PERIOD)

    def drop(self, message_id: str, name: str) -> None:
        """This worker has dropped a message because it does not know the task."""
        if (parsed := _parsed(message_id)) is None:
            return
        with self._lock:
            is_first = not self._dropped
            self._dropped.append(Message(*parsed, name))
        if is_first:
            self._call_after(DROP_PERIOD)

    def run_on(self, message_ids: list[str]) -> None:
        """What was given up of these messages can't be killed."""
        with self._lock:
            self._running_on += message_ids
        self._call_after(LOSS_PERIOD)

    def hand_over(self) -> None:
        """Let a helper tell what was collected, unless as many as may be are at it."""
        with self._lock:
            self._helpers = [(since, helper) for since, helper in self._helpers if _goes_on(since, helper)]
            told = Told(str(self._worker.hostname), self.waiting, self._dropped, self._running_on)
            if not told.size or len(self._helpers) >= HELPERS:
                return
            try:
                helper = self._start(told)
            except OSError as problem:
                logger.warning("There is no process for losses, they are told later: %s", problem)
                return
            self._losses, self._dropped, self._running_on = {}, [], []
            self._helpers.append((time.monotonic(), helper))

    def end(self) -> None:
        """Let the last be told before the worker ends; what takes longer than moments is left to the leases."""
        self.hand_over()
        until = time.monotonic() + FAREWELL
        for _, helper in self._helpers:
            helper.end(max(0.0, until - time.monotonic()))

    def _start(self, told: Told) -> HelperProcess | HelperThread:
        helper: HelperProcess | HelperThread
        if child_processes.is_forking(self._worker):
            # A child must not inherit a connection: two processes would write on one socket.
            connections.close_all()
            helper = HelperProcess(self._worker.app, told)
        else:
            helper = HelperThread(told)
        helper.start()
        return helper

    def _call_after(self, seconds: float) -> None:
        if self._worker is not None:
            self._worker.timer.call_after(seconds, self.hand_over)


def _parsed(message_id: str) -> tuple[UUID, int] | None:
    """The task and the sequence; ``None`` for a message of somebody who only says that it is of a run."""
    try:
        return parse_message_id(message_id)
    except ValueError:
        return None


reporter: Final = Reporter()
"""Of this process."""


def say_farewell(**_: Any) -> None:
    """Receiver of ``worker_shutdown``: the pool has ended by then."""
    reporter.end()


class LossStep(bootsteps.StartStopStep):
    """Looks after helpers, and after pool processes that have died."""

    label = "Losses"
    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        reporter.serve(worker)
        self.entry: Any = None
        super().__init__(worker, **kwargs)

    def start(self, worker: Any) -> None:
        """Begin to look."""
        self.entry = worker.timer.call_repeatedly(LOOK_PERIOD, self._look, (worker,))

    def stop(self, worker: Any) -> None:
        """Look no more: the pool has ended, or does so itself."""
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None

    def terminate(self, worker: Any) -> None:
        """The same when the worker goes down at once."""
        self.stop(worker)

    def _look(self, worker: Any) -> None:
        reporter.hand_over()
        if worker.use_eventloop and worker.pool is not None and child_processes.is_forking(worker):
            # The event loop hears of a killed process a moment before it can be reaped, and asks again after 5 s.
            worker.pool.maintain_pool()


def tell(told: Told) -> None:
    """Write it down; what can't be, as its row is locked or the database away, again and again for one lease."""
    until = time.monotonic() + director.LEASE
    left, delay = _tell_once(told), FIRST_PAUSE
    if left.size:
        logger.warning("%d losses can't be written down yet; tried again for %g s.", left.size, director.LEASE)
    while left.size and time.monotonic() < until:
        time.sleep(delay)
        left, delay = _tell_once(left), min(2 * delay, LOOK_PERIOD)
    if left.size:
        logger.warning("%d losses could not be written down; their leases will tell.", left.size)


def _tell_once(told: Told) -> Told:
    """Return what is left to tell."""
    from django_director.db import transactions  # need models
    from django_director.engine import stopping
    from django_director.engine.supervisor import lost_attempts, unknown_tasks

    try:
        losses = [loss for loss in told.losses if not _is_told(partial(lost_attempts.write_down, *loss))]
        noted = not told.dropped or _is_told(partial(unknown_tasks.note, told.dropped, told.worker))
        said = not told.running_on or _is_told(partial(stopping.note_running_on, told.running_on))
    finally:
        transactions.disconnect()
    return Told(told.worker, losses, [] if noted else told.dropped, [] if said else told.running_on)


def _is_told(work: Callable[[], bool | None]) -> bool:
    try:
        return work() is not False
    except (DatabaseError, InterfaceError) as problem:
        logger.info("A loss can't be written down: %s", problem)
        return False
    except Exception:
        # The others shall be told all the same.
        logger.exception("A loss can't be written down; its lease will tell.")
        return True


def _goes_on(since: float, helper: HelperProcess | HelperThread) -> bool:
    if helper.is_alive() and time.monotonic() - since > director.LEASE + MARGIN:
        helper.end(0)
    return helper.is_alive()
