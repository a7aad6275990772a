"""The supervisor: a loop that recomputes everything that is due from rows.

Any number may run. One holds a lease and works; the others stand by at the cost of one query each third of it.
Doing anything here twice is harmless: every change is a compare-and-set of the row it concerns.
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
from typing import Final

from django.db import DatabaseError, InterfaceError
from django.db.models import Q

from django_director.clock import Now, later
from django_director.conf import director
from django_director.models import Lease

from . import (
    admission,
    backlog,
    children,
    hold,
    itemrows,
    recovery,
    retention,
    timeouts,
    timers,
    unknown,
    unsendable,
)
from .transactions import disconnect, statement

logger = logging.getLogger(__name__)

LEASE_NAME: Final = "supervisor"
LEASE_SECONDS: Final = 15.0
"""How long a supervisor that gives no sign keeps the others out; less where tasks' leases are shorter."""
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
    fired: int = 0
    hastened: int = 0
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
    """When this process did the things that are not for every tick."""

    leases: float = 0.0
    audit: float = 0.0
    retention: float = 0.0
    moved: float = -math.inf
    """When tasks were seen under way."""
    steady_since: float = field(default_factory=time.monotonic)
    last_tick: float = field(default_factory=time.monotonic)


class Supervisor:
    """One supervisor; ``run`` it in a process or a thread of its own until ``stop`` is called."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._stop = threading.Event()
        self._clock = _Clock()
        self._queues = backlog.Watch(LOOKS)
        self._holds = False
        self._renewed = 0.0

    def stop(self) -> None:
        """Let ``run`` return after the present tick."""
        self._stop.set()

    def run(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Tick until ``stop`` is called or ``is_wanted`` says no; a broken database is waited for."""
        while not self._stop.is_set() and is_wanted():
            pause = self._guarded_tick()
            self._stop.wait(pause)
        self._release()

    def _guarded_tick(self) -> float:
        try:
            if not self._is_held() and not self._acquire():
                return _lease_seconds() / 3
            report = self.tick()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The supervisor can't work: %s", error, extra={"action": "supervise"})
            disconnect()
            return float(director.TICK)
        if report.published >= recovery.BATCH:
            return 0.0
        is_idle = time.monotonic() - self._clock.moved >= IDLE_SECONDS
        return float(director.TICK) / (1 if is_idle else LOOKS)

    def tick(self) -> Report:
        """Do once what is due."""
        report = Report()
        now = time.monotonic()
        self._notice_gap(now)
        due = recovery.look(LEASE_NAME)
        if not due.is_idle:
            self._clock.moved = now
        report.woken = recovery.wake() if due.waking else 0
        if due.publishing or report.woken or self._queues.probes:
            report.published = recovery.publish_due(self._queues)
        report.fired = timers.fire() if due.firing else 0
        report.timed_out = timeouts.stop_overdue_runs() if due.stopping else 0
        report.reported = children.report_all(recovery.BATCH) if due.reporting else 0
        report.closed = recovery.close_stopped() if due.closing or report.timed_out else 0
        if due.ending and self._is_steady(timeouts.QUIET):
            report.timed_out += timeouts.end_overdue_attempts()
        report.admitted = admission.admit_due() if due.admitting else 0
        if now - self._clock.leases >= min(15.0, director.LEASE / 6):
            self._clock.leases = now
            report.resumed = hold.follow_parents()
            if due.in_queue:
                report.hastened = backlog.hasten(self._queues)
                report.unknown = unknown.fail() + unsendable.fail()
                report.resumed += hold.bring_back_forgotten()
            if due.in_work and self._is_steady():
                report.lost = recovery.expire_leases(self._is_steady)
        if now - self._clock.audit >= director.LEASE:
            self._clock.audit = now
            report.recomputed = recovery.audit()
            report.released = itemrows.top_up()
        if now - self._clock.retention >= RETENTION_PERIOD:
            self._clock.retention = now
            report.cleaned = sum(retention.clean(seconds=RETENTION_SECONDS).values())
            if time.monotonic() - now >= RETENTION_SECONDS:
                self._clock.retention -= RETENTION_PERIOD - RETENTION_PAUSE
        return report

    def _is_steady(self, seconds: float | None = None) -> bool:
        """Whether the database has answered for ``seconds``, or one whole lease, also within the present tick."""
        now = time.monotonic()
        self._notice_gap(now)
        return now - self._clock.steady_since >= (director.LEASE if seconds is None else seconds)

    def _notice_gap(self, now: float) -> None:
        """While the database was away nobody could renew a lease: expiry waits for one whole lease of quiet."""
        if now - self._clock.last_tick > max(3 * director.TICK, director.LEASE / 6):
            self._clock.steady_since = now
        self._clock.last_tick = now

    def _is_held(self) -> bool:
        """Whether the lease was ours a moment ago: it is renewed each third of its time, not at each tick."""
        return self._holds and time.monotonic() - self._renewed < _lease_seconds() / 3

    def _acquire(self) -> bool:
        self._renewed = time.monotonic()
        mine = Lease.objects.filter(Q(holder=self.name) | Q(until__lt=Now()), name=LEASE_NAME)
        changes = {"holder": self.name, "until": later(_lease_seconds()), "beat_at": Now()}
        held = bool(statement(lambda: mine.update(**changes)))
        if not held and not Lease.objects.filter(name=LEASE_NAME).exists():
            lease = Lease(name=LEASE_NAME, holder=self.name, until=Now(), beat_at=Now())
            Lease.objects.bulk_create([lease], ignore_conflicts=True)
            held = bool(statement(lambda: mine.update(**changes)))
        if held and not self._holds:
            logger.info("%s supervises.", self.name, extra={"action": "supervise"})
            self._clock = _Clock()
        self._holds = held
        return held

    def _release(self) -> None:
        try:
            Lease.objects.filter(name=LEASE_NAME, holder=self.name).update(until=Now())
        except (DatabaseError, InterfaceError):
            logger.info("The supervisor's lease is left to run out.")
        disconnect()


def _lease_seconds() -> float:
    return min(LEASE_SECONDS, float(director.LEASE) / 2)
