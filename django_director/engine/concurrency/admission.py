"""Admission: pending runs start, the oldest first, as long as their key has a free slot.

A run is admitted by writing the lowest free slot of its key into its row. If two runs write the same slot, the
database refuses one of them. The transaction that ends a run frees its slot. A process that starts or ends a run
admits runs after the commit; the supervisor does it where such a process has died.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Case, Count, Exists, F, OuterRef, Subquery, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from django_director.common import failpoints
from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.transactions import (
    BATCH,
    after_commit,
    in_transaction,
    statement,
    update_unlocked,
)
from django_director.definitions import Concurrency
from django_director.engine import outbox, reactions, stopping, transitions
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.flow import advance, item_rows
from django_director.engine.outbox import RunRef
from django_director.graph import replay, roots_of
from django_director.models import Run, Task
from django_director.models.querysets import RunQuerySet
from django_director.status import RunStatus, Stop

SELDOM: Final = 20
"""Pending runs that are not the first of their key are tried so many times less often."""


def try_start(run: Run) -> None:
    """Let a pending run start if it is its turn; otherwise do what `on_conflict` of its workflow says.

    Call this, and ``fill``, outside of transactions: others would wait for what the transaction has locked.
    """
    fill(run.workflow_id, run.concurrency_key)
    found: Run | None = statement(_with_version(Run.objects.awaiting_slot().filter(pk=run.pk)).first)
    if found is None:
        return
    on_conflict = policy(found).on_conflict
    if on_conflict == "skip":
        stopping.refuse(found.pk, f"skipped: {_blocking(found)}")
    elif on_conflict == "cancel_running" and _cancel_older(found):
        fill(found.workflow_id, found.concurrency_key)


@reactions.slot_freed.register
def admit_next_after(run: RunRef) -> None:
    """Let the next run of the same key start as soon as the end of ``run`` is committed."""
    after_commit(partial(admit_next, run.pk))


def admit_next(run_id: UUID) -> None:
    """Let the next run of the key of an ended run start."""
    failpoints.point("admit.before")
    row = statement(Run.objects.filter(pk=run_id).values_list("workflow_id", "concurrency_key").first)
    if row is not None:
        fill(*row)


def fill(workflow_id: int, key: str | None) -> int:
    """Let pending runs of a key start as long as slots are free; return how many started."""
    started = 0
    runs = Run.objects.of_key(workflow_id, key)
    for _ in range(BATCH):
        run: Run | None = statement(_with_version(runs.awaiting_slot().order_by("queued_at", "pk")).first)
        if run is None:
            break
        slot = _free_slot(run)
        if slot is None:
            _poll_soon(run)
            break
        started += _take(run, slot)
    return started


def admit_due() -> int:
    """Try to start pending runs whose turn may have been missed; return how many were tried."""
    runs = list(
        _with_chances(_with_version(Run.objects.due_for_admission().order_by("next_admission_at")))[:BATCH]
    )
    first = {run.pk for run in runs if not run.has_before}
    period = poll_period()
    _postpone(list(first), period)
    _postpone([run.pk for run in runs if run.pk not in first], period * SELDOM)
    return work_on_each(filter(_has_chance, runs), _admit, lambda run: run.pk)


def _admit(run: Run) -> int:
    try_start(run)
    return 1


def bring_forward(run: Run) -> None:
    """End the delay of a pending run: it wants a slot from now on."""
    delayed = Run.objects.filter(pk=run.pk, status=RunStatus.PENDING, queued_at__gt=Now())
    statement(lambda: delayed.update(queued_at=Now(), next_admission_at=Now()))


def no_room(run: Run) -> str:
    """Say why a finished run that is to go on would be skipped at once; empty if it would not."""
    if run.concurrency_key is None or policy(run).on_conflict != "skip" or _free_slot(run) is not None:
        return ""
    return _blocking(run)


def policy(run: Run) -> Concurrency:
    """`concurrency` of the run's own version. Other runs of its key may have other versions."""
    concurrency = run.version.graph.definition.concurrency
    assert concurrency is not None, "only such a run has a key"
    return concurrency


def poll_period() -> float:
    """How often, in seconds, the supervisor tries to start the first pending run of a key."""
    return min(15.0, float(director.LEASE) / 6)


