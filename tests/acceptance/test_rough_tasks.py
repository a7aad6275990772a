"""What a task may do to its own process, or raise: one outcome, its cause told, and the worker goes on."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from django_director import engine
from django_director.definitions import Retry
from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from django_director.worker import errors
from tests.factories import step
from tests.testapp.rough_tasks import ERRORS, HANDLERS, LEFT, SAYS

from . import checker
from .conftest import Site
from .harness import pid_in, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.thorough]

#: What a task sends to its own process, and whether that ends it. Celery lets pool processes ignore SIGINT.
SIGNALS = {"SIGTERM": True, "SIGHUP": True, "SIGALRM": True, "SIGXCPU": True, "SIGINT": False}
FATAL = [name for name, is_fatal in SIGNALS.items() if is_fatal]


@pytest.fixture
def alone(site: Site) -> Iterator[Site]:
    """No process of another test, before and after."""
    site.kill()
    yield site
    site.check()
    site.kill()


# Signals


@pytest.fixture(scope="module")
def signalled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, Path]]:
    """A run for each signal, all of them at once, each at its end."""
    site.expected |= {"Task handler raised error", "exited with 'signal", "exited with 'exitcode"}
    site.worker(concurrency=4)
    site.define("rough.SIGNAL", step("SIGNAL"), "NOOP")
    folder = tmp_path_factory.mktemp("signals")
    runs = {}
    for name in SIGNALS:
        path = folder / name
        runs[name] = site.start("rough.SIGNAL", {"trace": str(path), "signal": name}), path
    site.wait([run for run, _ in runs.values()], 60)
    site.check()
    return runs


@pytest.mark.fault(38)
@pytest.mark.parametrize("name", FATAL)
def test_a_signal_to_its_own_process_is_a_crash(signalled: dict[str, tuple[Run, Path]], name: str):
    run, trace = signalled[name]
    task = run.tasks.get(step="SIGNAL")
    assert run.status == RunStatus.FAILED
    assert task.error.startswith("WorkerLost: ")
    assert name in task.error
    assert (task.crashes, task.failures) == (3, 0)
    assert [attempt.outcome for attempt in task.attempts.all()] == ["lost", "lost"]
    assert checker.executions(trace) == {str(task.pk): 3}


@pytest.mark.fault(38)
def test_an_interrupt_of_its_own_process_is_ignored(signalled: dict[str, tuple[Run, Path]]):
    run, trace = signalled["SIGINT"]
    assert run.status == RunStatus.SUCCESS
    assert set(checker.executions(trace).values()) == {1}


@pytest.mark.fault(38)
def test_a_signal_from_outside_is_a_crash_of_that_attempt(site: Site, trace: Path):
    site.expected |= {"Task handler raised error", "exited with 'signal", "exited with 'exitcode"}
    run = site.start("celery.TRACE", {"trace": str(trace), "seconds": 4})
    wait_for(trace.exists, what="a task works")
    os.kill(pid_in(trace), signal.SIGTERM)
    run.wait(30)
    task = run.tasks.get(step="TRACE")
    assert (run.status, task.crashes, task.attempts.count()) == (RunStatus.SUCCESS, 1, 1)
    assert "SIGTERM" in task.attempts.get().error


@pytest.mark.fault(38)
@pytest.mark.slow
def test_a_signal_to_the_whole_worker_ends_it_and_hands_the_task_back(alone: Site, trace: Path):
    alone.expected |= {"Task handler raised error", "exited with 'exitcode"}
    alone.define("rough.GROUP", step("SIGNAL"), "NOOP")
    worker = alone.worker(concurrency=1, prefetch=1)
    run = alone.start("rough.GROUP", {"trace": str(trace), "signal": "SIGTERM", "group": True})
    assert worker.process is not None
    assert worker.process.wait(30) == 0
    task = run.tasks.get(step="SIGNAL")
    assert (task.status, task.crashes, task.attempts.count()) == (TaskStatus.QUEUED, 0, 0)
    # As if it had ended some more of them.
    run.tasks.filter(pk=task.pk).update(sequence=task.sequence + errors.HAND_BACKS - 1)
    worker = alone.worker(concurrency=1, prefetch=1)
    assert worker.process is not None
    assert worker.process.wait(30) == 0
    assert run.tasks.get(step="SIGNAL").crashes == 1
    assert "SIGTERM" in task.attempts.get().error
    engine.cancel(run)


@pytest.mark.fault(5)
def test_a_signal_before_the_commit_loses_no_result(alone: Site, trace: Path, tmp_path: Path):
    alone.expected |= {"Task handler raised error", "exited with 'exitcode", "exited with 'signal"}
    once = tmp_path / "once"
    fault = {"DIRECTOR_FAULT": "finish.before:sleep:3", "DIRECTOR_FAULT_ONCE": str(once)}
    worker = alone.worker(concurrency=1, prefetch=1, **fault)
    run = alone.start("celery.TRACE", {"trace": str(trace)})
    wait_for(once.exists, what="a result is to be written")
    worker.signal(signal.SIGTERM)
    assert worker.process is not None
    worker.process.wait(30)
    task = run.tasks.get(step="TRACE")
    assert (task.status, task.crashes) == (TaskStatus.SUCCESS, 0)
    alone.worker()
    run.wait(30)
    assert set(checker.executions(trace).values()) == {1}


# Errors


@pytest.fixture(scope="module")
def raised(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, Path]]:
    """A run for each error, one after the other, by processes that all live on."""
    site.kill()
    worker = site.worker(concurrency=2)
    site.define("rough.RAISE", step("RAISE"), "NOOP")
    folder = tmp_path_factory.mktemp("errors")
    before = worker.children()
    runs = {}
    for name in ERRORS:
        path = folder / name
        runs[name] = site.start("rough.RAISE", {"trace": str(path), "error": name}), path
    site.wait([run for run, _ in runs.values()], 30)
    site.check()
    assert worker.children() == before, "no process has ended"
    return runs


@pytest.mark.fault(39)
@pytest.mark.parametrize("name", ERRORS)
def test_whatever_a_task_raises_fails_it_once_with_its_cause(raised: dict[str, tuple[Run, Path]], name: str):
    run, trace = raised[name]
    task = run.tasks.get(step="RAISE")
    assert run.status == RunStatus.FAILED
    assert (task.status, task.failures, task.crashes, task.attempts.count()) == (TaskStatus.FAILED, 1, 0, 0)
    assert task.error.startswith(SAYS.get(name, f"{name}: as asked"))
    assert "in raise_any" in task.traceback or name == "Large", "whose traceback ends with its text"
    assert set(checker.executions(trace).values()) == {1}


@pytest.mark.fault(39)
def test_such_errors_are_tried_again_as_any(site: Site, raised: dict[str, tuple[Run, Path]], trace: Path):
    site.define("rough.AGAIN", step("RAISE", retry=Retry(max=1, delay=0, only=("CancelledError",))))
    run = site.run("rough.AGAIN", {"trace": str(trace), "error": "CancelledError"})
    task = run.tasks.get()
    assert (run.status, task.failures, task.crashes) == (RunStatus.FAILED, 2, 0)
    assert task.attempts.get().error == "CancelledError: as asked"
    assert "retry: Retry in 0s: attempt 1 of 2 failed: CancelledError: as asked" in site.programs[-1].text()
    assert set(checker.executions(trace).values()) == {2}


@pytest.mark.fault(39)
def test_handlers_that_raise_change_no_outcome(site: Site, raised: dict[str, tuple[Run, Path]]):
    site.expected |= {"handler raised", "RuntimeError"}
    runs = {}
    for name in HANDLERS:
        site.define(f"rough.{name}", step(name))
        runs[name] = site.start(f"rough.{name}")
    site.wait(list(runs.values()), 20)
    assert {name: (str(run.status), run.error) for name, run in runs.items()} == HANDLERS
    assert {run.tasks.get().attempt for run in runs.values()} == {1}


# What is left behind in the process


@pytest.mark.fault(39)
@pytest.mark.parametrize("raises", [False, True])
def test_what_a_task_leaves_behind_costs_no_outcome(alone: Site, tmp_path: Path, raises: bool):
    """One process has all of it, one after the other; the last can't but end it."""
    alone.expected |= {"Task handler raised error", "exited with 'exitcode"}
    alone.worker(concurrency=1)
    alone.define("rough.LEAVE", step("LEAVE"), "NOOP")
    expected = (RunStatus.FAILED, "LEAVE: ValueError: as asked") if raises else (RunStatus.SUCCESS, "")
    pids = set()
    # SQLite goes on with the numbers of closed files, whatever has them now.
    for what in list(LEFT)[: -1 if connection.vendor == "sqlite" else None]:
        trace = tmp_path / what
        run = alone.start("rough.LEAVE", {"trace": str(trace), "what": what, "raises": raises})
        run.wait(30)
        task = run.tasks.get(step="LEAVE")
        assert (what, run.status, run.error) == (what, *expected)
        assert (what, task.attempt, task.crashes) == (what, 1, 0)
        # Longer than an alarm that goes on.
        follower = alone.start("celery.TRACE", {"trace": str(trace), "seconds": 0.5 if what == "alarm" else 0})
        follower.wait(30)
        assert (what, follower.status, follower.tasks.first().crashes) == (what, RunStatus.SUCCESS, 0)
        assert (what, *checker.executions(trace).values()) == (what, 1, 1)
        pids.add(pid_in(trace))
    assert len(pids) == 1, "no process has ended before the last"


