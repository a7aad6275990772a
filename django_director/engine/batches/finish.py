"""Commit what is done of a batch: many results in one transaction, with all that follows from them.

It is all or nothing. If a task is not the worker's any more, if the database refuses a result, or if a row is
locked, nothing is written here, and each task is ended alone by ``attempts.finish``, which knows what to do then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_director.common import failpoints
from django_director.db.bulk_inserts import as_text
from django_director.db.bulk_updates import Given, UpdateMany
from django_director.db.compiled import INTEGER, UUID_FIELD, prepared, wait_at_most
from django_director.db.lock_limits import row_seconds
from django_director.db.transactions import WORKER_PATIENCE, after_commit, in_transaction, transact
from django_director.engine import stopping, transitions
from django_director.engine.attempts.claim import Claim
from django_director.engine.flow import advance, items, lanes
from django_director.graph import Tally, has_lanes
from django_director.graph.items import counter
from django_director.models import Task


class Done(NamedTuple):
    """A task of a batch that has succeeded and is not committed yet."""

    claim: Claim
    result: Any
    """Its (normalised) result."""
    began: datetime
    ended: datetime
    """When its code began and ended, by the database's clock."""


class _NotAll(Exception):
    """Some of the tasks are not the worker's any more."""


_MOMENT: Final = models.DateTimeField()
_ID: Final = Given("id", UUID_FIELD)
_TOKEN: Final = Given("token", INTEGER)
_RESULT: Final = Given("result", models.JSONField())
_BEGAN: Final = Given("began", _MOMENT)
_ENDED: Final = Given("ended", _MOMENT)


def finish_together(done: Sequence[Done], *, is_last: bool) -> bool:
    """Commit the results of tasks of one batch; return ``False`` if nothing was written.

    ``is_last`` says that no other task of the batch will run. Raises ``DatabaseError``.
    """
    failpoints.point("batch.done")
    try:
        transact(partial(_write, done, is_last), patience=WORKER_PATIENCE)
    except _NotAll:
        return False
    return True


@in_transaction(patience=WORKER_PATIENCE)
def begin_next(claim: Claim) -> None:
    """Begin further batches of a map with `max_parallel` when a batch has ended, of which ``claim`` is a task."""
    lanes.refill(claim.run, claim.graph, items.map_of(claim.graph, claim.node))


def _write(done: Sequence[Done], is_last: bool) -> None:
    if _succeeding(row_seconds()).execute(_row(one) for one in done) != len(done):
        raise _NotAll
    failpoints.point("batch.updated")
    run = done[0].claim.run
    if _advance(done, is_last):
        after_commit(partial(stopping.continue_stop, run.pk))
    after_commit(partial(failpoints.point, "batch.committed"))
    for one in done:
        advance.announce_task(one.claim.task_id)


def _row(one: Done) -> tuple[str | int | None, ...]:
    result = None if one.result is None else json.dumps(one.result, cls=DjangoJSONEncoder)
    times = as_text(_MOMENT, one.began), as_text(_MOMENT, one.ended)
    return one.claim.task_id.hex, one.claim.token, result, *times


@prepared
def _succeeding(lock_seconds: float | None) -> UpdateMany:
    mine = Task.objects.filter(pk=_ID, claim=_TOKEN).running()
    if lock_seconds is not None:
        mine = mine.filter(wait_at_most(lock_seconds))
    changes = transitions.succeeded(_RESULT) | {"started_at": _BEGAN, "finished_at": _ENDED}
    return UpdateMany(mine, (_ID, _TOKEN, _RESULT, _BEGAN, _ENDED), **changes)


def _advance(done: Sequence[Done], is_last: bool) -> bool:
    """Write what follows from the success of tasks; return whether `fail_fast` has stopped the run."""
    claim = done[0].claim
    run, graph = claim.run, claim.graph
    if claim.node.map_position is None:
        return advance.advance_all(run, graph, [one.claim.node.position for one in done])
    node = items.map_of(graph, claim.node)
    if graph.definition.fail_fast and not node.runs_on and advance.is_stopped(run.pk):
        return True
    counted = Counter(counter(node.position, one.claim.map_index) for one in done)
    stopped = False
    for number in sorted(counted):
        stopped = items.count_items(run, graph, node, number, Tally(counted[number])) or stopped
    if is_last and has_lanes(node):
        lanes.refill(run, graph, node)
    return stopped
