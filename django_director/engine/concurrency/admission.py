"""Let pending runs start: at most so many of one key at a time, the oldest first.

A run is admitted by writing the lowest free slot of its key: of two that write the same one, the database refuses
one. The slot is emptied in the transaction that ends the run. Who starts a run, and who ends one, tries after the
commit; the supervisor repairs what a dead process has left.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Case, Count, Exists, F, OuterRef, Subquery, When
from django.db.models.functions import Coalesce

from django_director.common import failpoints
from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.lock_limits import each
from django_director.db.transactions import BATCH, after_commit, statement, transact, update_unlocked
from django_director.definitions.model import Concurrency
from django_director.engine import outbox, stopping
from django_director.engine.flow import advance, item_rows
from django_director.graph import replay, roots_of
from django_director.models import Run, Task
from django_director.models.querysets import RunQuerySet
from django_director.status import RunStatus, Stop

SELDOM: Final = 20
"""Behind the first of its key a run is looked at so many times less often: the one before it is looked at."""


def try_start(run: Run) -> None:
    """Let a pending run start if it is its turn; otherwise do what its workflow says about that.

    As well as ``fill``, outside of transactions: what a caller's transaction holds would be waited for.
    """
    fill(run.workflow_id, run.concurrency_key)
    found: Run | None = statement(_read(Run.objects.wanting().filter(pk=run.pk)).first)
    if found is None:
        return
    on_conflict = policy(found).on_conflict
    if on_conflict == "skip":
        stopping.refuse(found.pk, f"skipped: {_blocking(found)}")
    elif on_conflict == "cancel_running" and _cancel_older(found):
        fill(found.workflow_id, found.concurrency_key)


def hand_on(run_id: UUID) -> None:
    """Let the next start after the end of a run."""
    failpoints.point("admit.before")
    row = statement(Run.objects.filter(pk=run_id).values_list("workflow_id", "concurrency_key").first)
    if row is not None:
        fill(*row)


def fill(workflow_id: int, key: str | None) -> int:
    """Let pending runs of a key start while there are slots for them; return how many started."""
    started = 0
    runs = Run.objects.of_key(workflow_id, key)
    for _ in range(BATCH):
        run: Run | None = statement(_read(runs.wanting().order_by("queued_at", "pk")).first)
        if run is None:
            break
        slot = _free_slot(run)
        if slot is None:
            _look_soon(run)
            break
        started += _take(run, slot)
    return started


def admit_due() -> int:
    """Look at pending runs of whose turn nobody may have told; return how many were looked at more closely."""
    runs = list(_with_chances(_read(Run.objects.due_for_admission().order_by("next_admission_at")))[:BATCH])
    first = {run.pk for run in runs if not run.has_before}
    period = look_period()
    _postpone(list(first), period)
    _postpone([run.pk for run in runs if run.pk not in first], period * SELDOM)
    return each(filter(_has_chance, runs), _look_closely, lambda run: run.pk)


def _look_closely(run: Run) -> int:
    try_start(run)
    return 1


def bring_forward(run: Run) -> None:
    """Let a delayed pending run want its slot now."""
    delayed = Run.objects.filter(pk=run.pk, status=RunStatus.PENDING, queued_at__gt=Now())
    statement(lambda: delayed.update(queued_at=Now(), next_admission_at=Now()))


def no_room(run: Run) -> str:
    """Why a finished run that is to go on would be skipped at once; empty when it would not."""
    if run.concurrency_key is None or policy(run).on_conflict != "skip" or _free_slot(run) is not None:
        return ""
    return _blocking(run)


def policy(run: Run) -> Concurrency:
    """What the run's own version says, whatever others of its key were started with."""
    concurrency = run.version.graph.definition.concurrency
    assert concurrency is not None, "only such a run has a key"
    return concurrency


def look_period() -> float:
    """Seconds between two looks of the supervisor at the first run that waits for a key."""
    return min(15.0, float(director.LEASE) / 6)


def _read(runs: RunQuerySet) -> RunQuerySet:
    read: RunQuerySet = runs.select_related("version").defer("payload", "version__source", "version__definition")
    return read


