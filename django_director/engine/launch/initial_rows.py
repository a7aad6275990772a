"""The rows of a new run, in a fixed number of statements for each thousand of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from django.db.models.expressions import Combinable

from django_director.common import ids
from django_director.conf import director
from django_director.db.bulk_inserts import BATCH, Insert, InsertMany, InsertTree, as_text, rows_as_text
from django_director.db.compiled import UUID_FIELD, Param, can_pair, prepared, waiting_at_most
from django_director.db.functions import Now, later
from django_director.db.lock_limits import row_seconds
from django_director.engine import outbox, transitions
from django_director.engine.flow import gates
from django_director.graph import Graph, Span, roots_of, start_of
from django_director.models import Gate, Run, Task
from django_director.status import RunStatus

State = tuple[Any, ...]

STATE_COLUMNS: Final = ("status", "sequence", "queued_at", "next_dispatch_at", "not_before", "finished_at")
TASK_COLUMNS: Final = ("id", "position", "step", "name", "queue", *STATE_COLUMNS)
"""The columns in which the tasks of a new run differ; the last ones are a ``State``."""
ELAPSED: Final = ("queued_at", "next_dispatch_at", "finished_at")
RUN: Final = Param("run", UUID_FIELD)
MOMENT: Final[Any] = Task._meta.get_field("not_before")
FIELDS: Final = Run._meta.concrete_fields
DEFAULTS: Final = {field.attname: field.get_default() for field in FIELDS}


def _state(columns: dict[str, Any]) -> State:
    columns = transitions.pending() | columns
    return tuple(columns.get(name) for name in STATE_COLUMNS)


PENDING: Final = _state({})

Moment = Callable[[float], str | None]
"""The time so many seconds after the start, as text for the database."""


def insert_run(run: Run, timeout: float | None, not_before: datetime | None) -> None:
    """Insert the row of a run, with times by the database's clock.

    ``timeout`` counts from a delayed start, and from the moment at which the run gets a slot.
    """
    if run.status == RunStatus.PENDING:
        _insert_pending(run, not_before)
        return
    if timeout is not None and not_before is not None:
        run.deadline_at, timeout = not_before + timedelta(seconds=timeout), None
    given, values = _given(run)
    inserting = _inserting_run(given, run.is_finished, timeout, row_seconds())
    _started(run, inserting.execute(**values), timeout)


def insert_at_once(run: Run, graph: Graph) -> None:
    """Insert a run with all its tasks and gates in one statement.

    For PostgreSQL, ``BATCH`` tasks at most, and a run that begins now.
    """
    timeout = graph.definition.timeout
    given, values = _given(run)
    inserting = _inserting_tree(given, run.is_finished, timeout, bool(graph.gates), row_seconds())
    values |= {
        "run": run.pk,
        "tasks": rows_as_text(list(_task_rows(run.pk, graph, _states(graph, str, _ready_states(str, None))))),
        "gates": rows_as_text(list(gates.gate_rows(graph, start_of(graph).tallies))),
    }
    _started(run, inserting.execute(**values), timeout)


def fit_at_once(graph: Graph) -> bool:
    """Whether ``insert_at_once`` can insert the rows of this graph."""
    return can_pair() and len(graph.nodes) <= BATCH


def _given(run: Run) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the names of the columns that differ from their defaults, and the values of all columns."""
    values = {name: getattr(run, name) for name in DEFAULTS}
    return tuple(name for name, value in values.items() if value != DEFAULTS[name]), values


def _started(run: Run, created_at: datetime, timeout: float | None) -> None:
    run.created_at = run.started_at = created_at
    run.finished_at = created_at if run.is_finished else None
    if timeout is not None:
        run.deadline_at = created_at + timedelta(seconds=timeout)
    run._state.adding, run._state.db = False, director.DATABASE


def insert_tasks(run: Run, graph: Graph, not_before: datetime | None) -> None:
    """Insert all tasks of a run. Its first tasks are queued, or wait until ``not_before``."""

    def moment(seconds: float) -> str | None:
        return as_text(MOMENT, run.created_at + timedelta(seconds=seconds))

    # The first tasks of a run that waits for a slot are queued when it has one.
    ready = repeat(PENDING) if run.status == RunStatus.PENDING else _ready_states(moment, not_before)
    _inserting_tasks().execute(_task_rows(run.pk, graph, _states(graph, moment, ready)), run=run.pk)


