"""The rows of a new run, in a fixed number of statements for each thousand of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from django_director.common import ids
from django_director.conf import director
from django_director.db.bulk_inserts import BATCH, Insert, InsertMany, InsertTree, as_text, rows_as_text
from django_director.db.compiled import UUID_FIELD, Param, can_pair, prepared, waiting_at_most
from django_director.db.functions import Now, later
from django_director.db.lock_limits import row_seconds
from django_director.engine import history, outbox
from django_director.graph import Graph, Span, Tally, roots_of, start_of
from django_director.models import Gate, Run, Task
from django_director.status import RunStatus, TaskStatus

State = tuple[str, int, str | None, str | None, str | None, str | None]

TASK_COLUMNS: Final = (
    *("id", "position", "step", "name", "queue"),
    *("status", "sequence", "queued_at", "next_dispatch_at", "not_before", "finished_at"),
)
"""In which the tasks of a new run differ; the last six are a ``State``."""
ELAPSED: Final = ("queued_at", "next_dispatch_at", "finished_at")
GATE_COLUMNS: Final = ("seq", "remaining", str(TaskStatus.FAILED), str(TaskStatus.SKIPPED))
RUN: Final = Param("run", UUID_FIELD)
PENDING: Final[State] = (TaskStatus.PENDING, 0, None, None, None, None)
MOMENT: Final[Any] = Task._meta.get_field("not_before")
FIELDS: Final = Run._meta.concrete_fields
DEFAULTS: Final = {field.attname: field.get_default() for field in FIELDS}

Moment = Callable[[float], str | None]
"""The time so many seconds after the start, as text for the database."""


def insert_run(run: Run, timeout: float | None, not_before: datetime | None) -> None:
    """Insert the run and set its times to those of the database.

    The time until a delayed start does not count for its ``timeout``, nor that until it gets a slot.
    """
    if run.status == RunStatus.PENDING:
        _insert_pending(run, not_before)
        return
    if timeout is not None and not_before is not None:
        run.deadline_at, timeout = not_before + timedelta(seconds=timeout), None
    given, values = _given(run)
    inserting = _inserting_run(given, run.is_finished, timeout, row_seconds())
    _started(run, inserting.execute(**values), timeout)


def insert_at_once(run: Run, graph: Graph, note: history.Note | None) -> None:
    """The same, all tasks and gates, and the line in Django's history, in one statement.

    For PostgreSQL, ``BATCH`` tasks at most, and a run that begins now.
    """
    timeout = graph.definition.timeout
    given, values = _given(run)
    inserting = _inserting_tree(
        given, run.is_finished, timeout, bool(graph.gates), note is not None, row_seconds()
    )
    values |= {
        "run": run.pk,
        "tasks": rows_as_text(list(_task_rows(run.pk, graph, _states(graph, str, _ready_states(str, None))))),
        "gates": rows_as_text(list(_gate_rows(graph, start_of(graph).tallies))),
        **(note.values if note else {}),
    }
    _started(run, inserting.execute(**values), timeout)


def fit_at_once(graph: Graph) -> bool:
    """Say whether ``insert_at_once`` takes the rows of this graph."""
    return can_pair() and len(graph.nodes) <= BATCH


def _given(run: Run) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the columns that have not their defaults, which are no parameters; and the values of all."""
    values = {name: getattr(run, name) for name in DEFAULTS}
    return tuple(name for name, value in values.items() if value != DEFAULTS[name]), values


def _started(run: Run, created_at: datetime, timeout: float | None) -> None:
    run.created_at = run.started_at = created_at
    run.finished_at = created_at if run.is_finished else None
    if timeout is not None:
        run.deadline_at = created_at + timedelta(seconds=timeout)
    run._state.adding, run._state.db = False, director.DATABASE


