"""The success of a task and what follows from it, written in one statement where that is possible.

Only PostgreSQL has such statements. They change no row in cases that are not the usual ones, which are left to the
transaction of ``finish``. So nothing is decided here that ``finish`` would decide otherwise.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db.models import QuerySet

from django_director.common import ids
from django_director.conf import director
from django_director.db.compiled import (
    INTEGER,
    UUID_FIELD,
    Locked,
    Pair,
    Param,
    Update,
    can_pair,
    prepared,
    wait_at_most,
)
from django_director.db.handovers import Handover
from django_director.db.lock_limits import row_seconds
from django_director.db.transactions import after_commit
from django_director.engine import outbox, transitions
from django_director.engine.flow import advance, gates, held_items, hooks
from django_director.engine.flow import items as flow_items
from django_director.graph import Junction, Node, Span, Tally, has_lanes, items
from django_director.models import Task
from django_director.status import RunStatus, TaskStatus

from .claim import Claim


@prepared
def succeeding(lock_seconds: float | None) -> Update:
    """Return the statement that ends a claimed task as a success: parameters ``task``, ``token``, ``result``."""
    result = Param("result", Task._meta.get_field("result"))
    return Update(_mine(lock_seconds), **transitions.succeeded(result))


def _mine(lock_seconds: float | None) -> QuerySet[Task]:
    mine = Task.objects.filter(pk=Param("task", UUID_FIELD), claim=Param("token", INTEGER)).running()
    return mine if lock_seconds is None else mine.filter(wait_at_most(lock_seconds))


def at_once(claim: Claim, result: object) -> bool:
    """Commit the result of a claimed task with what follows from it; return ``False`` if nothing was done."""
    if claim.node.map_position is not None:
        return can_pair() and not claim.graph.definition.fail_fast and _item(claim, result)
    if claim.is_hook or len(claim.node.junctions) != 1 or claim.node.guards or not can_pair():
        return False
    if claim.graph.definition.fail_fast:
        # Whether the run has stopped is to be asked first.
        return False
    values = {"task": claim.task_id, "token": claim.token, "result": result, "run": claim.run.pk}
    junction = claim.graph.junctions[claim.node.junctions[0]]
    if junction.has_gate:
        return _count(values | {"seq": junction.seq})
    if junction.is_end:
        return _end(claim, values)
    span = _only_span(junction)
    return span is not None and _queue(claim, span, values)


def _item(claim: Claim, result: object) -> bool:
    """End a task for an item, if another task follows for it, or if the item counts and lets no other begin."""
    node, run = claim.node, claim.run
    way = items.onward(claim.graph, node, TaskStatus.SUCCESS)
    values = {"task": claim.task_id, "token": claim.token, "result": result, "run": run.pk}
    if way.settled or way.is_open:
        return False
    if way.ready is None:
        around = claim.graph.nodes[node.map_position or 0]
        if has_lanes(around):
            # The next item may be one that was given back, which keeps its number of messages.
            return False
        values |= {"seq": items.counter(around.position, claim.map_index)}
        if around.max_parallel is None or not held_items.may_be(run, around.position):
            return _count(values)
        return _hand_over(claim, around, values)
    sequence = outbox.first_sequence(run.generation)
    following = ids.item_id(run.pk, way.ready, claim.map_index)
    pair = _queueing_item(director.DISPATCH_GRACE, row_seconds())
    finished, queued = pair.execute(**values, next=following, sequence=sequence)
    if queued:
        outbox.publish_item_after_commit(run, claim.graph, claim.map_index, way.ready)
    return finished > 0


def _hand_over(claim: Claim, around: Node, values: dict[str, Any]) -> bool:
    """End an item that is not the last of its counter, and queue the next one that `max_parallel` holds back.

    If none is near nothing is done: the transaction looks further.
    """
    run, graph = claim.run, claim.graph
    near = flow_items.near(run, graph, around, held_items.first(run, around.position, claim.map_index))
    if not near:
        return False
    handover = _handing_over(director.DISPATCH_GRACE, row_seconds())
    index = handover.execute(**values, **near, sequence=outbox.first_sequence(run.generation))
    if index is None:
        return False
    outbox.publish_item_after_commit(run, graph, index, near["position"])
    after_commit(partial(held_items.note_begun, run, around.position, index))
    return True


@prepared
def _handing_over(grace: float, lock_seconds: float | None) -> Handover:
    return Handover(
        ending=_mine(lock_seconds),
        waiting=flow_items.held_near(),
        count=gates.counting_success,
        end=succeeding(None),
        begin=partial(outbox.queueing_one, grace),
    )


@prepared
def _queueing_item(grace: float, lock_seconds: float | None) -> Pair:
    return Pair(succeeding(lock_seconds), outbox.queueing_item(grace))


def _count(values: dict[str, Any]) -> bool:
    """End a task that is one of several members of a join, and not the last."""
    _, finished = _counting(row_seconds()).execute(**values)
    return finished > 0


@prepared
def _counting(lock_seconds: float | None) -> Pair:
    # The task is locked first, as everywhere: whoever waits for it may find that the gate has counted already.
    return Pair(gates.counting_success(Locked(_mine(lock_seconds))), succeeding(lock_seconds))


def _queue(claim: Claim, span: Span, values: dict[str, Any]) -> bool:
    """End a task before a single step or a group, which is queued."""
    start, stop = span
    sequence = outbox.first_sequence(claim.run.generation)
    pair = _queueing(director.DISPATCH_GRACE, row_seconds())
    finished, queued = pair.execute(**values, start=start, stop=stop, sequence=sequence)
    if queued == stop - start:
        outbox.publish_after_commit(claim.run, claim.graph, [span])
    return finished > 0


@prepared
def _queueing(grace: float, lock_seconds: float | None) -> Pair:
    return Pair(succeeding(lock_seconds), outbox.queueing(grace))


def _only_span(junction: Junction) -> Span | None:
    if junction.parent is not None or junction.feeds or len(junction.heads) != 1:
        return None
    (release,) = junction.heads
    if len(release.spans) != 1 or junction.verdict(release.rule, Tally(1)) != TaskStatus.QUEUED:
        return None
    start, stop = release.spans[0]
    return (start, stop) if stop - start <= outbox.INLINE else None


def _end(claim: Claim, values: dict[str, Any]) -> bool:
    """End the last task of a run, and the run, if no hooks follow."""
    if hooks.chains(claim.graph, RunStatus.SUCCESS):
        return False
    finished, closed = _ending(advance.holds_slot(claim.graph), row_seconds()).execute(
        **values, outcome=RunStatus.SUCCESS, error=""
    )
    if closed:
        advance.announce_end(claim.run, claim.graph)
    return finished > 0


@prepared
def _ending(frees_slot: bool, lock_seconds: float | None) -> Pair:
    return Pair(succeeding(lock_seconds), advance.ending(frees_slot))
