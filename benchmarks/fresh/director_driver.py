"""Starts runs in the project, as a view of it would, and waits for them.

``{"start": WORKFLOW, "runs": N, "payload": …}`` is answered by ``{"seconds": S}``, and ``{"wait": SECONDS}`` by
``{}`` when all runs since the last wait have their outcomes. A run that fails ends the process.
"""

from __future__ import annotations

import time
from typing import Any

import django

django.setup()

from benchmarks.drivers import serve  # noqa: E402
from django_director import start  # noqa: E402
from django_director.models import Run, Task  # noqa: E402
from django_director.status import RunStatus  # noqa: E402

started: list[Run] = []


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if "wait" in asked:
        wait(asked["wait"])
        return {}
    begun = time.monotonic()
    started.extend(start(asked["start"], asked["payload"]) for _ in range(asked["runs"]))
    return {"seconds": time.monotonic() - begun}


def wait(seconds: float) -> None:
    """Wait for the outcomes. Raises ``TimeoutError`` after ``seconds``, ``RuntimeError`` for a failed run."""
    deadline = time.monotonic() + seconds
    for run in started:
        if run.wait(deadline - time.monotonic()) != RunStatus.SUCCESS:
            errors = Task.objects.filter(run=run).exclude(error="").values_list("error", flat=True)[:1]
            raise RuntimeError(f"a run is {run.status}: {list(errors)}")
    started.clear()


serve(answer)
