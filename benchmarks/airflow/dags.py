"""The DAGs of the benchmark; copied into Airflow's folder of DAGs, read in its own environment."""

# What it imports is not in this project's environment.
# mypy: ignore-errors

from __future__ import annotations

import time

from airflow.sdk import DAG, task

from benchmarks.airflow.sizes import CHAINS, FANS, MAPS
from benchmarks.stamps import record


@task
def noop(number: int = 0) -> None:
    record(time.monotonic())


def chain(length: int) -> None:
    before = noop.override(task_id="noop_0")()
    for number in range(1, length):
        after = noop.override(task_id=f"noop_{number}")()
        before >> after
        before = after


def fan(width: int) -> None:
    members = [noop.override(task_id=f"noop_{number}")() for number in range(width)]
    members >> noop.override(task_id="join")()


def mapped(width: int) -> None:
    noop.expand(number=list(range(width))) >> noop.override(task_id="join")()


for shape, build, sizes in (("chain", chain, CHAINS), ("fan", fan, FANS), ("map", mapped, MAPS)):
    for size in sizes:
        with DAG(f"{shape}_{size}", schedule=None) as dag:
            build(size)
        globals()[dag.dag_id] = dag
