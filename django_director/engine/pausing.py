"""Pause and resume runs: a paused run starts no task, and its running tasks go on.

Pausing changes the run's row and nothing else. A queued task that a worker would start, or the supervisor publish,
is parked then: it stays queued, due in the far future. Resuming makes what is parked due again.
"""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

from django.db.models import F, Q

from django_director.common import failpoints
from django_director.db.functions import Now, moved_on
from django_director.db.transactions import after_commit, statement
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.models.columns import COUNTED_FROM
from django_director.models.querysets import RunQuerySet
from django_director.models.users import User
from django_director.status import STOP_SPARING, RunStatus

from . import history, lineage, parking
from .arguments import checked_run, checked_user, checked_via
from .avoided_runs import work_on_each
from .concurrency import admission

CHUNK: Final = 5_000


def pause(run: Run, *, user: User = None, via: str = "") -> Run:
    """Let a run start nothing more until it is resumed.

    Running tasks go on, as do waits; the time of the pause does not count for the run's own time-out. Django's
    history of the run says that ``user`` did it, and ``via`` what. Returns the run as it is now. Raises
    ``Conflict`` for a run that has an outcome, is being canceled, or is paused already.
    """
    user = checked_user(user, "pause")
    message = history.line("pause", checked_via(via))
    lineage.refuse_child(checked_run(run, "pause"), "paused")
    paused = Run.objects.active().filter(pk=run.pk, stop__in=STOP_SPARING, paused_at=None)
    if not statement(lambda: paused.update(paused_at=Now())):
        raise _conflict(run, "paused")
    after_commit(partial(failpoints.point, "pause.committed"))
    after_commit(partial(_pass_to_children, run.pk))
    run.refresh_from_db()
    history.record(user, run, message)
    return run


def resume(run: Run, *, user: User = None, via: str = "") -> Run:
    """Let a paused run go on. Returns the run as it is now.

    Django's history of the run says that ``user`` did it, and ``via`` what. Raises ``Conflict`` for a run that is
    not paused.
    """
    user = checked_user(user, "resume")
    message = history.line("resume", checked_via(via))
    lineage.refuse_child(checked_run(run, "resume"), "resumed")
    if not statement(partial(_resume, run.pk)):
        raise _conflict(run, "resumed")
    after_commit(partial(failpoints.point, "resume.committed"))
    after_commit(partial(parking.release, run.pk))
    after_commit(partial(_pass_to_children, run.pk))
    run.refresh_from_db()
    if run.status == RunStatus.PENDING:
        after_commit(partial(admission.try_start, run))
        run.refresh_from_db()
    history.record(user, run, message)
    return run


def follow_parent(child_id: UUID) -> bool:
    """Pause or resume a child run as the run of its step is; return whether that changed anything.

    This is done after each change of either run, and again by the supervisor, so that they agree in the end.
    """
    apart = _apart().filter(pk=child_id).values_list("parent_task__run__paused_at", flat=True)
    changed = 0
    for paused_at in statement(lambda: list(apart)):
        if paused_at is None:
            changed = statement(partial(_resume, child_id))
            parking.release(child_id)
            for pending in Run.objects.awaiting_slot().filter(pk=child_id):
                admission.try_start(pending)
        else:
            unpaused = _holdable().filter(pk=child_id, paused_at=None)
            changed = statement(partial(unpaused.update, paused_at=Now()))
    return changed > 0


def follow_parents() -> int:
    """Pause or resume all child runs that differ from the run of their step; return how many changed."""
    return work_on_each(
        list(_apart().values_list("pk", flat=True)[:CHUNK]), follow_parent, lambda child_id: child_id
    )


def _pass_to_children(run_id: UUID) -> None:
    """Pause or resume the child runs of a run as it is, and the child runs of those."""
    level = [run_id]
    while level:
        children = _holdable().filter(parent_task__run__in=level, is_awaited=True)
        level = list(children.values_list("pk", flat=True))
        for child_id in level:
            follow_parent(child_id)


def _apart() -> RunQuerySet:
    """Active child runs that are paused while the run of their step is not, or the other way round."""
    # In the words of an index.
    awaited = _holdable().filter(is_awaited=True, finished_at=None)
    parent = "parent_task__run__paused_at__isnull"
    return awaited.filter(Q(paused_at=None, **{parent: False}) | Q(paused_at__isnull=False, **{parent: True}))


def _holdable() -> RunQuerySet:
    runs: RunQuerySet = Run.objects.active().unstopped()
    return runs


def _resume(run_id: UUID) -> int:
    held = _holdable().filter(pk=run_id, paused_at__isnull=False)
    # In this order: MySQL evaluates assignments one after the other.
    deadline = F("deadline_at") + (Now() - F("paused_at"))
    counted_from = moved_on(COUNTED_FROM, F("paused_at"))
    return held.update(deadline_at=deadline, counted_from=counted_from, paused_at=None)


def _conflict(run: Run, what: str) -> Conflict:
    run.refresh_from_db()
    return Conflict(f"run {run.pk} can't be {what}: its status is {run.shown_status}")
