"""Retention: finished runs that are not to be kept are deleted, in transactions of bounded size.

A run of many tasks takes several transactions. The first one marks it as being deleted, so that it can't be
retried any more. If the process dies, the next one goes on with the run.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final
from uuid import UUID

from django.db.models import ProtectedError, Q, QuerySet, RestrictedError

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.lock_limits import bounded
from django_director.db.transactions import in_transaction, statement, transact
from django_director.engine import lineage
from django_director.engine.avoided_runs import work_on_each
from django_director.models import Gate, Lease, Run, Task, Workflow
from django_director.status import Stop

logger = logging.getLogger(__name__)

CHUNK: Final = 1_000
"""Rows of one transaction."""
PAGE: Final = 100
"""Runs looked up at a time."""
DAY: Final = 86_400.0
ALL: Final = -1
CLEANING: Final = "retention"
"""The name of the row of ``Lease`` that says when a supervisor has cleaned last."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A finished run is deleted if it is not among the last ``offset`` (-1: no limit), or older than ``days``."""

    offset: int
    days: float | None

    @classmethod
    def of(cls, workflow: Workflow) -> Rule:
        """Return the rule of a workflow, or of the project if the workflow has none."""
        offset, days = workflow.retention_offset, workflow.retention_days
        if offset is None and days is None:
            offset, days = director.RETENTION.get("offset"), director.RETENTION.get("days")
        return cls(ALL if offset is None else offset, days)

    def condition(self, runs: QuerySet[Run]) -> Q | None:
        """Return which of ``runs`` are to be deleted; ``None`` if none is. One query if there is an offset."""
        found: list[Q] = []
        if self.days is not None:
            found.append(Q(finished_at__lt=later(-self.days * DAY)))
        if self.offset != ALL:
            found += _beyond(runs, self.offset)
        if not found:
            return None
        return found[0] if len(found) == 1 else found[0] | found[1]


def clean(*, dry_run: bool = False, limit: int | None = None, seconds: float | None = None) -> dict[str, int]:
    """Delete the runs that are due; return the number of deleted root runs, by workflow.

    Stops after ``limit`` root runs or ``seconds``, whichever comes first, and goes on at the next call. Active
    runs are never touched, and child runs go with their root.
    """
    due = islice(_due(), limit)
    if dry_run:
        return dict(Counter(name for name, _ in due))
    is_late = _alarm(seconds)
    counts: Counter[str] = Counter()
    with bounded():
        for name, run in due:
            if work_on_each([run], partial(_delete, is_late=is_late), lambda run: run):
                counts[name] += 1
            if is_late():
                break
    return dict(counts)


def note_cleaning(name: str) -> None:
    """Write that the supervisor ``name`` has deleted what was due."""
    mine = {"holder": name, "until": Now(), "beat_at": Now()}
    own = Lease.objects.filter(name=CLEANING)
    if not statement(lambda: own.update(**mine)):
        statement(lambda: Lease.objects.bulk_create([Lease(name=CLEANING, **mine)], ignore_conflicts=True))


def _due() -> Iterator[tuple[str, UUID]]:
    """Every root run that is to be deleted, with its workflow's name."""
    yield from Run.objects.roots().being_deleted().order_by("pk").values_list("workflow__name", "pk")
    for workflow in Workflow.objects.order_by("name"):
        runs = Run.objects.roots().finished().exclude(stop=Stop.DELETE).filter(workflow=workflow)
        condition = Rule.of(workflow).condition(runs)
        if condition is not None:
            yield from ((workflow.name, pk) for pk in _pages(runs.filter(condition)))


def _pages(runs: QuerySet[Run]) -> Iterator[UUID]:
    """Yield the ids of runs, oldest first. They are read in pages, as there may be millions."""
    last = None
    while True:
        page = runs.order_by("pk") if last is None else runs.order_by("pk").filter(pk__gt=last)
        found = list(page.values_list("pk", flat=True)[:PAGE])
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1]


def _beyond(runs: QuerySet[Run], offset: int) -> list[Q]:
    """Return the condition for all but the ``offset`` runs that finished last."""
    ordered = runs.order_by("-finished_at", "-pk").values_list("finished_at", "pk")
    first = ordered[offset : offset + 1].first()
    if first is None:
        return []
    finished_at, pk = first
    return [Q(finished_at__lt=finished_at) | Q(finished_at=finished_at, pk__lte=pk)]


def _delete(root: UUID, is_late: Callable[[], bool]) -> bool:
    """Delete a root run with its child runs; return ``False`` if they can't all be deleted now."""
    runs = [root, *lineage.descendants(root)]
    if _is_active(runs):
        return False
    marked = Run.objects.finished().filter(pk=root)
    if not transact(lambda: marked.update(stop=Stop.DELETE)):
        return False
    try:
        # The deepest first: a child refers to its parent's task.
        return all(_delete_run(root, run, is_late) for run in reversed(runs))
    except (ProtectedError, RestrictedError) as error:
        logger.warning(
            "Run %s is kept: something of the project's own refers to it (%s).",
            root,
            error.args[0],
            extra={"action": "retention", "run_id": str(root)},
        )
        return False


def _is_active(runs: list[UUID]) -> bool:
    """Whether a run or a task of ``runs`` is active: hooks and child runs may be when the root has ended."""
    active, tasks = Run.objects.active(), Task.objects.active()
    return active.filter(pk__in=runs).exists() or tasks.filter(run__in=runs).exists()


def _delete_run(root: UUID, run: UUID, is_late: Callable[[], bool]) -> bool:
    for rows in (Task.objects.filter(run=run), Gate.objects.filter(run=run)):
        while _delete_chunk(root, rows) == CHUNK:
            if is_late():
                return False
    return bool(_delete_row(root, run))


@in_transaction()
def _delete_chunk(root: UUID, rows: QuerySet[Any]) -> int:
    if not _lock_root(root):
        return 0
    chunk = list(rows.values_list("pk", flat=True)[:CHUNK])
    # Only ids are loaded. Attempts, and whatever else refers to a task, go by Django's own rules.
    rows.model._default_manager.filter(pk__in=chunk).only("pk").delete()
    return len(chunk)


@in_transaction()
def _delete_row(root: UUID, run: UUID) -> int:
    if not _lock_root(root):
        return 0
    deleted, _ = Run.objects.filter(pk=run).only("pk").delete()
    return deleted


def _lock_root(root: UUID) -> int:
    """Lock a root run against others that delete it; return 0 if another one has deleted it."""
    return Run.objects.being_deleted().filter(pk=root).update(stop=Stop.DELETE)


def _alarm(seconds: float | None) -> Callable[[], bool]:
    end = None if seconds is None else time.monotonic() + seconds
    return lambda: end is not None and time.monotonic() >= end
