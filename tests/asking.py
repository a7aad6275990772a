"""Runs that wait for somebody, through the engine and without a worker."""

from __future__ import annotations

from typing import Any

from django_director.models import Run, Task
from django_director.worker import own_steps
from tests.factories import approval
from tests.integration.engine import driver


def asked(*tasks: Any, name: str = "shop.ORDER", step: str = "OK", **fields: Any) -> tuple[Run, Task]:
    """A run that waits for the approval ``step``; what is ready besides it has succeeded."""
    run = driver.start(*(tasks or (approval("OK", prompt="Ship this order?"), "SHIP")), name=name, **fields)
    while step not in (names := list(run.tasks.queued().values_list("step", flat=True))):
        for other in names:
            driver.succeed(run, other, f"result of {other}")
    return run, ask(run, step)


def ask(run: Run, step: str = "OK") -> Task:
    assert own_steps.perform(driver.claim(run, step)) is own_steps.HELD
    task: Task = run.tasks.select_related("run__workflow", "run__version").get(step=step)
    return task
