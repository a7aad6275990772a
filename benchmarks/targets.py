"""What was promised, by the name of the figure that shows it. Ratios of pairs measured in one run, or limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and its bound: at most ``limit``, or at least when ``at_least``."""

    figure: str
    meaning: str
    limit: float
    at_least: bool = False

    def is_met(self, measured: float) -> bool:
        return measured >= self.limit if self.at_least else measured <= self.limit

    def line(self, measured: float) -> str:
        """One line for people."""
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.is_met(measured) else "missed"
        return f"target {self.meaning}: {sign} {self.limit:g}, measured {measured:.2f}: {verdict}"


FRESH = {
    "chain": ("chain of 100", 1.3),
    "group_join": ("group of 1,000 with join", 0.7),
    "etl": ("200 x ETL", 1.6),
}
"""In a project in which nothing is tuned, beside plain Celery, on PostgreSQL and Redis."""
ELSEWHERE = 1.5
"""How many times the bounds of ``FRESH`` on other servers."""
SERVERS = {"postgres_redis": 1.0, "postgres_amqp": ELSEWHERE, "mysql_redis": ELSEWHERE, "mysql_amqp": ELSEWHERE}


def _fresh() -> Iterator[Target]:
    for servers, times in SERVERS.items():
        for key, (meaning, limit) in FRESH.items():
            shown = f"fresh project on {servers}: {meaning} / plain Celery's"
            yield Target(f"fresh.{servers}.{key}", shown, round(limit * times, 2))
        shown = f"fresh project on {servers}: a step after idleness, ms later than plain Celery's"
        yield Target(f"fresh.{servers}.idle_latency_ms", shown, 3)


TARGETS = (
    *_fresh(),
    Target("fresh.idle_memory_mb", "idle worker of a fresh project, MB", 130),
    Target("maps.map", "map / plain Celery's chords of 1,000", 0.9),
    Target("maps.batch", "map with batch: 50 / plain Celery's chords of 1,000", 0.33),
    Target("maps.batch_of_chunks", "map with batch: 50 / plain Celery's chunks of 50 with a join", 1.5),
    Target("maps.batch_cpu_ms", "server CPU of a task in a batch, ms", 0.8),
    Target("maps.max_parallel", "map with max_parallel: 200 / without", 1.15),
    Target("maps.unused_payload", "map with an unused list of 688 kB in its payload / without", 1.2),
    Target("maps.large_seconds", "map of 100,000 with batch: 50, seconds", 60),
    Target("maps.large_growth_mb", "growth of its worker's memory, MB", 40),
    Target("maps.local_step_ms", "a step of `runworkflow --local`, CPU ms", 5),
    Target("maps.test_step_ms", "a step of `testing.run_workflow`, CPU ms", 5),
    Target("maps.check_seconds", "`checkworkflows` of three times 1,000 steps, CPU seconds", 1),
    Target("engine.cpu_per_task", "server CPU per task / plain Celery's no-op with results", 2.5),
    Target("engine.chain_step", "chain step p50 / plain Celery's", 1.5),
    Target("engine.group_join", "group of 1,000 with join / plain Celery's chord", 1.0),
    Target("engine.etl", "200 x ETL / plain Celery's 200 chains of 3", 2.0),
    Target("celery_director.etl", "celery-director's 200 x ETL / ours", 20, at_least=True),
    Target("celery_director.chain_100", "celery-director's chain of 100 / ours", 3, at_least=True),
    Target("celery_director.group_1000", "celery-director's group of 1,000 with join / ours", 2, at_least=True),
    Target("celery_director.start_1000", "celery-director's start of a 1,000-task run / ours", 10, at_least=True),
    Target(
        "celery_director.api_starts",
        "our starts per second through the API / celery-director's",
        1.5,
        at_least=True,
    ),
    Target("celery_director.idle_memory", "our idle worker's memory / celery-director's", 1.0),
    Target("celery_director.tens", "ten groups of ten in a row, seconds", 1.5),
    Target("celery_director.message_bytes", "largest message of ten groups of ten, bytes", 1500),
    Target("growth.finished_runs", "throughput with the most finished runs / with none", 0.95, at_least=True),
    Target("growth.start_100000_seconds", "start of a 100,000-task run, seconds", 15),
    Target("growth.start_100000_mb", "memory of the process that starts it, MB", 300),
    Target("growth.idle_supervisor_percent", "idle supervisor, % of a core", 0.5),
)


def lines(figures: Mapping[str, float]) -> list[str]:
    """A line for each target whose figure was measured."""
    return [target.line(figures[target.figure]) for target in TARGETS if target.figure in figures]


def regressions(figures: Mapping[str, float], baseline: Mapping[str, float], margin: float = 1.6) -> list[str]:
    """What became worse than its baseline by more than ``margin``; all of it ratios, of which less is better."""
    found = []
    for name, before in baseline.items():
        if name not in figures:
            found.append(f"{name}: not measured")
        elif figures[name] > before * margin:
            found.append(f"{name}: {figures[name]:.2f}, baseline {before:.2f}")
    return found
