"""The same shapes in Prefect and in Airflow, on PostgreSQL, each in an environment of its own."""

from __future__ import annotations

import sys
from statistics import median

from benchmarks.contenders import Contender, running
from benchmarks.contenders.airflow import Airflow
from benchmarks.contenders.fresh import FreshDirector
from benchmarks.contenders.prefect import Prefect
from benchmarks.environments import AIRFLOW, PREFECT
from benchmarks.measure import Sample, Scenario, in_turn
from benchmarks.places import Places
from benchmarks.report import SAMPLE_HEAD, Outcome, sample_row

ROUNDS = 3
"""At most: Airflow takes minutes."""
SHAPES: dict[str, Scenario] = {
    "ETL": lambda c: c.chain(3),
    "20 x ETL": lambda c: c.etl(20),
    "chain of 20": lambda c: c.chain(20),
    "chain of 100": lambda c: c.chain(100),
    "fan of 200 + join": lambda c: c.fan(200),
    "map of 50 + join": lambda c: _map(c),
}


def run(places: Places, repeat: int) -> Outcome:
    """One after the other: their idle processes use processor time too."""
    outcome = Outcome()
    if not places.database.startswith("postgres"):
        print("others: left out, they are compared on PostgreSQL", file=sys.stderr)
        return outcome
    repeat = min(repeat, ROUNDS)
    taken = {}
    for contender in (FreshDirector(places), Prefect(places), Airflow(places)):
        with running(contender):
            taken[contender.name] = in_turn(_cases(contender), repeat)
    _tables(taken, outcome)
    versions = [["Prefect", PREFECT.versions()["prefect"]], ["Airflow", AIRFLOW.versions()["apache-airflow"]]]
    outcome.table("Versions", ["", "installed"], versions)
    return outcome


def _cases(contender: Contender) -> dict[str, tuple[Contender, Scenario]]:
    cases = {shape: (contender, scenario) for shape, scenario in SHAPES.items()}
    if isinstance(contender, Airflow):
        # Two minutes, which the chain of 20 foretells.
        del cases["chain of 100"]
    if isinstance(contender, Prefect):
        cases["20 x ETL in order"] = (contender, lambda _: contender.etl_in_order(20))
    return cases


def _map(contender: Contender) -> int:
    if isinstance(contender, FreshDirector):
        return contender.map("bench.MAP", 50)
    assert isinstance(contender, Prefect | Airflow)
    return contender.map(50)


def _tables(taken: dict[str, dict[str, list[Sample]]], outcome: Outcome) -> None:
    rows = [sample_row(f"{shape}, {name}", samples) for name, by in taken.items() for shape, samples in by.items()]
    outcome.table("Beside others on PostgreSQL", SAMPLE_HEAD, rows)
    shapes = list(dict.fromkeys(shape for by in taken.values() for shape in by))
    seconds = [[shape, *(_seconds(by.get(shape, [])) for by in taken.values())] for shape in shapes]
    outcome.table("Seconds", ["", *taken], seconds)
    outcome.figures |= {
        f"others.{name}.{shape}": median(sample.wall for sample in samples)
        for name, by in taken.items()
        for shape, samples in by.items()
    }


def _seconds(samples: list[Sample]) -> str:
    return f"{median(sample.wall for sample in samples):.2f}" if samples else "-"
