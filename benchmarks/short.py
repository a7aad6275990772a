"""The form for CI: ratios to plain Celery at sizes that take a minute, and counts that must not grow.

The figures have names of their own: a ratio depends on the sizes, so these are compared with a baseline, never
with the targets.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import messages
from .contenders import running
from .contenders.celery_plain import CeleryPlain
from .contenders.ours import Director
from .measure import Sample, measure, paired, ratio
from .report import SAMPLE_HEAD, Outcome, sample_row

if TYPE_CHECKING:
    from .places import Places

SECONDS = 50.0
"""No further round begins after so long."""
NOOPS = 300
SHAPES = {
    "chain of 100": lambda c: c.chain(100),
    "group of 100 + join": lambda c: c.fan(100),
    "50 x 3-task ETL": lambda c: c.etl(50),
}


def run(places: Places, repeat: int) -> Outcome:
    """Up to ``repeat`` rounds of all pairs, as many as there is time for."""
    begun = time.monotonic()
    plain, ours = CeleryPlain(places), Director(places)
    limit: list[Sample] = []
    taken: dict[str, dict[str, list[Sample]]] = {title: {plain.name: [], ours.name: []} for title in SHAPES}
    with running(plain, ours):
        while len(limit) < repeat and (not limit or time.monotonic() - begun < SECONDS):
            limit.append(measure(plain, lambda c: c.noops(NOOPS)))
            for title, shape in SHAPES.items():
                for name, samples in paired([plain, ours], shape, 1).items():
                    taken[title][name] += samples
        counts = _counts(ours)
    outcome = Outcome()
    rows = [sample_row("no-op, Celery, with result", limit)]
    rows += [sample_row(f"{title}, {name}", s) for title, pair in taken.items() for name, s in pair.items()]
    outcome.table(f"Short form, {len(limit)} rounds", SAMPLE_HEAD, rows)
    chain, group, etl = taken.values()
    outcome.figures = {
        "short.cpu_per_task": _ratio(etl[ours.name], limit, "cpu_per_task"),
        "short.chain_step": _ratio(chain[ours.name], chain[plain.name], "step"),
        "short.group_join": _ratio(group[ours.name], group[plain.name], "wall"),
        "short.etl": _ratio(etl[ours.name], etl[plain.name], "wall"),
        **counts,
    }
    outcome.table("Ratios", ["", ""], [[name, f"{value:.2f}"] for name, value in outcome.figures.items()])
    return outcome


def _ratio(ours: list[Sample], theirs: list[Sample], what: str) -> float:
    return ratio([getattr(sample, what) for sample in ours], [getattr(sample, what) for sample in theirs])


def _counts(ours: Director) -> dict[str, float]:
    """What does not grow with a workflow: the statements of a start, and the messages."""
    found = {"short.start_statements": _statements(ours, "bench.FAN_100") / _statements(ours, "bench.FAN_10")}
    if ours.places.broker.startswith("redis"):
        found["short.message_bytes"] = _largest(ours, 100) / _largest(ours, 10)
    return found


def _statements(ours: Director, workflow: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from django_director import start

    with CaptureQueriesContext(connection) as seen:
        start(workflow)
    ours.drain()
    return len(seen)


def _largest(ours: Director, width: int) -> int:
    with messages.tapped(ours.places.broker, ours.queue) as sizes:
        ours.fan(width)
    return sizes.largest
