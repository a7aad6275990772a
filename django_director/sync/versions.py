"""Stores the definitions of the workflow files as rows: workflows, their versions and their schedules.

The content of a definition is stored once, under its hash: a file that returns to an earlier content reuses that
version.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from django.db.models import Max
from django.utils import timezone

from django_director.db.functions import Now
from django_director.db.transactions import transact
from django_director.definitions import Definition, Retention, as_json, content_hash
from django_director.exceptions import InvalidDefinitions
from django_director.models import Lease, Workflow, WorkflowVersion
from django_director.models.querysets import WorkflowQuerySet
from django_director.schedules import beat_rows

from . import project
from .broken_schedules import broken_schedules
from .orphans import orphaned_tasks

LOCK: Final = "sync"
SYNC_PATIENCE: Final = 30.0
"""For how many seconds a sync is tried again if another sync, or a busy database, is in its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a sync has done, or would do: names of workflows, with what has changed in brackets."""

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    unchanged: Sequence[str] = ()
    deactivated: Sequence[str] = ()
    schedules: Sequence[str] = ()
    """The names of periodic tasks, with what happens to them in brackets."""
    warnings: Sequence[str] = ()
    """Active runs that need a task which no longer exists, and schedules that can't start a run any more."""

    @property
    def is_due(self) -> bool:
        """Whether the database differs from the files."""
        return bool(self.added or self.changed or self.deactivated or self.schedules)


def sync(*, dry_run: bool = False) -> SyncReport:
    """Store the workflows of the files; with ``dry_run`` write nothing.

    Raises ``InvalidDefinitions`` if the files have problems; then nothing has changed.
    """
    reading = project.read_project()
    if reading.problems:
        raise InvalidDefinitions(reading.problems)
    report = store(reading.definitions, dry_run=dry_run)
    known = project.known_tasks()
    orphaned = [] if known is None else orphaned_tasks(known)
    return replace(report, warnings=[*orphaned, *broken_schedules(reading.definitions)])


def store(definitions: Iterable[Definition], *, dry_run: bool = False) -> SyncReport:
    """Store these definitions and deactivate all other workflows, in one transaction.

    Of two calls at the same time the second waits for the first. With ``dry_run`` nothing is written.
    """
    wanted = {definition.name: definition for definition in definitions}
    if dry_run:
        return _Sync.of(wanted).report()
    return transact(partial(_store, wanted), patience=SYNC_PATIENCE)


def _store(wanted: dict[str, Definition]) -> SyncReport:
    _lock()
    work = _Sync.of(wanted)
    report = work.report()
    work.write()
    return report


def _lock() -> None:
    """Lock the row of syncs, so that one sync works at a time.

    It is a write because a transaction of SQLite should begin with one.
    """
    mine = {"holder": f"{socket.gethostname()}:{os.getpid()}", "until": Now(), "beat_at": Now()}
    if not Lease.objects.filter(name=LOCK).update(**mine):
        Lease.objects.bulk_create([Lease(name=LOCK, **mine)], ignore_conflicts=True)
        Lease.objects.filter(name=LOCK).update(**mine)


@dataclass(slots=True)
class _Entry:
    """One definition and its row, with the reasons for which the row is to be changed."""

    definition: Definition
    hash: str
    row: Workflow | None
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, definition: Definition, row: Workflow | None) -> _Entry:
        entry = cls(definition, content_hash(definition), row)
        if row is not None:
            entry.reasons = list(entry._differences(row))
        return entry

    def _differences(self, row: Workflow) -> Iterable[str]:
        if not self.has_version:
            yield "definition"
        if not row.is_active:
            yield "active again"
        if (row.retention_offset, row.retention_days) != self.retention:
            yield "retention"

    @property
    def has_version(self) -> bool:
        version = None if self.row is None else self.row.current_version
        return version is not None and version.content_hash == self.hash

    @property
    def retention(self) -> tuple[int | None, int | None]:
        retention = self.definition.retention or Retention()
        return retention.offset, retention.days

    def __str__(self) -> str:
        return f"{self.definition.name} ({', '.join(self.reasons)})"


