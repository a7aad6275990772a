"""Messages that come three times, shuffled, or not at all; eight supervisors, or none."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_director.db.functions import Now
from django_director.models import Lease, Run, Task
from django_director.status import RunStatus

from . import checker
from .conftest import Site
from .harness import Program, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(300)]

SUPERVISORS = 8
#: Each has a lease of its own, so that none stands by.
SUPERVISE = """
import sys
import django
django.setup()
from tests.testapp.celery import app
app.set_current()
from django_director.engine.supervisor import leadership, loop
leadership.LEASE_NAME = f"supervisor {sys.argv[1]}"
supervisor = loop.Supervisor()
print("ready", flush=True)
supervisor.run()
"""


class Helper(Program):
    """A Python process beside the workers."""

    ready = "ready"

    def __init__(self, site: Site, *args: str) -> None:
        super().__init__(site.broker, site.folder, "helper")
        self.command = [sys.executable, *args]
        site.programs.append(self)


@pytest.fixture
def alone(checked: Site) -> Iterator[Site]:
    """The site, without the processes and the messages of another test."""
    checked.kill()
    checked.empty_broker()
    checked.expected |= {"exited with 'signal"}
    yield checked
    checked.check()
    checked.kill()


@pytest.mark.fault(19)
def test_messages_thrice_shuffled_or_not_at_all(alone: Site, trace: Path):
    relay = Helper(alone, "-m", "tests.acceptance.relay", "victim", "special", "19")
    relay.start()
    workers = [alone.worker(queues="special") for _ in range(2)]
    runs = [alone.start("fault.UNRULY", {"trace": str(trace), "seconds": 0.05}) for _ in range(8)]
    alone.wait(runs, 180)
    assert_done_once(runs, trace)
    assert {task.worker for task in Task.objects.filter(run__in=runs)} == {worker.hostname for worker in workers}
    passed = [tuple(map(int, counted)) for counted in re.findall(r"(\d+) came, (\d+) went", relay.text())]
    came, went = map(sum, zip(*passed, strict=True))
    assert came > len(trace.read_text().splitlines()), "what was dropped was sent again"
    assert came < went < 3 * came


def assert_done_once(runs: list[Run], trace: Path) -> None:
    """All succeed, and no code ran twice."""
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    executed = checker.executions(trace)
    assert set(executed) == {str(task.pk) for task in Task.objects.filter(run__in=runs, name="TRACE")}
    assert set(executed.values()) == {1}


@pytest.mark.fault(21)
def test_eight_supervisors_that_all_work(alone: Site, trace: Path):
    supervisors = [Helper(alone, "-c", SUPERVISE, str(number)) for number in range(SUPERVISORS)]
    for supervisor in supervisors:
        supervisor.launch()
    for supervisor in supervisors:
        wait_for(supervisor.is_ready, 60, "a supervisor is ready")
    wait_for(lambda: Lease.objects.count() == SUPERVISORS, what="all work")
    victim = alone.worker(queues="victim", concurrency=1, prefetch=1, DIRECTOR_TEST_SUPERVISOR="process")
    lost = alone.start("fault.VICTIM", {"trace": str(trace), "seconds": 1})
    wait_for(trace.exists, what="a task works")
    victim.kill()
    alone.worker(queues="victim,celery", DIRECTOR_TEST_SUPERVISOR="process")
    again = [alone.start("fault.AGAIN", {"failures": 2, "countdown": 1}) for _ in range(6)]
    runs = [alone.start("fault.RUN", {"trace": str(trace), "seconds": 0.1}) for _ in range(10)]
    for _ in range(3):
        alone.empty_broker()
        ran = len(trace.read_text().splitlines())
        wait_for(lambda ran=ran: len(trace.read_text().splitlines()) >= ran + 5, what="some have run")
    alone.wait([lost, *again, *runs], 120)
    assert {run.status for run in [lost, *again, *runs]} == {RunStatus.SUCCESS}
    first, second = lost.tasks.order_by("position")
    assert (first.crashes, first.attempts.count(), second.crashes) == (1, 1, 0)
    assert {(run.tasks.get().attempt, run.tasks.get().attempts.count()) for run in again} == {(3, 2)}
    executed = checker.executions(trace)
    assert executed.pop(str(first.pk)) == 2
    assert set(executed.values()) == {1}


@pytest.mark.fault(21)
def test_a_supervisor_after_a_while_without_catches_up(alone: Site, trace: Path):
    victim = alone.worker(queues="victim", concurrency=1, prefetch=1, DIRECTOR_TEST_SUPERVISOR="process")
    lost = alone.start("fault.VICTIM", {"trace": str(trace), "seconds": 1})
    wait_for(trace.exists, what="a task works")
    victim.kill()
    waiting = alone.start("celery.BOUND", {"failures": 1, "countdown": 1})
    dropped = alone.start("fault.RUN", {"trace": str(trace)})
    alone.empty_broker()
    working = alone.start("fault.RUN", {"trace": str(trace)})
    alone.worker(queues="victim,celery", DIRECTOR_TEST_SUPERVISOR="process")
    alone.wait([working], 30)
    runs = [lost, waiting, dropped]
    overdue = Task.objects.filter(run__in=runs)
    wait_for(lambda: overdue.running().filter(lease_until__lt=Now()).exists(), what="a lease has ended")
    wait_for(
        lambda: overdue.queued().filter(next_dispatch_at__lt=Now()).count() == 2, what="what was lost is overdue"
    )
    assert not Lease.objects.exists(), "nobody supervises"
    assert not any(Run.objects.get(pk=run.pk).is_finished for run in runs)
    Helper(alone, "-m", "django", "superviseworkflows").launch()
    alone.wait(runs, 60)
    assert {run.status for run in runs} == {RunStatus.SUCCESS}
    assert lost.tasks.order_by("position")[0].crashes == 1