def _holders(run: Run) -> RunQuerySet:
    holders: RunQuerySet = Run.objects.of_key(run.workflow_id, run.concurrency_key).holding()
    return holders


def _free_slot(run: Run) -> int | None:
    """The lowest free slot, if fewer are held than the run's version allows."""
    held = set(statement(lambda: list(_holders(run).values_list("slot", flat=True))))
    if len(held) >= policy(run).limit:
        return None
    return next(slot for slot in count() if slot not in held)


def _take(run: Run, slot: int) -> bool:
    try:
        return transact(partial(_admit, run, slot))
    except IntegrityError:
        # Somebody else has just taken the slot.
        return False


def _admit(run: Run, slot: int) -> bool:
    graph = run.version.graph
    wanting = Run.objects.wanting().filter(pk=run.pk, generation=run.generation)
    admitted = wanting.update(
        status=RunStatus.RUNNING,
        slot=slot,
        next_admission_at=None,
        started_at=Coalesce("started_at", Now()),
        deadline_at=_deadline(run, graph.definition.timeout),
    )
    if not admitted:
        return False
    failpoints.point("admit.updated")
    after_commit(partial(failpoints.point, "admit.committed"))
    if run.generation == 0:
        outbox.queue(run, graph, roots_of(graph))
    else:
        item_rows.begin_all(run, graph)
        rows = Task.objects.filter(run_id=run.pk).nodes().values_list("position", "status")
        advance.carry_out(run, graph, replay(graph, dict(rows)).found)
    return True


def _deadline(run: Run, timeout: float | None) -> Any:
    """That of a run that begins now. The time that its step gives a child run counts since its creation."""
    if run.parent_task_id is None:
        return None if timeout is None else later(timeout)
    if timeout is None:
        return F("deadline_at")
    return Case(When(deadline_at__lt=later(timeout), then=F("deadline_at")), default=later(timeout))


def _look_soon(run: Run) -> None:
    """Let the supervisor look at who is first now: whoever should tell of a free slot may die."""
    period = look_period()
    later_than_that = Run.objects.filter(pk=run.pk, next_admission_at__gt=later(period))
    statement(lambda: later_than_that.update(next_admission_at=later(period)))


def _postpone(chosen: list[UUID], seconds: float) -> None:
    pending = Run.objects.filter(pk__in=chosen)
    update_unlocked(pending, lambda runs: runs.due_for_admission().update(next_admission_at=later(seconds)))


def _with_chances(runs: RunQuerySet) -> RunQuerySet:
    own = Run.objects.of_key(OuterRef("workflow_id"), OuterRef("concurrency_key"))
    held = own.holding().order_by().values("workflow_id").annotate(number=Count("pk")).values("number")
    before = own.wanting().queued_before(OuterRef("queued_at"), OuterRef("pk"))
    found: RunQuerySet = runs.annotate(held=Coalesce(Subquery(held), 0), has_before=Exists(before))
    return found


def _has_chance(run: Any) -> bool:
    if run.stop != Stop.NONE or run.paused_at is not None:
        return False
    concurrency = policy(run)
    return concurrency.on_conflict != "queue" or (not run.has_before and run.held < concurrency.limit)


def _cancel_older(run: Run) -> int:
    """Cancel the active runs of the key that were there before; return how many that were."""
    own = Run.objects.filter(pk=run.pk).values("queued_at")[:1]
    older = Run.objects.of_key(run.workflow_id, run.concurrency_key).active().unstopped()
    chosen = statement(lambda: list(older.queued_before(Subquery(own), run.pk).values_list("pk", flat=True)))
    return sum(stopping.give_way(pk, f"canceled: run {run.pk} has taken its place") for pk in chosen)


def _blocking(run: Run) -> str:
    """Who holds the slots, in words."""
    holder, *others = statement(lambda: list(_holders(run).order_by("slot").values_list("pk", flat=True))) or [
        None
    ]
    more = f" and {len(others)} more" if others else ""
    key = " of its key" if run.concurrency_key else ""
    return f"run {holder}{more}{key} had not ended" if holder else "another run came first"
