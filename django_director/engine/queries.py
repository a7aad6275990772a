"""Queries for rows of tasks that several parts of the engine need."""

from __future__ import annotations

from uuid import UUID

from django_director.db.transactions import BATCH
from django_director.models import Task
from django_director.models.querysets import HEAVY_TASK_FIELDS, TaskQuerySet

from .avoided_runs import avoided_run_ids


def run_of(task: Task) -> UUID:
    """Return the id of the run that a task belongs to."""
    return task.run_id


def read_to_end(tasks: TaskQuerySet) -> list[Task]:
    """Read a batch of tasks, with their runs and versions, to end them.

    Tasks of runs of which another session has just been seen to lock rows are left out.
    """
    # The definition too: the graph that is compiled from it is kept, and each row would bring one of its own.
    heavy = (*HEAVY_TASK_FIELDS, "run__payload", "run__version__source", "run__version__definition")
    if locked := avoided_run_ids():
        tasks = tasks.exclude(run__in=locked)
    return list(tasks.select_related("run__version").defer(*heavy)[:BATCH])