# Waiting inside a task, and giving one up


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_that_waits_for_a_run_without_a_timeout_is_refused(site: Site, pool: str):
    site.kill()
    site.worker(pool=pool, concurrency=1)
    site.define("rough.WAITING", step("WAITING_FOR"))
    site.define("rough.NEVER", step("NOOP", queue="nobody"))
    never = site.start("rough.NEVER")
    waiting = site.run("rough.WAITING", {"run": str(never.pk)})
    assert waiting.status == RunStatus.FAILED
    assert waiting.error.startswith("WAITING_FOR: Misuse: run.wait() inside a task without a timeout")
    timed = site.run("rough.WAITING", {"run": str(never.pk), "timeout": 0.2})
    assert timed.error.startswith("WAITING_FOR: TimeoutError: ")
    engine.cancel(never)
    done = site.run("example.ETL")
    assert site.run("rough.WAITING", {"run": str(done.pk), "timeout": 5}).result == "success"


@pytest.mark.parametrize(
    ("pool", "ends"),
    [
        ("threads", "; its code runs on"),
        ("prefork", "; its worker was told to kill it"),
        ("gevent", "; its worker was told to kill it"),
    ],
)
def test_a_forced_cancel_says_what_it_knows_of_the_code(site: Site, trace: Path, pool: str, ends: str):
    if importlib.util.find_spec("gevent" if pool == "gevent" else "celery") is None:
        pytest.skip(f"{pool} is not installed")
    site.kill()
    site.expected |= {"Task handler raised error", "exited with 'signal"}
    worker = site.worker(pool=pool, concurrency=1)
    run = site.start("celery.TRACE", {"trace": str(trace), "seconds": 3})
    wait_for(trace.exists, what="TRACE works")
    wait_for(lambda: run.tasks.running().exists(), what="it is claimed")
    engine.cancel(run, force=True)
    said = "its code runs on." if pool == "threads" else f" is ended: its run {run.pk} was canceled with force."
    wait_for(lambda: said in worker.text(), 5, "the worker's log says it")
    (line,) = [line for line in worker.text().splitlines() if said in line]
    assert str(run.tasks.get(step="TRACE").pk) in line
    run.wait(5)
    wait_for(lambda: run.tasks.get(step="TRACE").reason.endswith(ends), 5, "the reason says it")
    assert run.tasks.get(step="TRACE").status == TaskStatus.CANCELED
    # The slot is free again, at once or when the code has come to its end.
    assert site.run("example.ETL").result == 60
    assert run.tasks.get(step="TRACE").status == TaskStatus.CANCELED
