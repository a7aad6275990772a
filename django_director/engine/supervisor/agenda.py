"""The agenda of a tick: one query says which parts of the supervisor's work have something to do."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Subquery

from django_director.db.compiled import TEXT, Param, Select, prepared
from django_director.db.functions import Now
from django_director.models import Lease, Run, Task, UnwrittenOutcome


class Due(NamedTuple):
    """Which parts of the work of a tick have something to do, and whether tasks are under way."""

    waking: bool = True
    publishing: bool = True
    stopping: bool = True
    closing: bool = True
    ending: bool = True
    firing: bool = True
    admitting: bool = True
    reporting: bool = True
    writing: bool = True
    in_queue: bool = True
    in_work: bool = True
    delayed: bool = True

    @property
    def is_idle(self) -> bool:
        """Whether no task is queued, running or waiting for a retry. Waits and approvals do not count."""
        return not (self.in_queue or self.in_work or self.delayed)


def poll(lease: str) -> Due:
    """Ask what is due, in one query for the row of the lease; without that row everything counts as due."""
    rows = _polling().rows(lease=lease)
    return Due(*(value is not None for value in rows[0])) if rows else Due()


@prepared
def _polling() -> Select:
    # The first in the order of its index, not EXISTS: a database might think it quicker to read the table.
    firsts = {
        "waking": Task.objects.waiting().filter(not_before__lte=Now()).order_by("not_before").values("not_before"),
        "publishing": Task.objects.queued()
        .filter(next_dispatch_at__lte=Now())
        .order_by("next_dispatch_at")
        .values("next_dispatch_at"),
        "stopping": Run.objects.overdue().order_by("deadline_at").values("deadline_at"),
        "closing": Run.objects.stopping().order_by("stop").values("stop"),
        # Any will do. Only when it reads the index in its order does PostgreSQL mark the entries of tasks that
        # have ended, to read them no more; else each look would read them all until the next vacuum.
        "ending": Task.objects.all_running()
        .filter(deadline_at__lte=Now())
        .order_by("lease_until")
        .values("deadline_at"),
        "firing": Task.objects.waiting()
        .filter(deadline_at__lte=Now())
        .order_by("deadline_at")
        .values("deadline_at"),
        "admitting": Run.objects.due_for_admission().order_by("next_admission_at").values("next_admission_at"),
        "reporting": Run.objects.reporting().order_by("finished_at").values("finished_at"),
        "writing": UnwrittenOutcome.objects.order_by("created_at").values("created_at"),
        "in_queue": Task.objects.all_queued().order_by("next_dispatch_at").values("next_dispatch_at"),
        "in_work": Task.objects.all_running().order_by("lease_until").values("lease_until"),
        "delayed": Task.objects.waiting()
        .filter(not_before__isnull=False)
        .order_by("not_before")
        .values("not_before"),
    }
    columns = {name: Subquery(rows[:1]) for name, rows in firsts.items()}
    return Select(Lease.objects.filter(name=Param("lease", TEXT)).annotate(**columns).values_list(*columns))
