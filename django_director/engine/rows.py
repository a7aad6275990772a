"""The rows of a new run, in a fixed number of statements for each thousand of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import Any, Final

from django_director import ids
from django_director.clock import Now
from django_director.conf import director
from django_director.graph import Graph
from django_director.inserts import Insert, InsertMany, as_text
from django_director.models import Gate, Run, Task
from django_director.prepared import UUID_FIELD, Param, prepared
from django_director.status import TaskStatus

from . import outbox

State = tuple[str, int, str | None, str | None, str | None]

TASK_COLUMNS: Final = (
    *("id", "position", "step", "name", "queue"),
    *("status", "sequence", "queued_at", "next_dispatch_at", "not_before"),
)
"""In which the tasks of a new run differ; the last five are a ``State``."""
PENDING: Final[State] = (TaskStatus.PENDING, 0, None, None, None)


def insert_run(run: Run) -> None:
    """Insert the run and set its times to those of the database."""
    values = {field.attname: getattr(run, field.attname) for field in Run._meta.concrete_fields}
    run.created_at = run.started_at = _inserting_run(run.is_finished).execute(**values)
    run.finished_at = run.created_at if run.is_finished else None
    run._state.adding, run._state.db = False, director.DATABASE


def insert_tasks(run: Run, graph: Graph, not_before: datetime | None) -> None:
    """Insert all tasks: those that are ready are queued, or wait until ``not_before``."""
    _inserting_tasks().execute(_task_rows(run, graph, not_before), run=run.pk)


def insert_gates(run: Run, graph: Graph) -> None:
    """Insert the counters of the joins."""
    _inserting_gates().execute(((gate.seq, gate.total) for gate in graph.gates), run=run.pk)


@prepared
def _inserting_run(is_finished: bool) -> Insert:
    given = {field.attname: Param(field.attname, field) for field in Run._meta.concrete_fields}
    now = ("created_at", "started_at", "finished_at") if is_finished else ("created_at", "started_at")
    return Insert(Run, **given | dict.fromkeys(now, Now()))


@prepared
def _inserting_tasks() -> InsertMany:
    return InsertMany(Task, TASK_COLUMNS, run_id=Param("run", UUID_FIELD))


@prepared
def _inserting_gates() -> InsertMany:
    return InsertMany(Gate, ("seq", "remaining"), run_id=Param("run", UUID_FIELD))


def _task_rows(run: Run, graph: Graph, not_before: datetime | None) -> Iterator[tuple[str | int | None, ...]]:
    """The values of ``TASK_COLUMNS``, made as they are needed: a run may have 100,000 tasks."""
    roots = _root_states(run, not_before)
    for node in graph.nodes:
        state = PENDING if node.upstream else next(roots)
        step = node.step
        yield (ids.task_hex(run.pk, node.position), node.position, step.id, step.task, step.queue or "", *state)


def _root_states(run: Run, not_before: datetime | None) -> Iterator[State]:
    """The state of each task that is ready at the start, in order of position."""
    moment: Any = Task._meta.get_field("not_before")
    if not_before is not None:
        return repeat((TaskStatus.WAITING, 0, None, None, as_text(moment, not_before)))
    now, sequence = run.created_at, outbox.first_sequence(0)
    grace = now + timedelta(seconds=director.DISPATCH_GRACE)
    published, due = (
        (TaskStatus.QUEUED, sequence, as_text(moment, now), as_text(moment, next_dispatch_at), None)
        for next_dispatch_at in (grace, now)
    )
    return chain(repeat(published, outbox.INLINE), repeat(due))
