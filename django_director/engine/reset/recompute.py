"""Compute the state of a run anew from its rows: in a reset, and in the audit of runs changed by hand."""

from __future__ import annotations

import logging

from django.db.models import F

from django_director.db.transactions import in_transaction
from django_director.engine.attempts.claim import RunSnapshot
from django_director.engine.flow import advance, item_rows
from django_director.engine.flow.gates import insert_gates
from django_director.graph import Graph, Replay, items, replay
from django_director.models import Gate, Run, Task
from django_director.status import RunStatus, Stop

logger = logging.getLogger(__name__)


@in_transaction()
def recompute(run: Run) -> bool:
    """Compute an active run's gates anew, then queue the tasks that can run, or end the run.

    For a run without an outcome in which nothing is active. The engine leaves none behind: somebody has changed
    rows by hand. Returns whether the run was still active.
    """
    running = Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING, stop=Stop.NONE)
    if not running.update(generation=F("generation")):
        return False
    graph = run.version.graph
    snapshot = RunSnapshot.of(run, run.generation)
    statuses = statuses_of(run)
    if len(statuses) < len(graph.nodes):
        logger.error("Run %s has lost rows of tasks; it fails.", run.pk, extra={"run_id": str(run.pk)})
        advance.end_run(snapshot, graph, RunStatus.FAILED)
    else:
        _continue_maps(snapshot, graph, statuses)
        continue_run(snapshot, graph, replay(graph, statuses))
    return True


def statuses_of(run: Run) -> dict[int, str]:
    """Return the statuses of all tasks by position, without the tasks for items of maps."""
    rows = Task.objects.filter(run_id=run.pk).nodes().order_by()
    return dict(rows.values_list("position", "status"))


def continue_run(run: RunSnapshot, graph: Graph, again: Replay) -> None:
    """Write the computed gates, queue the tasks that can run, and end the run if there is nothing to do.

    A run that was canceled while its last task ran, and let it succeed, has nothing to do when it is retried.
    """
    write_gates(run, graph, again)
    advance.apply_consequences(run, graph, again.found)


def write_gates(run: RunSnapshot, graph: Graph, again: Replay) -> None:
    """Replace the gates of a run by the computed ones."""
    Gate.objects.filter(run_id=run.pk, seq__lt=items.FIRST_COUNTER).delete()
    insert_gates(run.pk, graph, again.tallies)


def _continue_maps(run: RunSnapshot, graph: Graph, statuses: dict[int, str]) -> None:
    """Compute the counters of waiting maps anew and continue them; note the statuses of those that end."""
    for position, count in item_rows.waiting_maps(run.pk).items():
        node = graph.nodes[position]
        found = item_rows.read_items(run.pk, graph, node, count)
        item_rows.remove_counters(run.pk, node)
        item_rows.write_counters(run.pk, node, found, count)
        item_rows.begin_items(run, graph, node, found)
        status = item_rows.settle_items(run.pk, node, found, count)
        if status is not None:
            statuses[position] = status
