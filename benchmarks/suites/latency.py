"""How long a task waits for its turn when nobody else does: what is left of the time is the engine's."""

from __future__ import annotations

from benchmarks.contenders import running
from benchmarks.contenders.celery_plain import CeleryPlain
from benchmarks.contenders.ours import Director
from benchmarks.measure import Sample, paired, percentile, ratio
from benchmarks.places import Places
from benchmarks.report import Outcome, ms

PERCENTS = (50, 95, 99)
STARTS = 20
"""Single starts in a round."""


def run(places: Places, repeat: int) -> Outcome:
    """Percentiles over all rounds, of both contenders in turn."""
    plain, ours = CeleryPlain(places), Director(places)
    with running(plain, ours):
        steps = paired([plain, ours], lambda c: c.chain(100), repeat)
        joins = paired([plain, ours], lambda c: c.fan(100), repeat)
        starts = paired([plain, ours], lambda c: c.etl(1), repeat * STARTS)
    waits = {
        "end of a task to the start of its successor": {n: _steps(taken) for n, taken in steps.items()},
        "last end of a group of 100 to the start of the join": {n: _joins(taken) for n, taken in joins.items()},
        "call of start to the start of the first task": {n: _firsts(taken) for n, taken in starts.items()},
        "last end to the outcome that the starter sees": {n: _outcomes(taken) for n, taken in starts.items()},
    }
    outcome = Outcome()
    outcome.table(
        "Latency, ms",
        ["", "n", *(f"p{percent}" for percent in PERCENTS)],
        [
            [f"{what}, {name}", str(len(values)), *(ms(percentile(values, percent)) for percent in PERCENTS)]
            for what, by_name in waits.items()
            for name, values in by_name.items()
        ],
    )
    outcome.figures = {
        "latency.step": ratio([s.step for s in steps[ours.name]], [s.step for s in steps[plain.name]]),
        "latency.first": ratio(_firsts(starts[ours.name]), _firsts(starts[plain.name])),
    }
    return outcome


def _steps(samples: list[Sample]) -> list[float]:
    return [gap for sample in samples for gap in sample.gaps]


def _joins(samples: list[Sample]) -> list[float]:
    # The join starts last, whatever ended last.
    return [sample.stamps[-1][0] - max(end for _, end in sample.stamps[:-1]) for sample in samples]


def _firsts(samples: list[Sample]) -> list[float]:
    return [sample.first for sample in samples]


def _outcomes(samples: list[Sample]) -> list[float]:
    return [sample.begun + sample.wall - sample.stamps[-1][1] for sample in samples]
