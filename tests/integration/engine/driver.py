"""Play the worker by hand: claim, and end the attempt as the test says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine, inputs, ownsteps
from django_director.engine import claim as claims
from django_director.engine import finish, stop
from django_director.engine.claim import Claim, Ticket
from django_director.engine.finish import Failure
from django_director.exceptions import ExpressionError
from django_director.graph import replay
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, make_workflow

TRANSACTION_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def start(*tasks: Any, payload: Any = None, **fields: Any) -> Run:
    """Start a run of a new workflow of these tasks."""
    name = fields.pop("name", "test.FLOW")
    make_workflow(definition(name, *tasks, **fields))
    return engine.start(name, payload)


def ticket(task: Task) -> Ticket:
    return Ticket(
        task_id=task.pk,
        sequence=task.sequence,
        run_id=task.run_id,
        position=task.position,
        version=task.run.version.content_hash,
    )


def claim(run: Run, step: str) -> Claim:
    claimed = claims.claim(ticket(run.tasks.get(step=step)), "tests")
    assert claimed is not None, f"{step} could not be claimed"
    return claimed


def succeed(run: Run, step: str, result: Any = None) -> None:
    assert finish.finish(claim(run, step), result)


def fail(run: Run, step: str, error: str = "ValueError: no") -> None:
    assert finish.fail(claim(run, step), Failure(error=error))


def drain(run: Run, body: Callable[[Claim], Any] = lambda claimed: claimed.node.step.id) -> int:
    """Run all that is queued until nothing is; return how many tasks ran. ``body`` may raise to fail a task."""
    done = 0
    while queued := _queued(run):
        for task in queued:
            claimed = claims.claim(ticket(task), "tests")
            if claimed is None:
                assert Run.objects.stopping().filter(pk=run.pk).exists()
                continue
            done += 1
            end(claimed, body)
    run.refresh_from_db()
    return done


def _queued(run: Run) -> list[Task]:
    if Run.objects.stopping().filter(pk=run.pk).exists():
        stop.carry_on(run.pk)
    return list(run.tasks.queued().select_related("run__version").order_by("position"))


def end(claimed: Claim, body: Callable[[Claim], Any]) -> None:
    """Do with a claimed task what a worker does."""
    try:
        is_skipped = not inputs.judge(claimed)
        own = claimed.node.kind != "task"
        result = None if is_skipped else ownsteps.perform(claimed) if own else body(claimed)
    except (ValueError, ExpressionError) as error:
        finish.fail(claimed, Failure(error=f"{type(error).__name__}: {error}"))
    else:
        if result is ownsteps.HELD:
            return
        if is_skipped:
            finish.skip(claimed, "`when` is false")
        else:
            finish.finish(claimed, result)


def statuses(run: Run) -> dict[str, str]:
    return {task.step: str(task.status) for task in run.tasks.steps()}


def check_gates(run: Run) -> None:
    """Gates equal gates recomputed from rows, and nothing pending is ready."""
    graph = run.version.graph
    rows = dict(run.tasks.steps().values_list("position", "status"))
    again = replay(graph, rows)
    stored = {gate.seq: (gate.remaining, gate.failed, gate.skipped) for gate in run.gates.all()}
    tallies = {gate: again.tallies[gate.seq] for gate in graph.gates}
    assert stored == {gate.seq: (gate.total - t.ended, t.failed, t.skipped) for gate, t in tallies.items()}
    if run.status != RunStatus.PENDING:
        assert not again.found.ready, "a ready task was not queued"
    assert not any(again.found.settled.values()), "what can't run any more was not settled"
    assert all(status in TaskStatus.values for status in rows.values())


@contextmanager
def queries(limit: int) -> Any:
    """At most ``limit`` statements, not counting those that only mark transactions."""
    with CaptureQueriesContext(connection) as captured:
        yield
    statements = [q["sql"] for q in captured if not q["sql"].startswith(TRANSACTION_WORDS)]
    assert len(statements) <= limit, "\n".join(statements)
