"""Test helpers for projects: whole workflows in-process, in any ``TestCase``, without a broker."""

from __future__ import annotations

from typing import Any

from . import engine, local, sync
from .models import Run, Workflow


def run_workflow(name: str, payload: Any = None, **options: Any) -> Run:
    """Run the workflow ``name`` to its outcome in this process and return the run.

    Definitions come from the project's files when the database has none of this name. Retries follow at once,
    whatever their delay. ``options`` are those of ``django_director.start``. Raises what ``start`` raises, and
    ``InvalidDefinitions`` when the files have problems.
    """
    if not Workflow.objects.active().filter(name=name).exists():
        sync.sync()
    run = engine.start(name, payload, publish=False, **options)
    return local.run_to_end(run, skip_delays=True)
