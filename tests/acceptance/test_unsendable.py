"""A message that can't be sent holds up no other, and its task fails with the reason; with real workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from kombu import Queue

from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.models import Lease, Run
from django_director.status import RunStatus, TaskStatus
from tests.factories import group, step

from .conftest import Site
from .harness import Worker, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(120), pytest.mark.fault(35), pytest.mark.thorough]

RUNS = 6
SECONDS = 10.0
"""In which runs of some milliseconds end beside it, also on a busy machine."""
TTL = 6
"""Seconds, as in the workers' settings."""


@pytest.fixture(scope="module")
def worker(site: Site) -> Worker:
    settings = "tests.acceptance.unsendable_settings"
    worker = site.worker(queues="celery", DJANGO_SETTINGS_MODULE=settings)
    wait_for(lambda: Lease.objects.exists(), what="somebody supervises")
    return worker


@pytest.fixture
def taken(site: Site) -> Any:
    """A queue that somebody has declared in another way."""
    if not site.broker.startswith("amqp"):
        pytest.skip("skipped: only RabbitMQ compares declarations")
    with current_app.connection_for_write() as connection, connection.channel() as channel:
        queue = Queue("taken", durable=False, channel=channel)
        queue.declare()
        yield queue
        queue.delete()


def beside(site: Site, trace: Path, *bad: Any) -> Run:
    """A run with ``bad`` in the middle of a group; runs beside it and the group's other members end in time."""
    members = [step(f"M{number}", task="TRACE") for number in range(4)]
    site.define("unsendable.RUN", "NOOP", group("G", *members[:2], *bad, *members[2:]))
    lease = wait_for(lambda: Lease.objects.filter(name=LEASE_NAME).first(), what="somebody supervises")
    supervisor = lease.holder
    run = site.start("unsendable.RUN", {"trace": str(trace)})
    wait_for(lambda: run.tasks.filter(unsendable_since__isnull=False).exists(), what="it can't be sent")
    began = time.monotonic()
    others = [site.start("example.ETL") for _ in range(RUNS)]
    site.wait(others, SECONDS)
    assert {other.status for other in others} == {RunStatus.SUCCESS}
    others_of_it = run.tasks.filter(name="TRACE")
    wait_for(lambda: {task.status for task in others_of_it.all()} == {TaskStatus.SUCCESS}, SECONDS, "the others")
    assert time.monotonic() - began < TTL + SECONDS
    assert run.wait(TTL + 30) == RunStatus.FAILED
    assert Lease.objects.get(name=LEASE_NAME).holder == supervisor, "the supervisor has died"
    assert site.run("example.ETL", timeout=SECONDS).status == RunStatus.SUCCESS
    return run


def test_a_queue_that_celery_does_not_know(checked: Site, worker: Worker, trace: Path):
    checked.expected |= {"can't be sent"}
    run = beside(checked, trace, step("BAD", task="NOOP", queue="other"))
    error = run.tasks.get(step="BAD").error
    assert "can't be sent to queue `other`: QueueNotFound" in error
    lines = [line for line in worker.text().splitlines() if "to queue `other`" in line]
    # One of the process that has finished the step before, one of the supervisor.
    assert 1 <= len(lines) <= 2
    assert "NOOP" in lines[0]


def test_a_router_that_raises_for_one_task(checked: Site, worker: Worker, trace: Path):
    checked.expected |= {"can't be sent"}
    run = beside(checked, trace, "ECHO")
    assert "can't be sent to any queue: LookupError: no route to ECHO" in run.tasks.get(step="ECHO").error


def test_a_queue_that_was_declared_otherwise(checked: Site, worker: Worker, taken: Any, trace: Path):
    checked.expected |= {"can't be sent"}
    run = beside(checked, trace, step("BAD", task="NOOP", queue="taken"))
    assert "can't be sent to queue `taken`: PreconditionFailed" in run.tasks.get(step="BAD").error
