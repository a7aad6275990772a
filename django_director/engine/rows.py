"""The rows of a new run, in a fixed number of statements for each thousand of its tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from django_director import ids
from django_director.clock import Now, later
from django_director.conf import director
from django_director.graph import Graph, Span, Tally
from django_director.inserts import Insert, InsertMany, as_text
from django_director.models import Gate, Run, Task
from django_director.prepared import UUID_FIELD, Param, prepared
from django_director.status import RunStatus, TaskStatus

from . import outbox

State = tuple[str, int, str | None, str | None, str | None, str | None]

TASK_COLUMNS: Final = (
    *("id", "position", "step", "name", "queue"),
    *("status", "sequence", "queued_at", "next_dispatch_at", "not_before", "finished_at"),
)
"""In which the tasks of a new run differ; the last six are a ``State``."""
PENDING: Final[State] = (TaskStatus.PENDING, 0, None, None, None, None)
MOMENT: Final[Any] = Task._meta.get_field("not_before")


def insert_run(run: Run, timeout: float | None, not_before: datetime | None) -> None:
    """Insert the run and set its times to those of the database.

    The time until a delayed start does not count for its ``timeout``.
    """
    if run.status == RunStatus.PENDING:
        _insert_pending(run, not_before)
        return
    if timeout is not None and not_before is not None:
        run.deadline_at, timeout = not_before + timedelta(seconds=timeout), None
    values = {field.attname: getattr(run, field.attname) for field in Run._meta.concrete_fields}
    run.created_at = run.started_at = _inserting_run(run.is_finished, timeout).execute(**values)
    run.finished_at = run.created_at if run.is_finished else None
    if timeout is not None:
        run.deadline_at = run.created_at + timedelta(seconds=timeout)
    run._state.adding, run._state.db = False, director.DATABASE


def insert_tasks(run: Run, graph: Graph, not_before: datetime | None) -> None:
    """Insert all tasks: those that are ready are queued, or wait until ``not_before``."""
    _inserting_tasks().execute(_task_rows(run, graph, not_before), run=run.pk)


def insert_gates(run_id: UUID, graph: Graph, tallies: Sequence[Tally]) -> None:
    """Insert the counters of the joins, which have counted this much."""
    counted = ((gate, tallies[gate.seq]) for gate in graph.gates)
    rows = ((gate.seq, gate.total - tally.ended, tally.failed, tally.skipped) for gate, tally in counted)
    _inserting_gates().execute(rows, run=run_id)


def _insert_pending(run: Run, not_before: datetime | None) -> None:
    """The same for a run that waits for a slot; who inserts it tries to get one after the commit."""
    run.queued_at = run.next_admission_at = not_before
    values = {field.attname: getattr(run, field.attname) for field in Run._meta.concrete_fields}
    run.created_at = _inserting_pending(not_before is not None, director.DISPATCH_GRACE).execute(**values)
    if not_before is None:
        run.queued_at = run.created_at
        run.next_admission_at = run.created_at + timedelta(seconds=director.DISPATCH_GRACE)
    run._state.adding, run._state.db = False, director.DATABASE


@prepared
def _inserting_pending(is_delayed: bool, grace: float) -> Insert:
    now = {} if is_delayed else {"queued_at": Now(), "next_admission_at": later(grace)}
    return Insert(Run, **_given(but=("slot",)) | {"created_at": Now()} | now)


def _given(but: Collection[str]) -> dict[str, Param]:
    return {f.attname: Param(f.attname, f) for f in Run._meta.concrete_fields if f.attname not in but}


@prepared
def _inserting_run(is_finished: bool, timeout: float | None) -> Insert:
    given = _given(but=("slot", "queued_at", "next_admission_at"))
    now = ("created_at", "started_at", "finished_at") if is_finished else ("created_at", "started_at")
    deadline = {} if timeout is None else {"deadline_at": later(timeout)}
    return Insert(Run, **given | dict.fromkeys(now, Now()) | deadline)


@prepared
def _inserting_tasks() -> InsertMany:
    return InsertMany(Task, TASK_COLUMNS, run_id=Param("run", UUID_FIELD))


@prepared
def _inserting_gates() -> InsertMany:
    columns = ("seq", "remaining", str(TaskStatus.FAILED), str(TaskStatus.SKIPPED))
    return InsertMany(Gate, columns, run_id=Param("run", UUID_FIELD))


def _task_rows(run: Run, graph: Graph, not_before: datetime | None) -> Iterator[tuple[str | int | None, ...]]:
    """The values of ``TASK_COLUMNS``, made as they are needed: a run may have 100,000 tasks."""
    for node, state in zip(graph.nodes, _states(run, graph, not_before), strict=True):
        yield (ids.task_hex(run.pk, node.position), node.position, node.step.id, node.name, node.queue, *state)


def _states(run: Run, graph: Graph, not_before: datetime | None) -> Iterator[State]:
    """The state of each task, in order of position."""
    ready = _ready_states(run, not_before)
    decided: list[tuple[Span, Iterator[State]]] = [(span, ready) for span in graph.roots]
    for status, spans in graph.beginning.found.settled.items():
        settled: State = (status, 0, None, None, None, as_text(MOMENT, run.created_at))
        decided += [(span, repeat(settled)) for span in spans]
    position = 0
    for (start, stop), states in sorted(decided, key=itemgetter(0)):
        yield from repeat(PENDING, start - position)
        yield from islice(states, stop - start)
        position = stop
    yield from repeat(PENDING, len(graph.nodes) - position)


def _ready_states(run: Run, not_before: datetime | None) -> Iterator[State]:
    """The state of each task that is ready at the start, in order of position."""
    if run.status == RunStatus.PENDING:
        return repeat(PENDING)
    if not_before is not None:
        return repeat((TaskStatus.WAITING, 0, None, None, as_text(MOMENT, not_before), None))
    now, sequence = run.created_at, outbox.first_sequence(0)
    grace = now + timedelta(seconds=director.DISPATCH_GRACE)
    published, due = (
        (TaskStatus.QUEUED, sequence, as_text(MOMENT, now), as_text(MOMENT, next_dispatch_at), None, None)
        for next_dispatch_at in (grace, now)
    )
    return chain(repeat(published, outbox.INLINE), repeat(due))
