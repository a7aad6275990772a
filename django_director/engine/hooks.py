"""Hooks: tasks that the end of a run starts, once per outcome."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

from django_director import ids
from django_director.clock import Now, later
from django_director.conf import director
from django_director.graph import Graph, Node
from django_director.models import Task
from django_director.status import RunStatus, TaskStatus

from . import outbox
from .transactions import after_commit

BY_OUTCOME: Final = {RunStatus.SUCCESS: "success", RunStatus.FAILED: "failure"}


def node_for(graph: Graph, outcome: RunStatus) -> Node | None:
    """The hook of an outcome, if there is one."""
    return graph.hooks.get(BY_OUTCOME.get(outcome, ""))


def insert(run_id: UUID, graph: Graph, outcome: RunStatus, *, generation: int) -> None:
    """Insert the hook of an outcome, queued, in the transaction that ends the run."""
    node = node_for(graph, outcome)
    if node is None:
        return
    sequence = outbox.first_sequence(generation)
    task = Task(
        id=ids.new_id(),
        run_id=run_id,
        position=node.position,
        step=node.step.id,
        name=node.step.task,
        queue=node.step.queue or "",
        generation=generation,
        is_hook=True,
        status=TaskStatus.QUEUED,
        sequence=sequence,
        queued_at=Now(),
        next_dispatch_at=later(director.DISPATCH_GRACE),
    )
    task.save(force_insert=True, using=director.DATABASE)
    message = outbox.message(graph, node.position, task_id=task.pk, sequence=sequence, run_id=run_id)
    after_commit(partial(outbox.publish, [message]))
