"""Hooks: tasks that run one after the other when a run has got its outcome.

The hooks for the outcome come first, then those of ``always``. All their rows are inserted in the transaction that
ends the run, and the first one is queued; the end of each queues the next. Nothing waits for hooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any, Final
from uuid import UUID

from django_director.common import ids
from django_director.conf import director
from django_director.db.functions import later
from django_director.db.transactions import after_commit
from django_director.engine import outbox, transitions
from django_director.graph import Graph, Node
from django_director.graph.rules import Tally, tally_of, verdict
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import RunStatus, TaskStatus

BY_OUTCOME: Final = {RunStatus.SUCCESS: "success", RunStatus.FAILED: "failure", RunStatus.CANCELED: "canceled"}
ALWAYS: Final = "always"


def chains(graph: Graph, outcome: RunStatus) -> list[tuple[Node, ...]]:
    """Return the lists of hooks that run after an outcome, in their order."""
    return [graph.hooks[name] for name in (BY_OUTCOME[outcome], ALWAYS) if name in graph.hooks]


def insert(run_id: UUID, graph: Graph, outcome: RunStatus, *, generation: int) -> None:
    """Insert the hooks of an outcome and queue the first one. Called in the transaction that ends the run."""
    nodes = list(chain.from_iterable(chains(graph, outcome)))
    if not nodes:
        return
    settled, following = _next([], chains(graph, outcome))
    states = {node.position: transitions.settled(status) for node, status in settled}
    if following is not None:
        states[following.position] = _queued(generation)
    rows = (_row(run_id, node, generation, states.get(node.position, transitions.pending())) for node in nodes)
    Task.objects.bulk_create(rows)
    if following is not None:
        _publish(run_id, graph, following, generation)


def follow(run_id: UUID, graph: Graph, node: Node, sequence: int, status: TaskStatus) -> None:
    """Queue the next hook after the end of one, in the same transaction; ``sequence`` is that of the ended one.

    Hooks between them whose trigger rules do not hold are settled. The list ``always`` begins when the list before
    it has ended.
    """
    generation = outbox.generation_of(sequence)
    own = next(nodes for nodes in graph.hooks.values() if node in nodes)
    later_lists = [graph.hooks[ALWAYS]] if ALWAYS in graph.hooks and graph.hooks[ALWAYS] != own else []
    ended = tally_of(status, is_forgiven=node.is_forgiven)
    settled, following = _next(own[own.index(node) + 1 :], later_lists, ended)
    for what in dict.fromkeys(status for _, status in settled):
        those = tuple(node for node, status in settled if status == what)
        _pending(run_id, generation, those).update(**transitions.settled(what))
    if following is not None and _queue(run_id, generation, following):
        _publish(run_id, graph, following, generation)


def _next(
    rest: Sequence[Node], lists: Sequence[Sequence[Node]], ended: Tally | None = None
) -> tuple[list[tuple[Node, TaskStatus]], Node | None]:
    """Find the next hook to run; return the hooks before it, which never run, with their statuses, and that hook.

    ``rest`` is what is left of the present list, and ``ended`` how the hook before it has ended; ``lists`` come
    after it. The first hook of a list has nothing before it.
    """
    settled: list[tuple[Node, TaskStatus]] = []
    for nodes, before in ((rest, ended), *((nodes, None) for nodes in lists)):
        for node in nodes:
            status = verdict(node.step.trigger_rule, int(before is not None), before or Tally())
            if status == TaskStatus.QUEUED:
                return settled, node
            settled.append((node, status))
            before = tally_of(status, is_forgiven=False)
    return settled, None


def _row(run_id: UUID, node: Node, generation: int, state: dict[str, Any]) -> Task:
    return Task(
        id=ids.hook_id(run_id, generation, node.position),
        run_id=run_id,
        position=node.position,
        step=node.step.id,
        name=node.name,
        queue=node.queue,
        generation=generation,
        is_hook=True,
        **state,
    )


def _pending(run_id: UUID, generation: int, nodes: tuple[Node, ...]) -> TaskQuerySet:
    chosen = [ids.hook_id(run_id, generation, node.position) for node in nodes]
    hooks: TaskQuerySet = Task.objects.filter(pk__in=chosen)
    return hooks.pending()


def _queue(run_id: UUID, generation: int, node: Node) -> bool:
    return bool(_pending(run_id, generation, (node,)).update(**_queued(generation)))


def _queued(generation: int) -> dict[str, Any]:
    return transitions.queued(outbox.first_sequence(generation), later(director.DISPATCH_GRACE))


def _publish(run_id: UUID, graph: Graph, node: Node, generation: int) -> None:
    message = outbox.message(
        graph,
        node.position,
        task_id=ids.hook_id(run_id, generation, node.position),
        sequence=outbox.first_sequence(generation),
        run_id=run_id,
    )
    after_commit(partial(outbox.publish, [message]))
