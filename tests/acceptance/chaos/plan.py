"""The faults of a chaos run, drawn from its seed: the same seed, the same list."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, NamedTuple

#: What is hit, and for how many seconds. 6 s are twice the lease of the acceptance tests.
KINDS: Final[dict[str, tuple[str, tuple[float, float]]]] = {
    "kill_child": ("worker", (0, 0)),
    "kill_worker": ("worker", (0, 3)),
    "freeze_worker": ("worker", (6, 6)),
    "stop_worker": ("worker", (0, 1)),
    "kill_supervisor": ("supervisor", (0, 0)),
    "empty_broker": ("broker", (0, 0)),
    "freeze_broker": ("broker", (2, 7)),
    "cut_broker": ("broker", (1, 5)),
    "reset_broker": ("broker", (0, 0)),
    "delay_broker": ("broker", (4, 8)),
    "freeze_database": ("database", (2, 7)),
    "cut_database": ("database", (1, 9)),
    "reset_database": ("database", (0, 0)),
    "delay_database": ("database", (4, 8)),
    "terminate_backends": ("database", (0, 0)),
    "duplicate": ("messages", (0, 0)),
    # A foreign session's, as an open `psql`; SQLite has one lock for all, and it is held for less than a lease.
    "lock_task": ("rows", (4, 6)),
    "lock_run": ("rows", (4, 6)),
    # Between the UPDATE that ends a task and its COMMIT.
    "freeze_in_transaction": ("worker", (4, 6)),
    # A worker of another installation, on the same queue.
    "stranger": ("stranger", (6, 12)),
}
#: Workflows of the load whose tasks do to their own process what faults do from outside, by the word to leave them
#: out.
HURTING: Final = {"signals": "chaos.SIGNALS", "spoiled": "chaos.SPOILED"}
#: What needs a server of its own, and a proxy before it.
NEEDS_PROXY: Final = frozenset(kind for kind in KINDS if kind.endswith(("_broker", "_database"))) - {
    "empty_broker"
}
RECOVERY: Final = {
    "worker": 8.0,
    "supervisor": 3.0,
    "broker": 3.0,
    "database": 3.0,
    "messages": 0.0,
    "rows": 2.0,
    "stranger": 5.0,
}
"""Seconds for which what was hit is left alone."""
FIRST: Final = 3.0


class Fault(NamedTuple):
    """One fault: when, what, which of several targets, for how long."""

    at: float
    kind: str
    target: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.kind:21}  target {self.target}  {self.seconds:.2f} s"


def draw(seed: int, seconds: float, *, workers: int, kinds: Iterable[str] = KINDS) -> list[Fault]:
    """The faults of the first ``seconds``, in order of time. Faults of different targets overlap."""
    numbers = random.Random(seed)
    ordered = sorted(kinds)
    free: dict[tuple[str, int], float] = {}
    plan: list[Fault] = []
    at = FIRST
    while at < seconds:
        kind = numbers.choice(ordered)
        what, (shortest, longest) = KINDS[kind]
        target = numbers.randrange(workers) if what == "worker" else 0
        duration = round(numbers.uniform(shortest, longest), 2)
        if free.get((what, target), 0) <= at and at + duration < seconds:
            plan.append(Fault(round(at, 2), kind, target, duration))
            free[what, target] = at + duration + RECOVERY[what]
        at += numbers.uniform(0.5, 3)
    return plan
