"""The task of its workflows; copied into its home, imported by its worker in its own environment."""

# What it imports is not in this project's environment.
# mypy: ignore-errors

import time

from director import task

from benchmarks.stamps import record


@task(name="NOOP")
def noop(*args: object, **kwargs: object) -> None:
    record(time.monotonic())