@dataclass(slots=True)
class _Sync:
    """The differences between the files and the rows."""

    entries: list[_Entry]
    gone: list[Workflow]
    schedules: list[beat_rows.Change]

    @classmethod
    def of(cls, wanted: dict[str, Definition]) -> _Sync:
        rows = {row.name: row for row in _workflows()}
        return cls(
            entries=[_Entry.of(wanted[name], rows.get(name)) for name in sorted(wanted)],
            gone=[row for name, row in rows.items() if row.is_active and name not in wanted],
            schedules=beat_rows.plan_changes(wanted.values()),
        )

    def report(self) -> SyncReport:
        return SyncReport(
            added=[entry.definition.name for entry in self.entries if entry.row is None],
            changed=[str(entry) for entry in self.changed],
            unchanged=[entry.definition.name for entry in self.entries if entry.row and not entry.reasons],
            deactivated=[row.name for row in self.gone],
            schedules=[str(change) for change in self.schedules],
        )

    @property
    def changed(self) -> list[_Entry]:
        return [entry for entry in self.entries if entry.row and entry.reasons]

    def write(self) -> None:
        touched = [entry for entry in self.entries if entry.row is None or entry.reasons]
        if touched:
            _insert_workflows(touched)
            _set_versions([entry for entry in touched if not entry.has_version])
            _update_workflows(touched)
        if self.gone:
            gone = [row.pk for row in self.gone]
            Workflow.objects.filter(pk__in=gone).update(is_active=False, updated_at=timezone.now())
        beat_rows.apply_changes(self.schedules)


def _workflows() -> WorkflowQuerySet:
    """Return the workflows with their current versions, without the definitions."""
    return (
        Workflow.objects.select_related("current_version")
        .defer("current_version__definition", "current_version__source")
        .order_by("name")
    )


def _insert_workflows(entries: Sequence[_Entry]) -> None:
    new = [entry for entry in entries if entry.row is None]
    Workflow.objects.bulk_create([Workflow(name=entry.definition.name) for entry in new])
    # Not every database returns the ids of new rows.
    rows = {row.name: row for row in _workflows().filter(name__in=[e.definition.name for e in new])} if new else {}
    for entry in new:
        entry.row = rows[entry.definition.name]


def _set_versions(entries: Sequence[_Entry]) -> None:
    """Set the current version of each row: the earlier version with the definition's hash, or a new one."""
    known = _versions(entries)
    missing = [entry for entry in entries if _key(entry) not in known]
    if missing:
        _insert_versions(missing)
        known = _versions(entries)
    for entry in entries:
        _row(entry).current_version = known[_key(entry)]


def _insert_versions(entries: Sequence[_Entry]) -> None:
    rows = [_row(entry).pk for entry in entries]
    numbers = WorkflowVersion.objects.filter(workflow__in=rows).values_list("workflow").annotate(Max("number"))
    last = dict(numbers.order_by())
    WorkflowVersion.objects.bulk_create(
        [
            WorkflowVersion(
                workflow=_row(entry),
                number=last.get(_row(entry).pk, 0) + 1,
                content_hash=entry.hash,
                definition=as_json(entry.definition),
                source=entry.definition.source,
                path=entry.definition.place.path[-500:],
            )
            for entry in entries
        ]
    )


def _update_workflows(entries: Sequence[_Entry]) -> None:
    for entry in entries:
        row = _row(entry)
        row.is_active = True
        row.retention_offset, row.retention_days = entry.retention
        row.allowed_groups = list(entry.definition.allowed_groups)
        row.updated_at = timezone.now()
    fields = [
        *("current_version", "is_active", "retention_offset", "retention_days", "allowed_groups"),
        "updated_at",
    ]
    Workflow.objects.bulk_update([_row(entry) for entry in entries], fields, batch_size=500)


def _versions(entries: Sequence[_Entry]) -> dict[tuple[Any, str], WorkflowVersion]:
    found = WorkflowVersion.objects.filter(
        workflow__in=[_row(entry).pk for entry in entries], content_hash__in=[entry.hash for entry in entries]
    )
    return {(row.workflow_id, row.content_hash): row for row in found.defer("definition", "source")}


def _key(entry: _Entry) -> tuple[Any, str]:
    return _row(entry).pk, entry.hash


def _row(entry: _Entry) -> Workflow:
    assert entry.row is not None
    return entry.row


def write(report: SyncReport, line: Callable[[str], object]) -> None:
    """Call ``line`` with each line of a report as text."""
    for name in report.added:
        line(f"added        {name}")
    for name in report.changed:
        line(f"changed      {name}")
    for name in report.deactivated:
        line(f"deactivated  {name}")
    for name in report.schedules:
        line(f"schedule     {name}")
    line(f"unchanged    {len(report.unchanged)}")
