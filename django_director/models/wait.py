"""Waits for the outcome of a run by reading its row again and again."""

from __future__ import annotations

import time
from typing import Final

from django.db.models import Model

from django_director.db.transactions import connection
from django_director.dispatch import in_task
from django_director.exceptions import DirectorError, Misuse
from django_director.status import RUN_FINISHED, RunStatus

FIRST_PAUSE: Final = 0.003
"""Seconds between the first two queries: a run of one step has its outcome after some ten milliseconds."""
GROWTH: Final = 1.1
"""How many times as long as the one before each pause is, so that a caller learns late by a tenth at most."""
LONGEST_PAUSE: Final = 1.0


def wait_for_outcome(run: Model, timeout: float | None) -> RunStatus:
    """Wait for the outcome of a run, refresh ``run`` and return the outcome. ``Run.wait`` says what it raises."""
    if connection().in_atomic_block:
        raise DirectorError("run.wait() inside a transaction would wait for ever: the run starts after the commit")
    if timeout is None and in_task.is_in_task():
        raise Misuse(
            "run.wait() inside a task without a timeout may wait for ever: the run may need the slot that the task"
            " holds; give a timeout, or make the workflow a step (`workflow:`) of the run that needs its result"
        )
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE
    while (status := _read_status(run)) not in RUN_FINISHED:
        if deadline is not None and time.monotonic() + pause > deadline:
            raise TimeoutError(f"run {run.pk} has no outcome after {timeout} s")
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)
    run.refresh_from_db()
    return RunStatus(status)


def _read_status(run: Model) -> str:
    return str(type(run)._default_manager.values_list("status", flat=True).get(pk=run.pk))
