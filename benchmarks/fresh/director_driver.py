"""Starts runs in the project, as a view of it would, and waits for them.

``{"start": WORKFLOW, "runs": N, "payload": …}`` is answered by ``{"seconds": S}``, and
``{"wait": SECONDS, "poll": SECONDS}`` by ``{"unfinished": N}``: how many of the runs started since the last wait
have no outcome by then. A run that fails ends the process.
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

started: list[Any] = []


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if "wait" in asked:
        return {"unfinished": unfinished(asked["wait"], asked["poll"])}
    begun = time.monotonic()
    started.extend(start(asked["start"], asked["payload"]).pk for _ in range(asked["runs"]))
    return {"seconds": time.monotonic() - begun}


def unfinished(seconds: float, poll: float) -> int:
    """Wait for outcomes; how many are missing. Raises ``RuntimeError`` for a run without success."""
    runs = Run.objects.filter(pk__in=started)
    deadline = time.monotonic() + seconds
    while (left := runs.filter(finished_at=None).count()) and time.monotonic() < deadline:
        time.sleep(poll)
    if bad := runs.exclude(finished_at=None).exclude(status=RunStatus.SUCCESS).first():
        errors = Task.objects.filter(run=bad).exclude(error="").values_list("error", flat=True)[:1]
        raise RuntimeError(f"a run is {bad.status}: {list(errors)}")
    started.clear()
    return left


serve(answer)
