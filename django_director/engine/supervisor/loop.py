"""The supervisor: a loop that does whatever the rows say is due.

Any number of supervisors may run. One holds a lease and works; each of the others makes one query in a third of
the lease's time. Doing anything twice is harmless: every change is a compare-and-set of the row that it concerns.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from django.db import DatabaseError, InterfaceError

from django_director.common.throttle import Throttle
from django_director.conf import director
from django_director.db import lock_limits
from django_director.db.own_connections import renew
from django_director.db.sessions import engine_session
from django_director.db.transactions import BATCH, connection, disconnect
from django_director.engine import parking, pausing
from django_director.engine.concurrency import admission
from django_director.engine.flow import item_rows
from django_director.engine.steps import child_workflows, timers

from . import (
    agenda,
    audit,
    backlog,
    lapsed_leases,
    leases,
    publishing,
    reoffers,
    retention,
    timeouts,
    unknown_tasks,
    unsendable_tasks,
    unwritten_outcomes,
    workers,
)
from .leadership import LEASE_NAME, Leadership, lease_seconds

logger = logging.getLogger(__name__)

LEAST_PAUSE: Final = 0.05
"""The shortest pause, in seconds, of a supervisor that waits for the end of another one's lease."""
SLOW_TICK: Final = 10.0
"""Seconds after which a tick is warned of."""
QUIET_SHARE: Final = 0.75
"""The part of a worker's ``patience`` for which the database must have answered before silence counts."""
LOOKS: Final = 4
"""How often in a ``TICK`` it looks for what is due, which is one query: workers shall not wait for the messages
that a wide start or finish has left to it. Once, when for ``IDLE_SECONDS`` no task was under way."""
IDLE_SECONDS: Final = 10.0
RETENTION_PERIOD: Final = 3_600.0
RETENTION_SECONDS: Final = 5.0
"""How long one tick deletes; what is left goes on ``RETENTION_PAUSE`` seconds later."""
RETENTION_PAUSE: Final = 10.0


@dataclass(slots=True)
class Report:
    """What one tick did."""

    published: int = 0
    woken: int = 0
    written: int = 0
    fired: int = 0
    expedited: int = 0
    lost: int = 0
    unknown: int = 0
    resumed: int = 0
    admitted: int = 0
    closed: int = 0
    reported: int = 0
    timed_out: int = 0
    recomputed: int = 0
    released: int = 0
    cleaned: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(slots=True)
class _Clock:
    """When this process last did the work that is not for every tick."""

    workers: float = 0.0
    leases: float = 0.0
    maps: float = 0.0
    audit: float = 0.0
    retention: float = 0.0
    moved: float = -math.inf
    """When tasks were seen under way."""
    steady_since: float = field(default_factory=time.monotonic)
    last_tick: float = field(default_factory=time.monotonic)

    def anew(self) -> _Clock:
        """Return the clock of a supervisor that begins now; it keeps for how long the database has answered."""
        return _Clock(steady_since=self.steady_since, last_tick=self.last_tick)


