"""A process dies, or has an error, at each fault point; every run has its outcome all the same."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from django.db.models import Q

from django_director import engine
from django_director.common import failpoints
from django_director.definitions import Concurrency, TaskStep
from django_director.dispatch import publisher
from django_director.engine import parking
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Ticket
from django_director.engine.attempts.failures import Failure
from django_director.models import Run, Task
from django_director.status import RunStatus
from tests.factories import approval, child, group, mapped, step, wait

from . import checker
from .conftest import Site
from .harness import Program, Worker, is_alive, manage, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.fault(7)]

PAST = "2026-01-01T00:00:00Z"
START = "engine.start('crash.PLAIN')"
RERUN = "engine.rerun(run.tasks.get(position=1))"
SKIP = "engine.skip(run.tasks.get(position=0))"
IN_COMMANDS = [
    # Only in somebody's transaction does a commit of its own follow the rows everywhere.
    ("start.inserted", f"transaction.atomic()(lambda: {START})()"),
    ("start.committed", START),
    ("publish.before", START),
    ("publish.half", START),
    ("publish.after", START),
    ("start.committed", "engine.relaunch(run)"),
    ("admit.updated", "engine.start('crash.ONE')"),
    ("admit.committed", "engine.start('crash.ONE')"),
    ("cancel.committed", "engine.cancel(run)"),
    ("cancel.swept", "engine.cancel(run)"),
    ("cancel.passed", "engine.cancel(run)"),
    *(
        (point, call)
        for call in ("engine.retry(run)", RERUN, SKIP)
        for point in ("reset.updated", "reset.committed")
    ),
    ("decide.committed", "engine.approve(run.tasks.get(step='OK'))"),
    ("pause.committed", "engine.pause(run)"),
    ("resume.committed", "engine.resume(run)"),
]
BEFORE_COMMIT = {"start.inserted", "reset.updated"}
IN_BOTH = ("publish", "admit")
IN_WORKERS = failpoints.POINTS - {point for point, _ in IN_COMMANDS if not point.startswith(IN_BOTH)}
NOISE = {
    *("InjectedFault", "Error calling", "The supervisor has died", "Task handler raised error"),
    # A supervisor in which the fault is raised leaves the run alone for a moment.
    "can't be supervised; the other runs go on",
    "was broken off; the leases of its tasks will tell",
}
actions = pytest.mark.parametrize("action", ["kill9", "raise"])


@pytest.fixture(autouse=True)
def workflows(checked: Site) -> None:
    """What goes on while something dies; everything is checked at the end."""
    checked.expected |= NOISE
    hook = {"failure": (TaskStep(id="hooks.failure", task="HOOK"),)}
    checked.define("crash.CHAIN", "TRACE", step("B", task="TRACE"), step("C", task="TRACE"))
    checked.define("crash.JOIN", group("G", "TRACE", step("E", task="ERROR")), "ADD", hooks=hook)
    checked.define("crash.RETRY", "BOUND", step("T", task="TRACE"))
    items = mapped("M", step("S", task="TRACE"), "NOOP", over=[1, 2, 3], max_parallel=2)
    checked.define("crash.MAP", items, "ECHO")
    batch = mapped("M", step("S", task="GIVEN"), over=[1, 2, 3, 4, 5], batch=2, max_parallel=1)
    checked.define("crash.BATCH", batch, "ECHO")
    checked.define("crash.LOST", "TRACE")
    checked.define("crash.CHILD", "TRACE")
    ship = child("C", "crash.CHILD", payload={"trace": "${{ payload.trace }}"})
    checked.define("crash.FAMILY", ship, "TRACE")
    checked.define("crash.PLAIN", "NOOP", "ECHO")
    checked.define("crash.ONE", "NOOP", concurrency=Concurrency())
    checked.define("crash.WAIT", wait("W", 0.3), "TRACE")
    checked.define("crash.ASK", approval("OK"), "NOOP")
    checked.define("crash.IDLE", step("NOOP", queue="nobody"))
    checked.define("crash.IDLE_FAMILY", child("C", "crash.IDLE"))


def start_runs(site: Site, trace: Path) -> dict[str, Run]:
    """A few runs; of one, a worker that is gone already has the task."""
    payload = {"trace": str(trace), "failures": 1, "countdown": 0.2}
    runs = {
        name: site.start(f"crash.{name}", payload)
        for name in ("CHAIN", "JOIN", "RETRY", "WAIT", "MAP", "BATCH", "FAMILY")
    }
    # Of one key: the end of each lets the next start.
    runs |= {f"ONE-{number}": site.start("crash.ONE") for number in range(3)}
    with publisher.withheld():
        runs["LOST"] = site.start("crash.LOST", payload)
    take(runs["LOST"])
    Task.objects.filter(run=runs["LOST"]).update(lease_until=PAST)
    return runs


def take(run: Run) -> claims.Claim:
    """Claim the first task of a run that was not published, as a worker would."""
    task = run.tasks.select_related("run__version").get(position=0)
    ticket = Ticket(
        task_id=task.pk,
        sequence=task.sequence,
        name=task.name,
        run_id=run.pk,
        position=0,
        version=task.run.version.content_hash,
    )
    claimed = claims.claim(ticket, "gone")
    assert claimed is not None
    return claimed


@actions
@pytest.mark.parametrize("point", sorted(IN_WORKERS))
def test_a_worker_dies_there(site: Site, tmp_path: Path, trace: Path, point: str, action: str):
    site.kill()
    passed = tmp_path / "passed"
    environ = {"DIRECTOR_FAULT": f"{point}:{action}", "DIRECTOR_FAULT_ONCE": str(passed)}
    # A pool of one process: who dies is the worker, and its supervisor with it.
    victim = site.worker(pool="solo", concurrency=1, **environ)
    runs = start_runs(site, trace)
    wait_for(passed.exists, 30, f"the worker passes {point}")
    if action == "kill9":
        assert victim.process is not None
        assert victim.process.wait(10) == -signal.SIGKILL
        site.worker(pool="solo", concurrency=1)
    # After an error the same worker goes on.
    site.wait(list(runs.values()), 40)
    assert {name: run.status for name, run in runs.items()} == {
        "CHAIN": RunStatus.SUCCESS,
        "JOIN": RunStatus.FAILED,
        "RETRY": RunStatus.SUCCESS,
        "MAP": RunStatus.SUCCESS,
        "BATCH": RunStatus.SUCCESS,
        "WAIT": RunStatus.SUCCESS,
        "FAMILY": RunStatus.SUCCESS,
        "LOST": RunStatus.SUCCESS,
        "ONE-0": RunStatus.SUCCESS,
        "ONE-1": RunStatus.SUCCESS,
        "ONE-2": RunStatus.SUCCESS,
    }
    wait_for(lambda: not runs["JOIN"].tasks.hooks().active().exists(), 30, "the hook has ended")
    assert runs["JOIN"].tasks.hooks().count() == 1
    own = list(runs.values())
    traced = Task.objects.filter(Q(run__in=own) | Q(run__parent_task__run__in=own), name="TRACE")
    assert Run.objects.filter(parent_task__run=runs["FAMILY"]).count() == 1
    executed = checker.executions(trace)
    assert set(executed) == {str(pk) for pk in traced.values_list("pk", flat=True)}
    assert executed.total() - traced.count() <= 1


def rescuer(site: Site) -> Program:
    """The worker that ends what dying commands leave; shared for as long as it lives."""
    for program in site.programs:
        if isinstance(program, Worker) and "DIRECTOR_FAULT" not in program.environ and is_alive(program.pid):
            return program
    site.kill()
    return site.worker(pool="solo", concurrency=1)


def prepare(site: Site, call: str) -> Run | None:
    """The run that the call is about."""
    if "cancel" in call:
        return site.start("crash.IDLE")
    if "retry" in call or call == SKIP:
        return failed(site)
    if "rerun" in call or "relaunch" in call:
        run = site.start("crash.PLAIN")
        run.wait(30)
    elif "approve" in call:
        run = site.start("crash.ASK")
        wait_for(run.tasks.asked().exists, 30, "somebody is asked")
    elif "pause" in call:
        run = site.start("crash.IDLE_FAMILY")
        wait_for(Run.objects.filter(parent_task__run=run).exists, 30, "it has a child run")
    elif "resume" in call:
        with publisher.withheld():
            run = engine.pause(site.start("crash.PLAIN"))
        wait_for(lambda: parking.parked().filter(run=run).exists(), 30, "its task is put off")
    else:
        return None
    return run


def failed(site: Site) -> Run:
    """A run whose first task has failed."""
    with publisher.withheld():
        run = site.start("crash.PLAIN")
    assert finish.fail(take(run), Failure(error="ValueError: as asked"))
    return run


@actions
@pytest.mark.parametrize(("point", "call"), IN_COMMANDS)
def test_a_caller_dies_there(site: Site, tmp_path: Path, point: str, call: str, action: str):
    rescuer(site)
    run = prepare(site, call)
    known = set(Run.objects.values_list("pk", flat=True))
    passed = tmp_path / "passed"
    code = "from django.db import transaction; from django_director import engine; "
    code += "from django_director.models import Run; "
    code += f"run = Run.objects.filter(pk={str(run and run.pk)!r}).first(); " if run else ""
    environ = {"DIRECTOR_FAULT": f"{point}:{action}", "DIRECTOR_FAULT_ONCE": str(passed)}
    done = manage(site.broker, "shell", "-v", "0", "-c", code + call, **environ)
    assert passed.exists(), f"it never passed {point}: {done.stderr}"
    # An error after the commit is logged and harms nobody.
    assert done.returncode == (-signal.SIGKILL if action == "kill9" else int(point in BEFORE_COMMIT)), done.stderr
    new = list(Run.objects.exclude(pk__in=known).filter(parent_task=None))
    site.runs += new
    site.wait(new, 30)
    assert [found.status for found in new] == expected_new(point, call)
    if run is not None:
        assert_went_on(run, point, call)


def expected_new(point: str, call: str) -> list[RunStatus]:
    """The outcomes of the runs that a call has started."""
    starts = "start" in call or "relaunch" in call
    return [RunStatus.SUCCESS] if starts and point not in BEFORE_COMMIT else []


def assert_went_on(run: Run, point: str, call: str) -> None:
    """What the call wanted is done to its end, or not at all."""
    if "pause" in call:
        child = Run.objects.get(parent_task__run=run)
        wait_for(
            lambda: Run.objects.filter(pk=child.pk, paused_at__isnull=False).exists(), 30, "its child is paused"
        )
        engine.cancel(run)
    run.wait(30)
    before = RunStatus.FAILED if "retry" in call or call == SKIP else RunStatus.SUCCESS
    if "cancel" in call or "pause" in call:
        assert run.status == RunStatus.CANCELED
    elif point in BEFORE_COMMIT:
        assert (run.status, run.generation) == (before, 0)
    else:
        assert (run.status, run.generation) == (RunStatus.SUCCESS, int(point.startswith("reset")))
