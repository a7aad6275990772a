"""Runs Prefect's flows in this process, in its own environment; Prefect starts the server for their states.

``{"shape": NAME, "size": N, "runs": N}`` is answered by ``{"tasks": N}`` when all runs have their outcome.
"""

# What it imports is not in this project's environment.
# mypy: ignore-errors

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from prefect import flow, task

from benchmarks.drivers import serve
from benchmarks.stamps import record

AT_ONCE = 20


@task
def noop(number: int = 0) -> None:
    record(time.monotonic())


@flow
def chain(length: int) -> int:
    for _ in range(length):
        noop()
    return length


@flow
def fan(width: int) -> int:
    for member in [noop.submit() for _ in range(width)]:
        member.result()
    noop()
    return width + 1


@flow
def mapped(width: int) -> int:
    noop.map(list(range(width))).result()
    noop()
    return width + 1


SHAPES = {"chain": chain, "fan": fan, "map": mapped}


def answer(asked):
    shape, size, runs = SHAPES[asked["shape"]], asked["size"], asked["runs"]
    if runs == 1:
        return {"tasks": shape(size)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {"tasks": sum(pool.map(shape, [size] * runs))}


serve(answer)
