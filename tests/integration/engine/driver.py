"""Play the worker by hand: claim, and end the attempt as the test says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from celery import current_app
from celery.exceptions import Ignore, Retry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.celery import DirectorTask
from django_director.db import lock_limits
from django_director.engine import avoided_runs, outbox, stopping
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim, Ticket
from django_director.engine.attempts.failures import Failure
from django_director.engine.steps import child_workflows
from django_director.exceptions import DirectorError
from django_director.graph import Node, items, replay
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import attempts, execution, own_steps
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
        name=task.name,
        run_id=task.run_id,
        position=task.position,
        version=task.run.version.content_hash,
        map_index=task.map_index,
    )


def claim(run: Run, step: str, index: int = -1) -> Claim:
    claimed = claims.claim(ticket(run.tasks.get(step=step, map_index=index)), "tests")
    assert claimed is not None, f"{step} could not be claimed"
    return claimed


def succeed(run: Run, step: str, result: Any = None, index: int = -1) -> None:
    assert finish.finish(claim(run, step, index), result)


def fail(run: Run, step: str, error: str = "ValueError: no", index: int = -1) -> None:
    assert finish.fail(claim(run, step, index), Failure(error=error))


def expand(run: Run, step: str) -> None:
    """Let a queued map have its items."""
    assert own_steps.perform(claim(run, step)) is own_steps.HELD


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


def drain_all(body: Callable[[Claim], Any] = lambda claimed: claimed.node.step.id) -> None:
    """The same for all runs there are, with what the supervisor does for child runs."""
    before: Any = None
    while before != (before := _everything()):
        # Inside a test's transaction nobody else tells the steps that wait.
        child_workflows.report_all(100)
        for run in Run.objects.select_related("version"):
            drain(run, body)


def _everything() -> Any:
    tasks = Task.objects.order_by("pk").values_list("status", "sequence")
    return list(tasks), list(Run.objects.order_by("pk").values_list("status", "is_awaited"))


def child_of(run: Run, step: str) -> Run:
    """The child run that a step waits for, or had last."""
    return Run.objects.select_related("version").get(pk=run.tasks.get(step=step).child_run)


def _queued(run: Run) -> list[Task]:
    if Run.objects.stopping().filter(pk=run.pk).exists():
        stopping.continue_stop(run.pk)
    return list(run.tasks.queued().select_related("run__version").order_by("position", "map_index"))


def end(claimed: Claim, body: Callable[[Claim], Any]) -> None:
    """Let a worker carry out a claimed task. ``body`` is what the function of the user's task does."""
    task = _task_of(lambda *args, **kwargs: body(claimed))
    attempt = attempts.prepare(task, claimed)
    # Celery hears of it; the row says what came of the attempt.
    with contextlib.suppress(ValueError, DirectorError, Retry, Ignore):
        execution.perform(task, attempt)


def _task_of(function: Callable[..., Any]) -> DirectorTask:
    """A task of no app, with a request as that of ``runworkflow --local``: the connections are the test's."""
    task = type("Task", (DirectorTask,), {"name": "tests.TASK", "run": staticmethod(function)})()
    task.bind(current_app)
    task.push_request(id="tests", is_eager=True, called_directly=False)
    return task


def statuses(run: Run) -> dict[str, str]:
    rows = run.tasks.steps().values_list("step", "map_index", "status")
    return {step if index < 0 else f"{step}[{index}]": status for step, index, status in rows}


def check_gates(run: Run) -> None:
    """Gates equal gates recomputed from rows, and nothing pending is ready."""
    graph = run.version.graph
    rows = dict(run.tasks.nodes().values_list("position", "status"))
    again = replay(graph, rows)
    gates = run.gates.values_list("seq", "remaining", "failed", "skipped")
    stored = {seq: counted for seq, *counted in gates.order_by()}
    tallies = {gate: again.tallies[gate.seq] for gate in graph.gates}
    computed = {gate.seq: [gate.total - t.ended, t.failed, t.skipped] for gate, t in tallies.items()}
    for node in graph.maps.values():
        computed |= _counters(run, node)
    assert stored == computed, f"the gates are not as the rows say: {stored}, {computed}"
    if run.status != RunStatus.PENDING:
        assert not again.found.ready, "a ready task was not queued"
    assert not any(again.found.settled.values()), "what can't run any more was not settled"
    assert all(status in TaskStatus.values for status in rows.values())


def _counters(run: Run, node: Node) -> dict[int, list[int]]:
    """Those of a map's items, and nothing of them could go on."""
    graph = run.version.graph
    count, status = run.tasks.filter(position=node.position).values_list("map_count", "status").get()
    if count is None:
        return {}
    rows = run.tasks.filter(map_index__gte=0, position__range=(node.body[0], node.body[1] - 1))
    statuses = {(index, p): status for index, p, status in rows.values_list("map_index", "position", "status")}
    found = items.inspect(graph, node, statuses, count)
    if run.status == RunStatus.PENDING:
        assert not found.active, "something began before the run had a slot"
    elif node.max_parallel is None:
        assert not found.ready, "a ready item was not queued"
    elif node.step.batch is not None:
        in_work = lanes(run, node)
        assert in_work <= node.max_parallel, "too many batches are in work"
        assert in_work == node.max_parallel or not found.ready, "a batch should be in work"
    else:
        assert found.active <= node.max_parallel, "too many items are in work"
        assert found.active == node.max_parallel or not found.ready, "an item should be in work"
    assert not found.settled, "what can't run for an item was not settled"
    assert (found.outcome(count) is None) == (status == "waiting")
    tallies = found.tallies(node.position, count)
    totals = dict(items.totals(node.position, count))
    return {n: [totals[n] - t.ended, t.failed, t.skipped] for n, t in tallies.items()}


def lanes(run: Run, node: Node) -> int:
    """How many batches of a map are in work; what runs alone, or waits for its retry, is one too."""
    position, size = node.body[0], node.step.batch
    rows = run.tasks.filter(position=position).active().exclude(status="pending")
    found: set[Any] = set()
    for status, token, index, sequence in rows.values_list("status", "claim", "map_index", "sequence"):
        if status == "running":
            found.add(token - index)
        elif status == "queued" and sequence == outbox.first_sequence(run.generation):
            found.add(("block", index // size))
        else:
            found.add(("alone", index))
    return len(found)


@contextmanager
def queries(limit: int) -> Any:
    """At most ``limit`` statements, not counting those that only mark transactions."""
    with CaptureQueriesContext(connection) as captured:
        yield
    statements = [q["sql"] for q in captured if not q["sql"].startswith(TRANSACTION_WORDS)]
    assert len(statements) <= limit, "\n".join(statements)


def forget_trouble() -> None:
    """Let no locks and errors count that this process has met before."""
    lock_limits.forget_waits()
    avoided_runs.forget_avoided_runs()
