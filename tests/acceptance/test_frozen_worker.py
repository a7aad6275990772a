"""How late a run is to which a frozen worker has nothing to do but that it takes messages from the same queue."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from django_director.models import Worker as WorkerRow
from django_director.status import RunStatus
from tests.factories import step, wait

from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(240)]
REAL = {"DIRECTOR_TEST_TIMES": "real"}
"""Leases and periods as sites have them."""
ROUNDS = 4
"""How often a worker is frozen."""


@pytest.fixture
def alone(site: Site) -> Iterator[Site]:
    """No process of another test, before and after."""
    site.kill()
    # A worker that goes on after a while finds its supervisor as it was before that.
    site.expected |= {"The supervisor gives no sign"}
    WorkerRow.objects.all().delete()
    site.define("frozen.FREE", step("A", task="NOOP"), wait("W", 1), step("B", task="BOUND"))
    yield site
    site.check()
    site.kill()
    site.empty_broker()


def bound(broker: str) -> float:
    """By how many seconds a run may be late; half of it was measured on a busy machine.

    A sign that is overdue is seen after three seconds, another supervisor comes within five. RabbitMQ gives the
    frozen worker as many messages as it may prefetch, and so each of a chain's may be late.
    """
    return 20.0 if broker.startswith("amqp") else 10.0


def seconds_of_a_run(site: Site) -> float:
    """How long a chain with a wait and a retry takes."""
    run = site.start("frozen.FREE", {"failures": 1, "countdown": 1})
    assert run.wait(120) == RunStatus.SUCCESS
    # By the database's clock: who waits for it looks at it ever more seldom.
    seconds: float = (run.finished_at - run.created_at).total_seconds()
    return seconds


def two_workers(site: Site) -> tuple[Worker, Worker]:
    workers = site.worker(**REAL), site.worker(**REAL)
    names = {worker.hostname for worker in workers}
    wait_for(lambda: names <= set(WorkerRow.objects.values_list("name", flat=True)), what="both are alive")
    return workers


def thaw(worker: Worker) -> None:
    """Let it go on, and wait until it says that it lives."""
    worker.signal(signal.SIGCONT)
    row = WorkerRow.objects.get(name=worker.hostname)
    wait_for(lambda: WorkerRow.objects.get(pk=row.pk).seen_at > row.seen_at, what="it is back")


@pytest.mark.fault(3)
@pytest.mark.parametrize("first", [True, False], ids=["the-one-that-supervises", "the-other"])
def test_a_frozen_worker_makes_a_run_little_late(alone: Site, first: bool):
    workers = two_workers(alone)
    undisturbed = min(seconds_of_a_run(alone) for _ in range(2))
    frozen = workers[0] if first else workers[1]
    late: list[float] = []
    for _ in range(ROUNDS):
        frozen.signal(signal.SIGSTOP)
        late += [seconds_of_a_run(alone) - undisturbed for _ in range(2)]
        thaw(frozen)
    print(f"undisturbed {undisturbed:.1f} s; late by", ", ".join(f"{seconds:.1f}" for seconds in late))
    assert max(late) < bound(alone.broker)
