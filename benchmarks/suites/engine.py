"""The same shapes as plain Celery and as workflows: what tracking costs."""

from __future__ import annotations

from statistics import median

from benchmarks.contenders import running
from benchmarks.contenders.celery_plain import CeleryPlain
from benchmarks.contenders.ours import Director
from benchmarks.measure import Sample, measure, paired, ratio
from benchmarks.places import Places
from benchmarks.report import SAMPLE_HEAD, Outcome, ms, sample_row

NOOPS = 2000


def run(places: Places, repeat: int) -> Outcome:
    """Compare with plain Celery, pair by pair."""
    plain, ours = CeleryPlain(places), Director(places)
    with running(plain, ours):
        limit = [measure(plain, lambda c: c.noops(NOOPS)) for _ in range(repeat)]
        ignored = [measure(plain, lambda _: plain.ignored(NOOPS)) for _ in range(repeat)]
        chain = paired([plain, ours], lambda c: c.chain(100), repeat)
        group = paired([plain, ours], lambda c: c.fan(1000), repeat)
        etl = paired([plain, ours], lambda c: c.etl(200), repeat)
    outcome = Outcome()
    rows = [
        sample_row("no-op, Celery, with result", limit),
        sample_row("no-op, Celery, result ignored", ignored),
    ]
    for title, samples in (("chain of 100", chain), ("group of 1,000 + join", group), ("200 x 3-task ETL", etl)):
        rows += [sample_row(f"{title}, {name}", taken) for name, taken in samples.items()]
    outcome.table(f"Engine ({_kind(places.database)}, {_kind(places.broker)})", SAMPLE_HEAD, rows)
    outcome.table(
        "Chain step", ["", "p50 ms"], [[n, ms(median(s.step for s in taken))] for n, taken in chain.items()]
    )
    outcome.figures = {
        "engine.cpu_per_task": _compare(limit, group["director"], "cpu_per_task"),
        "engine.cpu_per_task_etl": _compare(limit, etl["director"], "cpu_per_task"),
        "engine.chain_step": _compare(chain["celery"], chain["director"], "step"),
        "engine.group_join": _compare(group["celery"], group["director"], "wall"),
        "engine.etl": _compare(etl["celery"], etl["director"], "wall"),
    }
    return outcome


def _compare(theirs: list[Sample], ours: list[Sample], what: str) -> float:
    return ratio([getattr(sample, what) for sample in ours], [getattr(sample, what) for sample in theirs])


def _kind(url: str) -> str:
    return url.partition(":")[0]