def insert_tasks(run: Run, graph: Graph, not_before: datetime | None) -> None:
    """Insert all tasks: those that are ready are queued, or wait until ``not_before``."""

    def moment(seconds: float) -> str | None:
        return as_text(MOMENT, run.created_at + timedelta(seconds=seconds))

    # Those of a run that waits for a slot are queued when it has one.
    ready = repeat(PENDING) if run.status == RunStatus.PENDING else _ready_states(moment, not_before)
    _inserting_tasks().execute(_task_rows(run.pk, graph, _states(graph, moment, ready)), run=run.pk)


def insert_gates(run_id: UUID, graph: Graph, tallies: Sequence[Tally]) -> None:
    """Insert the counters of the joins, which have counted this much."""
    _inserting_gates().execute(_gate_rows(graph, tallies), run=run_id)


def insert_counters(run_id: UUID, counters: Iterable[tuple[int, int, Tally]]) -> None:
    """Insert counters by number: each with how many it counts, and what it has counted."""
    rows = ((number, total - tally.ended, tally.failed, tally.skipped) for number, total, tally in counters)
    _inserting_gates().execute(rows, run=run_id)


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


def _created(lock_seconds: float | None) -> Any:
    """The time; whoever has locked the row of the workflow, which the run refers to, is not waited for long."""
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
def _inserting_gates() -> InsertMany:
    return InsertMany(Gate, GATE_COLUMNS, run_id=RUN)


@prepared
def _inserting_tree(
    given: tuple[str, ...],
    is_finished: bool,
    timeout: float | None,
    has_gates: bool,
    has_note: bool,
    lock_seconds: float | None,
) -> InsertTree:
    parts = [InsertMany(Task, TASK_COLUMNS, given_as="tasks", elapsed=ELAPSED, run_id=RUN).statement]
    if has_gates:
        parts.append(InsertMany(Gate, GATE_COLUMNS, given_as="gates", run_id=RUN).statement)
    if has_note:
        parts.append(history.noting())
    return InsertTree(_inserting_run(given, is_finished, timeout, lock_seconds), *parts)


def _gate_rows(graph: Graph, tallies: Sequence[Tally]) -> Iterator[tuple[int, ...]]:
    counted = ((gate, tallies[gate.seq]) for gate in graph.gates)
    return ((gate.seq, gate.total - tally.ended, tally.failed, tally.skipped) for gate, tally in counted)


def _task_rows(run_id: UUID, graph: Graph, states: Iterator[State]) -> Iterator[tuple[str | int | None, ...]]:
    """The values of ``TASK_COLUMNS``, made as they are needed: a run may have 100,000 tasks."""
    for node, state in zip(graph.nodes, states, strict=True):
        yield (ids.task_hex(run_id, node.position), node.position, node.step.id, node.name, node.queue, *state)


def _states(graph: Graph, moment: Moment, ready: Iterator[State]) -> Iterator[State]:
    """The state of each task, in order of position; ``ready`` has those of the roots."""
    decided: list[tuple[Span, Iterator[State]]] = [(span, ready) for span in roots_of(graph)]
    for status, spans in start_of(graph).found.settled.items():
        settled: State = (status, 0, None, None, None, moment(0))
        decided += [(span, repeat(settled)) for span in spans]
    position = 0
    for (start, stop), states in sorted(decided, key=itemgetter(0)):
        yield from repeat(PENDING, start - position)
        yield from islice(states, stop - start)
        position = stop
    yield from repeat(PENDING, len(graph.nodes) - position)


def _ready_states(moment: Moment, not_before: datetime | None) -> Iterator[State]:
    """The state of each task that is ready at the start, in order of position."""
    if not_before is not None:
        return repeat((TaskStatus.WAITING, 0, None, None, as_text(MOMENT, not_before), None))
    now, grace, sequence = moment(0), moment(director.DISPATCH_GRACE), outbox.first_sequence(0)
    published, due = (
        (TaskStatus.QUEUED, sequence, now, next_dispatch_at, None, None) for next_dispatch_at in (grace, now)
    )
    return chain(repeat(published, outbox.INLINE), repeat(due))
