"""Approvals and waits with a real worker, which is killed while they wait."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from django_director import engine
from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from tests.factories import approval, group, step, wait
from tests.speed import allowed, crowding

from .conftest import Site
from .harness import manage, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(180)]
LATE = 2.0
"""Seconds after its time by which a wait has ended, while 200 others end and the machine runs other tests too: all
processor's work, see ``allowed``."""


@pytest.fixture(autouse=True)
def workflows(checked: Site) -> None:
    checked.define("waits.ASK", "NOOP", approval("OK", prompt="Go on?"), step("LAST", task="ECHO"))
    checked.define("waits.TIMED", approval("OK", timeout=1, on_timeout="approve"), "NOOP")
    checked.define("waits.WAIT", wait("W", 1.5), "NOOP")
    checked.define("waits.LONG", wait("W", 3), "NOOP")
    checked.define("waits.UNTIL", wait("W", until="payload.at"), "NOOP")
    checked.define("waits.WRONG", wait("W", until="payload.at"), "NOOP")
    checked.define("waits.MANY", group("G", *(wait(f"W{n}", 1) for n in range(200))), "NOOP")


def work(site: Site) -> None:
    """Let somebody work, if nobody does."""
    if not site.programs:
        site.worker()


def asked(site: Site, name: str = "waits.ASK") -> Run:
    run = site.start(name)
    wait_for(run.tasks.asked().exists, 30, "somebody is asked")
    return run


def lateness(run: Run, name: str, seconds: float) -> float:
    task = run.tasks.get(step=name)
    return float((task.finished_at - task.started_at - timedelta(seconds=seconds)).total_seconds())


def test_an_approval_by_command_after_the_worker_was_killed_and_restarted(site: Site):
    work(site)
    run = asked(site)
    site.kill()
    assert run.tasks.get(step="OK").status == TaskStatus.WAITING
    preview = manage(site.broker, "approvetask", f"{run.pk}:OK", "--dry-run")
    assert "Go on?" in preview.stdout, preview.stderr
    site.worker()
    done = manage(site.broker, "approvetask", f"{run.pk}:OK", "--comment", "fine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(run.pk)
    assert run.wait(30) == RunStatus.SUCCESS
    again = manage(site.broker, "approvetask", f"{run.pk}:OK", "--reject")
    assert again.returncode == 1
    assert "can't be rejected: it was approved" in again.stderr


def test_a_decision_while_no_worker_runs(site: Site):
    work(site)
    run = asked(site)
    site.kill()
    engine.reject(run.tasks.get(step="OK"), comment="no")
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "OK: Rejected: no")
    engine.retry(run)
    site.worker()
    wait_for(run.tasks.asked().exists, 30, "somebody is asked again")
    task = run.tasks.get(step="OK")
    assert (task.status, task.decision, task.attempt) == ("waiting", None, 1)
    engine.approve(task)
    assert run.wait(30) == RunStatus.SUCCESS


def test_waits_and_timeouts_are_on_time(site: Site):
    work(site)
    past = site.start("waits.UNTIL", {"at": 0})
    # The worker is up then, however slow the machine is: it would be what is late.
    site.wait([past], 60)
    at = timezone.now() + timedelta(seconds=4)
    runs = [site.start("waits.WAIT"), site.start("waits.TIMED")]
    until = site.start("waits.UNTIL", {"at": at.isoformat()})
    many = site.start("waits.MANY")
    wrong = site.start("waits.WRONG", {"at": "soon"})
    site.wait([*runs, until, many, wrong], 60)
    assert {run.status for run in [*runs, until, past, many]} == {RunStatus.SUCCESS}
    late = allowed(LATE) * crowding()
    assert 0 <= lateness(runs[0], "W", 1.5) < late
    assert 0 <= lateness(runs[1], "OK", 1) < late
    ended: datetime = until.tasks.get(step="W").finished_at
    assert 0 <= (ended - at).total_seconds() < late
    assert wrong.error.startswith("W: ExpressionError: `payload.at`, column 1: it gives a text, which is no time")


@pytest.mark.slow
def test_a_wait_survives_the_worker(site: Site):
    work(site)
    run = site.start("waits.LONG")
    wait_for(run.tasks.waiting().exists, 30, "it waits")
    site.kill()
    site.worker()
    assert run.wait(30) == RunStatus.SUCCESS
    assert run.tasks.get(step="W").attempt == 1
    assert lateness(run, "W", 3) >= 0


def test_a_wait_holds_no_worker(site: Site):
    site.kill()
    site.worker(pool="solo", concurrency=1)
    waiting = site.start("waits.LONG")
    wait_for(waiting.tasks.waiting().exists, 30, "it waits")
    other = site.start("waits.UNTIL", {"at": 0})
    assert other.wait(20) == RunStatus.SUCCESS
    assert Run.objects.get(pk=waiting.pk).status == RunStatus.RUNNING
    assert waiting.wait(20) == RunStatus.SUCCESS
