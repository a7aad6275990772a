"""Starts runs of celery-director and waits for them, in its own environment.

A line of JSON on stdin asks: ``{"start": WORKFLOW, "runs": N}``, answered by ``{"seconds": S}``, or
``{"wait": SECONDS}``, answered by ``{"unfinished": N}``: how many of the runs started since the last wait have no
outcome by then.
"""

# What it imports is not in this project's environment.
# mypy: ignore-errors

import json
import sys
import time

from director._auto import app
from director.builder import WorkflowBuilder
from director.extensions import db
from director.models import StatusType
from director.models.workflows import Workflow

POLL = 0.01


def start(name: str, runs: int) -> list[str]:
    """Start runs as its API does."""
    started = []
    for _ in range(runs):
        workflow = Workflow(project="bench", name=name, payload={})
        workflow.save()
        WorkflowBuilder(workflow.id).run()
        started.append(workflow.id)
    return started


def unfinished(started: list[str], seconds: float) -> int:
    """Wait for outcomes; how many are missing at the end."""
    open_ones = Workflow.query.filter(
        Workflow.id.in_(started), Workflow.status.in_([StatusType.pending, StatusType.progress])
    )
    deadline = time.monotonic() + seconds
    while (left := open_ones.count()) and time.monotonic() < deadline:
        db.session.rollback()
        time.sleep(POLL)
    db.session.rollback()
    return left


def main() -> None:
    """Answer until stdin ends."""
    started: list[str] = []
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            begun = time.monotonic()
            started += start(asked["start"], asked["runs"])
            answer = {"seconds": time.monotonic() - begun}
        else:
            answer = {"unfinished": unfinished(started, asked["wait"])}
            started = []
        print(json.dumps(answer), flush=True)


with app.app_context():
    print("{}", flush=True)
    main()
