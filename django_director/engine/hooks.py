"""Hooks: tasks that the end of a run starts, once per outcome.

First the list of the outcome, then that of ``always``. All their rows are inserted in the transaction that ends
the run, the first one queued; the end of each queues the next. Nothing waits for them.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Final
from uuid import UUID

from django_director import ids
from django_director.clock import Now, later
from django_director.conf import director
from django_director.graph import Graph, Node
from django_director.models import Task
from django_director.querysets import TaskQuerySet
from django_director.status import RunStatus, TaskStatus

from . import outbox
from .transactions import after_commit

BY_OUTCOME: Final = {RunStatus.SUCCESS: "success", RunStatus.FAILED: "failure", RunStatus.CANCELED: "canceled"}
ALWAYS: Final = "always"


def chains(graph: Graph, outcome: RunStatus) -> list[tuple[Node, ...]]:
    """The lists of hooks that an outcome starts, one after the other."""
    return [graph.hooks[name] for name in (BY_OUTCOME[outcome], ALWAYS) if name in graph.hooks]


def insert(run_id: UUID, graph: Graph, outcome: RunStatus, *, generation: int) -> None:
    """Insert the hooks of an outcome, in the transaction that ends the run."""
    nodes = list(chain.from_iterable(chains(graph, outcome)))
    if not nodes:
        return
    tasks = [_row(run_id, node, generation) for node in nodes]
    first = tasks[0]
    first.status = TaskStatus.QUEUED
    first.sequence = outbox.first_sequence(generation)
    first.queued_at = Now()
    first.next_dispatch_at = later(director.DISPATCH_GRACE)
    Task.objects.bulk_create(tasks)
    _publish(run_id, graph, nodes[0], generation)


def follow(run_id: UUID, graph: Graph, node: Node, sequence: int, *, failed: bool) -> None:
    """Let the end of a hook have its consequences, in its transaction; ``sequence`` is the hook's own.

    What follows a failed one in its list does not run; ``always`` begins when the list before it has ended.
    """
    generation = outbox.generation_of(sequence)
    failed = failed and not node.is_forgiven
    own = next(nodes for nodes in graph.hooks.values() if node in nodes)
    rest = own[own.index(node) + 1 :]
    if rest and failed:
        _pending(run_id, generation, rest).update(status=TaskStatus.UPSTREAM_FAILED, finished_at=Now())
    following = rest[0] if rest and not failed else _first_of_always(graph, own)
    if following is not None and _queue(run_id, generation, following):
        _publish(run_id, graph, following, generation)


def _first_of_always(graph: Graph, ended: tuple[Node, ...]) -> Node | None:
    last = graph.hooks.get(ALWAYS)
    return None if last is None or last == ended else last[0]


def _row(run_id: UUID, node: Node, generation: int) -> Task:
    return Task(
        id=ids.hook_id(run_id, generation, node.position),
        run_id=run_id,
        position=node.position,
        step=node.step.id,
        name=node.name,
        queue=node.queue,
        generation=generation,
        is_hook=True,
    )


def _pending(run_id: UUID, generation: int, nodes: tuple[Node, ...]) -> TaskQuerySet:
    chosen = [ids.hook_id(run_id, generation, node.position) for node in nodes]
    hooks: TaskQuerySet = Task.objects.filter(pk__in=chosen)
    return hooks.pending()


def _queue(run_id: UUID, generation: int, node: Node) -> bool:
    queued = _pending(run_id, generation, (node,)).update(
        status=TaskStatus.QUEUED,
        sequence=outbox.first_sequence(generation),
        queued_at=Now(),
        next_dispatch_at=later(director.DISPATCH_GRACE),
    )
    return bool(queued)


def _publish(run_id: UUID, graph: Graph, node: Node, generation: int) -> None:
    message = outbox.message(
        graph,
        node.position,
        task_id=ids.hook_id(run_id, generation, node.position),
        sequence=outbox.first_sequence(generation),
        run_id=run_id,
    )
    after_commit(partial(outbox.publish, [message]))