def _insert_pending(run: Run, not_before: datetime | None) -> None:
    run.queued_at = run.next_admission_at = not_before
    given, values = _given(run)
    inserting = _inserting_pending(given, not_before is not None, director.DISPATCH_GRACE, row_seconds())
    run.created_at = inserting.execute(**values)
    if not_before is None:
        run.queued_at = run.created_at
        run.next_admission_at = run.created_at + timedelta(seconds=director.DISPATCH_GRACE)
    run._state.adding, run._state.db = False, director.DATABASE


@prepared
def _inserting_pending(
    given: tuple[str, ...], is_delayed: bool, grace: float, lock_seconds: float | None
) -> Insert:
    # Who inserts it tries to get the slot after the commit; the supervisor looks when that is overdue.
    times = {} if is_delayed else {"queued_at": Now(), "next_admission_at": later(grace)}
    return Insert(Run, **_params(given) | times | {"created_at": _created(lock_seconds)})


def _created(lock_seconds: float | None) -> Combinable:
    """Return the present time, from a statement that does not wait long for a lock on the workflow's row."""
    return Now() if lock_seconds is None else waiting_at_most(lock_seconds, Now())


def _params(given: tuple[str, ...]) -> dict[str, Any]:
    return {field.attname: Param(field.attname, field) for field in FIELDS if field.attname in given}


@prepared
def _inserting_run(
    given: tuple[str, ...], is_finished: bool, timeout: float | None, lock_seconds: float | None
) -> Insert:
    now = ("started_at", "finished_at") if is_finished else ("started_at",)
    times = dict.fromkeys(now, Now()) | {"created_at": _created(lock_seconds)}
    deadline = {} if timeout is None else {"deadline_at": later(timeout)}
    return Insert(Run, **_params(given) | times | deadline)


@prepared
def _inserting_tasks() -> InsertMany:
    return InsertMany(Task, TASK_COLUMNS, run_id=RUN)


@prepared
def _inserting_tree(
    given: tuple[str, ...],
    is_finished: bool,
    timeout: float | None,
    has_gates: bool,
    lock_seconds: float | None,
) -> InsertTree:
    parts = [InsertMany(Task, TASK_COLUMNS, given_as="tasks", elapsed=ELAPSED, run_id=RUN).statement]
    if has_gates:
        parts.append(InsertMany(Gate, gates.COLUMNS, given_as="gates", run_id=RUN).statement)
    return InsertTree(_inserting_run(given, is_finished, timeout, lock_seconds), *parts)


def _task_rows(run_id: UUID, graph: Graph, states: Iterator[State]) -> Iterator[tuple[str | int | None, ...]]:
    """Yield the values of ``TASK_COLUMNS`` for each task, one at a time, as a run may have 100,000 tasks."""
    for node, state in zip(graph.nodes, states, strict=True):
        yield (ids.task_hex(run_id, node.position), node.position, node.step.id, node.name, node.queue, *state)


def _states(graph: Graph, moment: Moment, ready: Iterator[State]) -> Iterator[State]:
    """Yield the states of all tasks, in order of position; ``ready`` gives those of the first tasks."""
    decided: list[tuple[Span, Iterator[State]]] = [(span, ready) for span in roots_of(graph)]
    for status, spans in start_of(graph).found.settled.items():
        settled = _state(transitions.settled(status, moment(0)))
        decided += [(span, repeat(settled)) for span in spans]
    position = 0
    for (start, stop), states in sorted(decided, key=itemgetter(0)):
        yield from repeat(PENDING, start - position)
        yield from islice(states, stop - start)
        position = stop
    yield from repeat(PENDING, len(graph.nodes) - position)


def _ready_states(moment: Moment, not_before: datetime | None) -> Iterator[State]:
    """Return the states of the tasks that can run at the start, in order of position."""
    if not_before is not None:
        return repeat(_state(transitions.delayed(as_text(MOMENT, not_before))))
    now, grace, sequence = moment(0), moment(director.DISPATCH_GRACE), outbox.first_sequence(0)
    published, due = (_state(transitions.queued(sequence, moment, now)) for moment in (grace, now))
    return chain(repeat(published, outbox.INLINE), repeat(due))
