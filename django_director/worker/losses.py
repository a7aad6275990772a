"""Reports of a worker's main process to the engine: of attempts that are lost, and of messages that were dropped.

The main process must not wait for a database: meanwhile the worker would take no message and handle no signal. So
it collects reports, and helpers write them to the database. A helper is a child process that lives for a short
time or, if the pool does not fork, a thread.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Final
from uuid import UUID

from billiard.context import Process
from celery import Celery, bootsteps

from django_director.common.ids import parse_message_id
from django_director.conf import director
from django_director.db.own_connections import close_before_fork

from . import child_processes
from .loss_reports import Loss, Message, Report, write_report
from .lost_batches import LostBatch
from .protocols import TimerEntry, Worker

logger = logging.getLogger(__name__)

LOOK_PERIOD: Final = 1.0
"""Seconds between two checks of helpers and of pool processes."""
LOSS_PERIOD: Final = 0.05
DROP_PERIOD: Final = 0.5
"""Seconds for which losses, and dropped messages, are collected: a worker may drop many messages at once."""
HELPERS: Final = 4
"""How many helpers may work at the same time; further reports wait."""
MARGIN: Final = 5.0
"""Seconds after the end of a lease until a helper is killed. By then the supervisor has found the loss itself."""
FAREWELL: Final = 2.0
"""For how many seconds a worker that ends waits for its helpers."""


class HelperProcess(Process):
    """A helper as a child process of the worker, beside a pool that forks."""

    def __init__(self, app: Celery, report: Report) -> None:
        super().__init__()
        self.app = app
        self.report = report
        self.name = "Losses"
        self.daemon = True

    def run(self) -> None:
        """Write the report: the main function of the child process."""
        child_processes.begin(self.app)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        write_report(self.report)

    def end(self, seconds: float) -> None:
        """Wait ``seconds`` for the process to end, then kill it."""
        child_processes.end(self, seconds)


class HelperThread(threading.Thread):
    """A helper as a thread of the worker, beside a pool that does not fork."""

    def __init__(self, report: Report) -> None:
        super().__init__(name="Losses", daemon=True)
        self.report = report

    def run(self) -> None:
        """Write the report."""
        write_report(self.report)

    def end(self, seconds: float) -> None:
        """Wait ``seconds`` for the thread to end. It can't be killed, but ends with the process."""
        self.join(seconds)


class Reporter:
    """Collects losses in a worker's main process and gives them to helpers; it never waits for a database."""

    def __init__(self) -> None:
        # Celery's timer may be a thread of its own, and so may the code that reports the end of pool processes.
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._losses: dict[str, Loss] = {}
        self._dropped: list[Message] = []
        self._running_on: list[str] = []
        self._helpers: list[tuple[float, HelperProcess | HelperThread]] = []

    @property
    def waiting(self) -> list[Loss]:
        """The losses that no helper has got yet."""
        return list(self._losses.values())

    def serve(self, worker: Worker) -> None:
        """Collect losses for this worker from now on."""
        self._worker = worker

    def note_loss(
        self, message_id: str, why: str, seconds: float | None = None, batch: LostBatch | None = None
    ) -> None:
        """Note that the attempt of a message was ended from outside, for the reason ``why``.

        ``seconds`` is the time limit that it has exceeded, if that is the reason; ``batch`` is the batch of a
        message that is for one.
        """
        if (parsed := _parsed(message_id)) is None:
            return
        with self._lock:
            is_first = not self._losses
            # Celery may report one loss in several ways.
            self._losses.setdefault(message_id, Loss(*parsed, why, seconds, batch))
        if is_first:
            self._call_after(LOSS_PERIOD)

    def note_dropped_message(self, message_id: str, name: str) -> None:
        """Note that this worker has dropped a message because it knows no task ``name``."""
        if (parsed := _parsed(message_id)) is None:
            return
        with self._lock:
            is_first = not self._dropped
            self._dropped.append(Message(*parsed, name))
        if is_first:
            self._call_after(DROP_PERIOD)

    def run_on(self, message_ids: list[str]) -> None:
        """Note that the tasks of these messages were canceled with force, but that the pool can't kill them."""
        with self._lock:
            self._running_on += message_ids
        self._call_after(LOSS_PERIOD)

    def hand_over(self) -> None:
        """Let a helper write what was collected, unless ``HELPERS`` helpers are at work."""
        worker = self._worker
        if worker is None:
            return
        with self._lock:
            self._helpers = [(since, helper) for since, helper in self._helpers if _goes_on(since, helper)]
            report = Report(str(worker.hostname), self.waiting, self._dropped, self._running_on)
            if not report.size or len(self._helpers) >= HELPERS:
                return
            try:
                helper = _start_helper(worker, report)
            except OSError as problem:
                logger.warning("There is no process for losses, they are told later: %s", problem)
                return
            self._losses, self._dropped, self._running_on = {}, [], []
            self._helpers.append((time.monotonic(), helper))

    def end(self) -> None:
        """Write the last reports before the worker ends; wait ``FAREWELL`` seconds at most for the helpers."""
        self.hand_over()
        until = time.monotonic() + FAREWELL
        for _, helper in self._helpers:
            helper.end(max(0.0, until - time.monotonic()))

    def _call_after(self, seconds: float) -> None:
        if self._worker is not None:
            self._worker.timer.call_after(seconds, self.hand_over)


def _start_helper(worker: Worker, report: Report) -> HelperProcess | HelperThread:
    helper: HelperProcess | HelperThread
    if child_processes.is_forking(worker):
        close_before_fork()
        helper = HelperProcess(worker.app, report)
    else:
        helper = HelperThread(report)
    helper.start()
    return helper


def _parsed(message_id: str) -> tuple[UUID, int] | None:
    """Return the task's id and the sequence; ``None`` for a message whose header is not the engine's."""
    try:
        return parse_message_id(message_id)
    except ValueError:
        return None


reporter: Final = Reporter()
"""The reporter of this process."""


def say_farewell(**_: object) -> None:
    """Receive ``worker_shutdown``: write the last reports, because the pool has ended."""
    reporter.end()


class LossStep(bootsteps.StartStopStep):
    """Starts helpers when there is something to report, and lets Celery notice pool processes that have died."""

    label = "Losses"
    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Worker, **kwargs: object) -> None:
        reporter.serve(worker)
        self.entry: TimerEntry | None = None
        super().__init__(worker, **kwargs)

    def start(self, worker: Worker) -> None:
        """Check each second from now on."""
        self.entry = worker.timer.call_repeatedly(LOOK_PERIOD, self._check, (worker,))

    def stop(self, worker: Worker) -> None:
        """Check no more: the pool has ended, or is ending."""
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None

    def terminate(self, worker: Worker) -> None:
        """Check no more, in a cold shutdown of the worker."""
        self.stop(worker)

    def _check(self, worker: Worker) -> None:
        reporter.hand_over()
        if worker.use_eventloop and worker.pool is not None and child_processes.is_forking(worker):
            # Celery's event loop learns of a killed process a moment too early, and would ask again after 5
            # seconds.
            worker.pool.maintain_pool()


def _goes_on(since: float, helper: HelperProcess | HelperThread) -> bool:
    if helper.is_alive() and time.monotonic() - since > director.LEASE + MARGIN:
        helper.end(0)
    return helper.is_alive()
