"""A task's success: the UPDATE of its row and, where it can be, all that follows from it in the same statement.

Only PostgreSQL has such statements. What is not as usual changes no row and is left to the transaction of
``finish``, so nothing is decided here that it would decide otherwise.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_director.clock import Now
from django_director.conf import director
from django_director.graph import Junction, Span, Tally
from django_director.models import Task
from django_director.prepared import INTEGER, UUID_FIELD, Locked, Pair, Param, Update, can_pair, prepared
from django_director.status import RunStatus, TaskStatus

from . import hooks, outbox, settle
from .claim import Claim


@prepared
def succeeding() -> Update:
    """Make the claimed task a success: parameters ``task``, ``token``, ``result``."""
    return Update(
        _mine(),
        status=TaskStatus.SUCCESS,
        finished_at=Now(),
        lease_until=None,
        deadline_at=None,
        next_dispatch_at=None,
        result=Param("result", Task._meta.get_field("result")),
        error="",
        traceback="",
        reason="",
    )


def _mine() -> QuerySet[Task]:
    return Task.objects.filter(pk=Param("task", UUID_FIELD), claim=Param("token", INTEGER)).running()


def at_once(claim: Claim, result: Any) -> bool:
    """Commit the result of a claimed task with what follows from it; ``False``: nothing was done."""
    if claim.is_hook or len(claim.node.junctions) != 1 or claim.node.guards or not can_pair():
        return False
    if claim.graph.definition.fail_fast:
        # Whether the run has stopped is to be asked first.
        return False
    values = {"task": claim.task_id, "token": claim.token, "result": result, "run": claim.run.pk}
    junction = claim.graph.junctions[claim.node.junctions[0]]
    if junction.has_gate:
        return _count(junction, values)
    if junction.is_end:
        return _end(claim, values)
    span = _only_span(junction)
    return span is not None and _queue(claim, span, values)


def _count(junction: Junction, values: dict[str, Any]) -> bool:
    """One of several members that is not the last."""
    _, finished = _counting().execute(**values, seq=junction.seq, **settle.counts(Tally(1)))
    return finished > 0


@prepared
def _counting() -> Pair:
    # The task is locked first, as everywhere: whoever waits for it may find that the gate has counted already.
    return Pair(settle.counting(Locked(_mine())), succeeding())


def _queue(claim: Claim, span: Span, values: dict[str, Any]) -> bool:
    """A step of a chain, or the one before a group."""
    start, stop = span
    sequence = outbox.first_sequence(claim.run.generation)
    pair = _queueing(director.DISPATCH_GRACE)
    finished, queued = pair.execute(**values, start=start, stop=stop, sequence=sequence)
    if queued == stop - start:
        outbox.publish_after_commit(claim.run, claim.graph, [span])
    return finished > 0


@prepared
def _queueing(grace: float) -> Pair:
    return Pair(succeeding(), outbox.queueing(grace))


def _only_span(junction: Junction) -> Span | None:
    if junction.parent is not None or junction.feeds or len(junction.heads) != 1:
        return None
    (release,) = junction.heads
    if len(release.spans) != 1 or junction.verdict(release.rule, Tally(1)) != TaskStatus.QUEUED:
        return None
    start, stop = release.spans[0]
    return (start, stop) if stop - start <= outbox.INLINE else None


def _end(claim: Claim, values: dict[str, Any]) -> bool:
    """The only last task of a run without hooks for its outcome."""
    if hooks.chains(claim.graph, RunStatus.SUCCESS):
        return False
    finished, closed = _ending(settle.holds_slot(claim.graph)).execute(
        **values, outcome=RunStatus.SUCCESS, error=""
    )
    if closed:
        settle.announce_end(claim.run.pk, claim.graph)
    return finished > 0


@prepared
def _ending(frees_slot: bool) -> Pair:
    return Pair(succeeding(), settle.ending(frees_slot))
