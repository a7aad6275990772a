"""Start runs. Few statements insert all rows of a run; its first tasks are published after the commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import IntegrityError, OperationalError

from django_director import signals
from django_director.common import failpoints
from django_director.db.lock_limits import met_lock
from django_director.db.sessions import receiver_session
from django_director.db.transactions import after_commit, connection, statement, transact
from django_director.engine import history, outbox, reactions
from django_director.engine.arguments import checked_columns, checked_moment, checked_name, checked_via
from django_director.engine.concurrency import admission
from django_director.engine.flow import gates, hooks
from django_director.exceptions import Conflict, LockedRow
from django_director.graph import Span, roots_of, start_of
from django_director.models import Run, Workflow, WorkflowVersion
from django_director.models.users import User
from django_director.status import RunStatus, TaskStatus, Trigger

from . import initial_rows, named_workflows, orders
from .orders import Order

_CHANGING: Final = (
    *("status", "stop", "error", "slot", "queued_at", "next_admission_at"),
    *("started_at", "finished_at", "deadline_at"),
)


def start(
    name: str | Workflow,
    payload: object = None,
    *,
    comment: str = "",
    user: User = None,
    idempotency_key: str | None = None,
    trigger: Trigger = Trigger.MANUAL,
    not_before: datetime | None = None,
    schedule: str | None = None,
    scheduled_for: datetime | None = None,
    sent_at: datetime | None = None,
    publish: bool = True,
    via: str = "",
) -> Run:
    """Start the workflow ``name``, which may also be its row, and return its run.

    Inside ``transaction.atomic()`` the run is committed or rolled back with it. With an ``idempotency_key``, or a
    ``schedule`` and its slot ``scheduled_for``, that was used before, the earlier run is returned with
    ``run.created`` false. ``not_before`` delays the first tasks. ``publish=False`` leaves them to the caller.
    With a ``user``, Django's history of the run says who started it, and ``via`` what: "Started (API)". Raises
    ``UnknownWorkflow``, ``InvalidPayload``, ``Conflict`` when the key was used with another payload,
    ``DirectorError`` for a key that is not 1 to 200 printable characters, and ``Misuse``, a ``TypeError``, for an
    argument of another type.
    """
    given = checked_columns("start", user=user, comment=comment, idempotency_key=idempotency_key, trigger=trigger)
    slot = checked_columns("start", schedule=schedule, scheduled_for=scheduled_for, sent_at=sent_at)
    not_before = checked_moment("not_before", not_before)
    note = history.line("start", checked_via(via))
    version = named_workflows.current_version(checked_name(name))
    return start_version(version, payload, not_before=not_before, publish=publish, note=note, **given, **slot)


def start_version(
    version: WorkflowVersion,
    payload: object,
    *,
    not_before: datetime | None = None,
    publish: bool = True,
    note: str = "",
    **fields: Any,
) -> Run:
    """Start a run of one version; ``fields`` are columns of the run, ``note`` is its line in Django's history."""
    made = replace(orders.make_order(version, payload, **fields), not_before=not_before, publish=publish)
    earlier = orders.earlier_run(made)
    if earlier is not None:
        return earlier
    made = orders.with_key(made)
    try:
        run = _insert(made)
    except IntegrityError:
        committed = Run.objects.select_related("workflow", "version").filter(pk=made.run_id).first()
        if committed is None:
            # Somebody else has used the key between our look and our insert.
            earlier = orders.earlier_run(made)
            if earlier is None:
                _check_still_there(made)
                raise
            return earlier
        # The answer to our own commit was lost.
        run = committed
    except OperationalError as error:
        if not met_lock(error):
            raise
        raise LockedRow(f"the workflow “{version.workflow.name}”") from error
    if note:
        history.record(made.fields.get("user"), run, note)
    if run.status == RunStatus.PENDING and not connection().in_atomic_block:
        # The run may have got its slot since.
        run.refresh_from_db(fields=_CHANGING)
    return run


def _check_still_there(order: Order) -> None:
    """Raise ``Conflict`` if what a new run refers to was deleted meanwhile."""
    old = order.fields.get("relaunched_from")
    if old is not None and not Run.objects.filter(pk=old.pk).exists():
        raise Conflict(f"run {old.pk} is not there any more")
    if not WorkflowVersion.objects.filter(pk=order.version.pk).exists():
        raise Conflict(f"the workflow “{order.version.workflow.name}” is not there any more")


def counts_at_start(run: Run) -> dict[str, int] | None:
    """Return the number of tasks in each status right after the start of ``run``, without a query.

    ``None`` if the run had to wait for a slot, as the numbers may have changed since.
    """
    if run.concurrency_key is not None:
        return None
    graph = run.version.graph
    found = start_of(graph).found
    counts = {TaskStatus.QUEUED: _size(found.ready)}
    counts |= {status: _size(spans) for status, spans in found.settled.items()}
    counts[TaskStatus.PENDING] = len(graph.nodes) - sum(counts.values())
    return {status.value: count for status, count in counts.items() if count}


def _size(spans: Iterable[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def _insert(order: Order) -> Run:
    """Insert an ordered run with all its rows, and begin it."""
    if not _fits_at_once(order):
        return transact(partial(insert, order))
    # Inside a caller's transaction what the database refuses needs a savepoint.
    once = transact if connection().in_atomic_block else statement
    return once(partial(_insert_at_once, order))


def _fits_at_once(order: Order) -> bool:
    graph = order.version.graph
    begins_now = order.not_before is None and graph.definition.concurrency is None
    return begins_now and start_of(graph).found.outcome is None and initial_rows.fit_at_once(graph)


def _insert_at_once(order: Order) -> Run:
    run, graph = orders.new_run(order), order.version.graph
    initial_rows.insert_at_once(run, graph)
    if connection().in_atomic_block:
        failpoints.point("start.inserted")
    return _begun(order, run)


def insert(order: Order) -> Run:
    """Insert an ordered run with all its rows, table by table; part of a transaction."""
    run, graph = orders.new_run(order), order.version.graph
    initial_rows.insert_run(run, orders.time_limit(order.version, order.timeout), order.not_before)
    failpoints.point("start.inserted")
    initial_rows.insert_tasks(run, graph, order.not_before)
    gates.insert_gates(run.pk, graph, start_of(graph).tallies)
    if run.is_finished:
        hooks.insert(run.pk, graph, RunStatus(run.status), generation=0)
        reactions.run_ended(run)
    return _begun(order, run)


def _begun(order: Order, run: Run) -> Run:
    begins_now = order.publish and order.not_before is None
    if begins_now and run.status != RunStatus.PENDING:
        outbox.publish_after_commit(run, run.version.graph, roots_of(run.version.graph))
    after_commit(partial(_announce, run))
    if begins_now and run.status == RunStatus.PENDING:
        after_commit(partial(admission.try_start, run))
    return run


def _announce(run: Run) -> None:
    failpoints.point("start.committed")
    with receiver_session():
        signals.run_started.send_robust(sender=Run, run=run)
        if run.is_finished:
            signals.run_finished.send_robust(sender=Run, run=run)
