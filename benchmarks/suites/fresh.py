"""What people meet: a project as `startproject` makes it, beside plain Celery in the same project."""

from __future__ import annotations

import time
from statistics import median

from benchmarks import processes
from benchmarks.contenders import running
from benchmarks.contenders.fresh import Fresh, FreshCelery, FreshDirector
from benchmarks.measure import Sample, measure, paired, ratio
from benchmarks.places import Places
from benchmarks.report import SAMPLE_HEAD, Outcome, ms, sample_row

SHAPES = {
    "chain": ("chain of 100", lambda c: c.chain(100)),
    "group_join": ("group of 1,000 + join", lambda c: c.fan(1000)),
    "etl": ("200 x 3-task ETL", lambda c: c.etl(200)),
}
Pairs = dict[str, list[Sample]]
"""Samples by the names of the two contenders."""


def run(places: Places, repeat: int) -> Outcome:
    """Compare pair by pair."""
    plain, ours = FreshCelery(places), FreshDirector(places)
    outcome = Outcome()
    _memory(plain, ours, outcome)
    with running(plain, ours):
        taken = {key: paired([plain, ours], shape, repeat) for key, (_, shape) in SHAPES.items()}
        _work(places, taken, outcome)
        _after_idleness(places, [plain, ours], repeat, outcome)
    return outcome


def _memory(plain: Fresh, ours: Fresh, outcome: Outcome) -> None:
    """One after the other: what two workers share would count half for each."""
    found = {}
    for contender in (plain, ours):
        with running(contender):
            contender.is_still()
            found[contender.name] = processes.memory(contender.programs[0].pid)
    rows = [[name, f"{size:.0f}"] for name, size in found.items()]
    outcome.table("Idle worker of two processes, PSS of all its processes", ["", "MB"], rows)
    outcome.figures |= {
        "fresh.idle_memory_mb": found[ours.name],
        "fresh.idle_memory_of_celery_mb": found[plain.name],
    }


def _work(places: Places, taken: dict[str, Pairs], outcome: Outcome) -> None:
    rows = [
        sample_row(f"{SHAPES[key][0]}, {name}", samples)
        for key, pair in taken.items()
        for name, samples in pair.items()
    ]
    outcome.table(f"Fresh project ({places.servers}; plain Celery's results in Redis)", SAMPLE_HEAD, rows)
    shown = []
    for key, (plain, ours) in ((key, pair.values()) for key, pair in taken.items()):
        walls = ratio([sample.wall for sample in ours], [sample.wall for sample in plain])
        cpu = ratio([sample.cpu_per_task for sample in ours], [sample.cpu_per_task for sample in plain])
        outcome.figures |= {f"fresh.{places.servers}.{key}": walls, f"fresh.{places.servers}.{key}_cpu": cpu}
        shown.append([SHAPES[key][0], _seconds(plain), _seconds(ours), f"{walls:.2f}", f"{cpu:.2f}"])
    head = ["", "plain Celery, s", "django-director, s", "time, ratio", "CPU, ratio"]
    outcome.table("Fresh project beside plain Celery", head, shown)


def _seconds(samples: list[Sample]) -> str:
    return f"{median(sample.wall for sample in samples):.2f}"


def _after_idleness(places: Places, contenders: list[Fresh], repeat: int, outcome: Outcome) -> None:
    """A single step after a minute without any; each of the two is the first one after it in turn."""
    samples: Pairs = {contender.name: [] for contender in contenders}
    for number in range(repeat):
        for contender in contenders:
            # Celery's caller still reads messages about earlier results when it waits for the next one.
            contender.warm_up()
        time.sleep(places.idle)
        for contender in contenders[:: -1 if number % 2 else 1]:
            samples[contender.name].append(measure(contender, lambda c: c.chain(1)))
    rows = [
        [name, ms(median(s.first for s in taken)), ms(median(s.wall for s in taken))]
        for name, taken in samples.items()
    ]
    head = ["", "to its start, ms", "to its outcome, ms"]
    outcome.table(f"A single step after {places.idle:.0f} s without work, from the call of start", head, rows)
    plain, ours = samples.values()
    late = [mine.first - other.first for mine, other in zip(ours, plain, strict=True)]
    outcome.figures[f"fresh.{places.servers}.idle_latency_ms"] = median(late) * 1000
