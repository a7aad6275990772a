"""The tasks of a batch that have not begun yet: their leases are renewed together, or they are put back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.lock_limits import limited
from django_director.db.transactions import WORKER_PATIENCE, after_commit, in_transaction, statement
from django_director.engine import stopping, transitions
from django_director.engine.attempts.claim import Claim
from django_director.engine.flow import advance, items, lanes
from django_director.graph import has_lanes
from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import STOP_SPARING, RunStatus, Stop


def lets_begin(claim: Claim) -> bool:
    """Whether the run of a claimed task lets further tasks like it begin: it is neither stopped nor paused."""
    run = Run.objects.filter(pk=claim.run.pk, status=RunStatus.RUNNING, paused_at=None)
    run = run.filter(stop__in=STOP_SPARING) if claim.node.runs_on else run.filter(stop=Stop.NONE)
    return statement(run.exists, patience=WORKER_PATIENCE)


def renew(claims: Sequence[Claim]) -> None:
    """Renew the leases of tasks of one batch, by one statement."""
    statement(lambda: limited(_mine(claims)).update(lease_until=later(director.LEASE)))


@in_transaction(patience=WORKER_PATIENCE)
def put_back(claims: Sequence[Claim]) -> None:
    """Give tasks of one batch back whose code was not called; nothing is spent, and each runs alone then.

    The items of a map with `max_parallel` wait for their turn again. Of a stopped run they are canceled.
    """
    claim = claims[0]
    run, graph, node = claim.run, claim.graph, claim.node
    around = None if node.map_position is None else items.map_of(graph, node)
    if around is not None and has_lanes(around):
        limited(_mine(claims)).update(**transitions.held_back(claim.sequence + 1))
        lanes.refill(run, graph, around)
    else:
        # The supervisor sends their messages, if their run still wants them.
        again = transitions.queued_again(claim.sequence) | {"next_dispatch_at": Now()}
        limited(_mine(claims)).update(**again)
    if advance.is_stopped(run.pk):
        after_commit(partial(stopping.continue_stop, run.pk))


def _mine(claims: Sequence[Claim]) -> TaskQuerySet:
    # The tokens of a batch follow one another, and are in use for no other task.
    tokens = [claim.token for claim in claims]
    mine: TaskQuerySet = Task.objects.filter(pk__in=[claim.task_id for claim in claims]).running()
    return mine.filter(claim__range=(min(tokens), max(tokens)))
