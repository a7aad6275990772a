"""Starts runs of celery-director and waits for them, in its own environment.

``{"start": WORKFLOW, "runs": N}`` is answered by ``{"seconds": S}``, and ``{"wait": SECONDS}`` by
``{"unfinished": N}``: how many of the runs started since the last wait have no outcome by then.
"""

# What it imports is not in this project's environment.
# mypy: ignore-errors

import time

from director._auto import app
from director.builder import WorkflowBuilder
from director.extensions import db
from director.models import StatusType
from director.models.workflows import Workflow

from benchmarks.drivers import serve

POLL = 0.01
started: list[str] = []
"""Since the last wait."""


def answer(asked):
    if "wait" in asked:
        return {"unfinished": unfinished(asked["wait"])}
    begun = time.monotonic()
    for _ in range(asked["runs"]):
        start(asked["start"])
    return {"seconds": time.monotonic() - begun}


def start(name: str) -> None:
    """Start a run as its API does."""
    workflow = Workflow(project="bench", name=name, payload={})
    workflow.save()
    WorkflowBuilder(workflow.id).run()
    started.append(workflow.id)


def unfinished(seconds: float) -> int:
    """Wait for outcomes; how many are missing at the end."""
    open_ones = Workflow.query.filter(
        Workflow.id.in_(started), Workflow.status.in_([StatusType.pending, StatusType.progress])
    )
    deadline = time.monotonic() + seconds
    while (left := open_ones.count()) and time.monotonic() < deadline:
        db.session.rollback()
        time.sleep(POLL)
    db.session.rollback()
    started.clear()
    return left


with app.app_context():
    serve(answer)