def _with_version(runs: RunQuerySet) -> RunQuerySet:
    read: RunQuerySet = runs.select_related("version").defer("payload", "version__source", "version__definition")
    return read


def _holders(run: Run) -> RunQuerySet:
    holders: RunQuerySet = Run.objects.of_key(run.workflow_id, run.concurrency_key).holding_slot()
    return holders


def _free_slot(run: Run) -> int | None:
    """Return the lowest free slot of the run's key; ``None`` if as many are held as the run's version allows."""
    held = set(statement(lambda: list(_holders(run).values_list("slot", flat=True))))
    if len(held) >= policy(run).limit:
        return None
    return next(slot for slot in count() if slot not in held)


def _take(run: Run, slot: int) -> bool:
    try:
        return _write_admission(run, slot)
    except IntegrityError:
        # Somebody else has just taken the slot.
        return False


@in_transaction()
def _write_admission(run: Run, slot: int) -> bool:
    graph = run.version.graph
    wanting = Run.objects.awaiting_slot().filter(pk=run.pk, generation=run.generation)
    if not wanting.update(**transitions.run_admitted(slot, _deadline(run, graph.definition.timeout))):
        return False
    failpoints.point("admit.updated")
    after_commit(partial(failpoints.point, "admit.committed"))
    if run.generation == 0:
        outbox.queue(run, graph, roots_of(graph))
    else:
        item_rows.begin_all_items(run, graph)
        rows = Task.objects.filter(run_id=run.pk).nodes().values_list("position", "status")
        advance.apply_consequences(run, graph, replay(graph, dict(rows)).found)
    return True


def _deadline(run: Run, timeout: float | None) -> Combinable | None:
    """Return the deadline of a run that begins now; a step's time for a child run counts since its creation."""
    if run.parent_task_id is None:
        return None if timeout is None else later(timeout)
    if timeout is None:
        return F("deadline_at")
    return Case(When(deadline_at__lt=later(timeout), then=F("deadline_at")), default=later(timeout))


def _poll_soon(run: Run) -> None:
    """Let the supervisor try a run soon, as the process that frees a slot may die before it admits the run."""
    period = poll_period()
    later_than_that = Run.objects.filter(pk=run.pk, next_admission_at__gt=later(period))
    statement(lambda: later_than_that.update(next_admission_at=later(period)))


def _postpone(chosen: list[UUID], seconds: float) -> None:
    pending = Run.objects.filter(pk__in=chosen)
    update_unlocked(pending, lambda runs: runs.due_for_admission().update(next_admission_at=later(seconds)))


def _with_chances(runs: RunQuerySet) -> RunQuerySet:
    own = Run.objects.of_key(OuterRef("workflow_id"), OuterRef("concurrency_key"))
    held = own.holding_slot().order_by().values("workflow_id").annotate(number=Count("pk")).values("number")
    before = own.awaiting_slot().queued_before(OuterRef("queued_at"), OuterRef("pk"))
    found: RunQuerySet = runs.annotate(held=Coalesce(Subquery(held), 0), has_before=Exists(before))
    return found


def _has_chance(run: Any) -> bool:
    if run.stop != Stop.NONE or run.paused_at is not None:
        return False
    concurrency = policy(run)
    return concurrency.on_conflict != "queue" or (not run.has_before and run.held < concurrency.limit)


def _cancel_older(run: Run) -> int:
    """Cancel the active runs of the key that are older than ``run``; return how many."""
    own = Run.objects.filter(pk=run.pk).values("queued_at")[:1]
    older = Run.objects.of_key(run.workflow_id, run.concurrency_key).active().unstopped()
    chosen = statement(lambda: list(older.queued_before(Subquery(own), run.pk).values_list("pk", flat=True)))
    return sum(stopping.supersede(pk, f"canceled: run {run.pk} has taken its place") for pk in chosen)


def _blocking(run: Run) -> str:
    """Say in words which runs hold the slots."""
    holder, *others = statement(lambda: list(_holders(run).order_by("slot").values_list("pk", flat=True))) or [
        None
    ]
    more = f" and {len(others)} more" if others else ""
    key = " of its key" if run.concurrency_key else ""
    return f"run {holder}{more}{key} had not ended" if holder else "another run came first"