class Supervisor:
    """One supervisor; ``run`` it in a process or a thread of its own until ``stop`` is called."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._stop = threading.Event()
        self._clock = _Clock()
        self._queues = backlog.Watch(LOOKS)
        self._vigil = workers.Vigil()
        self._reoffers = reoffers.Reoffers()
        self._lapses = lapsed_leases.Lapses()
        self._leadership = Leadership(self.name, self._warn)
        self._progress_at = time.monotonic()
        self._warnings = Throttle()

    def stop(self) -> None:
        """Let ``run`` return after the present tick."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether ``run`` returns after the present tick."""
        return self._stop.is_set()

    @property
    def silence(self) -> float:
        """Seconds since ``show_progress`` was called, which happens several times in a tick."""
        return time.monotonic() - self._progress_at

    def show_progress(self) -> None:
        """Note that the supervisor is not stuck."""
        self._progress_at = time.monotonic()

    def run(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Tick until ``stop`` is called or ``is_wanted`` says no. Errors of the database do not end it."""
        with engine_session():
            while not self._stop.is_set() and is_wanted():
                self.show_progress()
                renew(connection())
                pause = self._guarded_tick()
                self._stop.wait(pause)
            self._release()

    def _guarded_tick(self) -> float:
        try:
            if not self._leadership.is_fresh and not self._acquire():
                self._notice_gap(time.monotonic())
                return min(lease_seconds() / 3, max(self._leadership.free_in, LEAST_PAUSE))
            report = self.tick()
        except (DatabaseError, InterfaceError) as error:
            self._warn("tick", "The supervisor can't work: %s", error)
            disconnect()
            return float(director.TICK)
        if report.published >= BATCH:
            return 0.0
        is_idle = time.monotonic() - self._clock.moved >= IDLE_SECONDS
        return float(director.TICK) / (1 if is_idle else LOOKS)

    def tick(self) -> Report:
        """Do once what is due. No part of the work waits long for a lock; errors of one do not stop the others."""
        began = time.monotonic()
        report = Report()
        with lock_limits.bounded():
            due = agenda.poll(LEASE_NAME)
            self._notice_gap(began)
            if not due.is_idle:
                self._clock.moved = began
            self._do_due(due, report)
            self._do_now_and_then(due, report, began)
        took = time.monotonic() - began
        if took > SLOW_TICK:
            self._warn("slow", "A tick of the supervisor took %.0f s; what was due has waited for that.", took)
        return report

    def _do_due(self, due: agenda.Due, report: Report) -> None:
        do = self._do
        report.woken = do("wake", publishing.wake) if due.waking else 0
        if due.publishing or report.woken or self._queues.probes:
            report.published = do("publish", partial(publishing.publish_due, self._queues))
        # Before anything is taken from workers that have done their part.
        report.written = do("write", partial(unwritten_outcomes.write_all, BATCH)) if due.writing else 0
        report.fired = do("fire", timers.fire) if due.firing else 0
        report.timed_out = do("stop", timeouts.stop_overdue_runs) if due.stopping else 0
        report.reported = do("report", partial(child_workflows.report_all, BATCH)) if due.reporting else 0
        report.closed = do("close", audit.close_stopped) if due.closing or report.timed_out else 0
        if due.ending and self._is_steady(timeouts.QUIET):
            report.timed_out += do("time out", timeouts.end_overdue_attempts)
        report.admitted = do("admit", admission.admit_due) if due.admitting else 0

    def _do_now_and_then(self, due: agenda.Due, report: Report, now: float) -> None:
        do, clock = self._do, self._clock
        if now - clock.workers >= workers.beat_period():
            clock.workers = now
            if (due.in_work or due.in_queue) and self._is_steady(workers.silence_limit() * QUIET_SHARE):
                report.lost += do("lose", partial(workers.mark_silent_lost, self._vigil))
        if self._reoffers.is_due() and due.in_queue:
            report.expedited += do("offer", self._reoffers.send)
        if now - clock.leases >= min(15.0, director.LEASE / 6):
            clock.leases = now
            report.resumed = do("follow", pausing.follow_parents)
            if due.in_queue:
                report.expedited += do("expedite", partial(backlog.expedite, self._queues))
                report.unknown = do("unknown", unknown_tasks.fail_unknown_tasks)
                report.unknown += do("unsendable", unsendable_tasks.fail_unsendable_tasks)
                report.resumed += do("bring back", parking.release_forgotten)
            if due.in_work and self._is_steady():
                report.lost += do("expire", partial(leases.expire_leases, self._is_steady, self._lapses.confirmed))
        if now - clock.maps >= min(30.0, director.LEASE / 2):
            clock.maps = now
            report.released = do("top up", item_rows.top_up)
        if now - clock.audit >= director.LEASE:
            clock.audit = now
            report.recomputed = do("audit", audit.audit)
        if now - clock.retention >= RETENTION_PERIOD:
            self._clean(report, now)

    def _clean(self, report: Report, now: float) -> None:
        self._clock.retention = now
        report.cleaned = self._do("clean", self._delete_due)
        if time.monotonic() - now >= RETENTION_SECONDS:
            self._clock.retention -= RETENTION_PERIOD - RETENTION_PAUSE

    def _delete_due(self) -> int:
        number = sum(retention.clean(seconds=RETENTION_SECONDS).values())
        retention.note_cleaning(self.name)
        return number

    def _do(self, what: str, part: Callable[[], int]) -> int:
        """Do a part of a tick. Its errors are logged, except the loss of the connection, which is raised."""
        self.show_progress()
        try:
            return part()
        except (DatabaseError, InterfaceError) as error:
            if lock_limits.is_connection_lost():
                raise
            self._warn(what, "The supervisor can't do a part of its work (%s): %s", what, error)
        except Exception:
            self._warn(what, "The supervisor can't do a part of its work (%s).", what, exc_info=True)
        return 0

    def _warn(self, what: str, text: str, *args: object, exc_info: bool = False) -> None:
        if self._warnings.passes(what):
            logger.warning(text, *args, exc_info=exc_info, extra={"action": "supervise"})

    def _is_steady(self, seconds: float | None = None) -> bool:
        """Whether the database has answered without a gap for ``seconds``, by default for one whole lease."""
        now = time.monotonic()
        self._notice_gap(now)
        return now - self._clock.steady_since >= (director.LEASE if seconds is None else seconds)

    def _notice_gap(self, now: float) -> None:
        """Note when the database was away for a while: workers could not renew their leases then."""
        if now - self._clock.last_tick > max(3 * director.TICK, director.LEASE / 6):
            self._clock.steady_since = now
        self._clock.last_tick = now

    def _acquire(self) -> bool:
        """Take or renew the lease; say whether this supervisor is to work."""
        was_held = self._leadership.is_held
        held = self._leadership.acquire()
        if held and not was_held:
            logger.info("%s supervises.", self.name, extra={"action": "supervise"})
            self._clock = self._clock.anew()
            # The time in which it stood by is no gap in its ticks.
            self._reoffers = reoffers.Reoffers()
        return held

    def _release(self) -> None:
        self._leadership.release()
        disconnect()
