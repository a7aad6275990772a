"""Large workflows: they end, their messages stay small, their rows are few."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection
from django.test import override_settings

from django_director import engine
from django_director.dispatch import publisher
from django_director.models import Gate, Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import group, step

from .conftest import Site
from .harness import Worker

pytestmark = pytest.mark.worker

MESSAGE_LIMIT = 1_300
START_SECONDS = 10
START_MEGABYTES = 200
HUGE_SECONDS = 30
"""Of this process's work; the others of a busy machine are not its business."""
HUGE_MEGABYTES = 300
FLAT_MEGABYTES = 15
"""What a worker may grow by from one chain to the next, of whatever length."""


def many(name: str, size: int) -> Any:
    return group(name, *(step(f"{name}-{number}", task="NOOP") for number in range(size)))


@pytest.fixture(autouse=True)
def _checked(checked: Site) -> None:
    """Every run of these tests is checked at its end."""


@pytest.fixture(scope="module")
def big_worker(site: Site) -> Worker:
    """A worker with the times of a real one, and without history, which costs a query at each claim and end."""
    return site.worker(concurrency=2, prefetch=64, DIRECTOR_TEST_HISTORY="", DIRECTOR_TEST_TIMES="real")


@pytest.mark.fault(28)
@pytest.mark.timeout(180)
def test_starting_ten_thousand_tasks(
    site: Site, use_broker: Callable[[str], None], record_property: Callable[[str, object], None]
):
    use_broker(f"memory://{uuid.uuid4().hex}")
    site.define("size.START", many("M", 10_000), step("Z", task="ADD"))
    before = resident("VmRSS")
    # What is peak memory from now on.
    Path("/proc/self/clear_refs").write_text("5")
    began = time.monotonic()
    run = engine.start("size.START")
    seconds = time.monotonic() - began
    megabytes = resident("VmHWM") - before
    report(record_property, "start of 10,001 tasks", seconds, f"{megabytes:.0f} MB more at the peak")
    assert seconds < START_SECONDS
    assert megabytes < START_MEGABYTES
    assert run.tasks.count() == 10_001
    engine.cancel(run)


@pytest.mark.fault(28)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_starting_a_hundred_thousand_tasks(
    site: Site, use_broker: Callable[[str], None], record_property: Callable[[str, object], None]
):
    use_broker(f"memory://{uuid.uuid4().hex}")
    site.define("size.HUGE", many("M", 99_999), step("Z", task="ADD"))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    with override_settings(DIRECTOR=settings.DIRECTOR | {"MAX_TASKS_PER_RUN": 100_000}):
        began, worked = time.monotonic(), time.process_time()
        run = engine.start("size.HUGE")
        seconds, worked = time.monotonic() - began, time.process_time() - worked
    megabytes = resident("VmHWM") - before
    rows, gates = run.tasks.count(), Gate.objects.filter(run=run).count()
    text = f"{worked:.1f} s of work, {megabytes:.0f} MB more at the peak"
    report(record_property, "start of 100,000 tasks", seconds, text)
    began = time.monotonic()
    engine.cancel(run)
    report(record_property, "cancel of 100,000 tasks", time.monotonic() - began, run.status)
    assert run.status == RunStatus.CANCELED
    assert worked < HUGE_SECONDS
    assert megabytes < HUGE_MEGABYTES
    assert rows == 100_000
    # A join of 99,999 in a tree of 64.
    assert gates == 1_563 + 25 + 1


def resident(what: str, process: int | str = "self") -> float:
    """Megabytes of a process: ``VmRSS`` now, ``VmHWM`` at the peak."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def wire_size(run: Run) -> int:
    """Bytes of the message that was published for the run's first task: body and headers."""
    wanted = f"{run.tasks.order_by('position')[0].pk}-1"
    with current_app.connection_for_write() as broker:
        queue = broker.SimpleQueue("celery")
        # The memory transport is one for the whole process: other tests may have left messages.
        while (message := queue.get(timeout=5)).headers["id"] != wanted:
            message.ack()
        message.ack()
    properties = {key: str(value) for key, value in message.properties.items()}
    return len(message.body) + len(json.dumps(message.headers)) + len(json.dumps(properties))


def test_a_message_is_small_and_the_same_for_any_size(site: Site, use_broker: Callable[[str], None]):
    use_broker(f"memory://{uuid.uuid4().hex}")
    site.define("size.SMALL", "NOOP", step("B", task="NOOP"), step("C", task="NOOP"))
    site.define("size.LARGE", step("A", task="NOOP"), many("M", 9_998), step("Z", task="ADD"))
    payload = {"text": "x" * 50_000}
    sizes = []
    for name in ("size.SMALL", "size.LARGE"):
        run = engine.start(name, payload)
        sizes.append(wire_size(run))
        engine.cancel(run)
    small, large = sizes
    assert abs(large - small) <= 100, sizes
    assert large < MESSAGE_LIMIT, sizes


@pytest.mark.fault(28)
def test_group_after_group_makes_rows_for_members_not_for_pairs(site: Site, use_broker: Callable[[str], None]):
    use_broker(f"memory://{uuid.uuid4().hex}")
    site.define("size.ROWS", many("A", 1_000), many("B", 1_000))
    run = engine.start("size.ROWS")
    assert Task.objects.filter(run=run).count() == 2_000
    # Two joins of 1,000 in trees of 64: 16 gates below and one above, each.
    assert Gate.objects.filter(run=run).count() == 34
    engine.cancel(run)


@pytest.mark.fault(28)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_chain_of_two_thousand(site: Site, big_worker: Worker, record_property: Callable[[str, object], None]):
    site.define("size.SHORT", *(step(f"T{number}", task="NOOP") for number in range(200)))
    site.define("size.CHAIN", *(step(f"T{number}", task="NOOP") for number in range(2_000)))
    finish(site, "size.SHORT", record_property)
    before = {pid: resident("VmRSS", pid) for pid in (big_worker.pid, *big_worker.children())}
    run = finish(site, "size.CHAIN", record_property)
    assert Gate.objects.filter(run=run).count() <= 1
    grown = {pid: round(resident("VmRSS", pid) - megabytes, 1) for pid, megabytes in before.items()}
    report(record_property, "processes grown by", 0, f"{grown} MB")
    assert max(grown.values()) < FLAT_MEGABYTES


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_group_of_ten_thousand_then_a_join(
    site: Site, big_worker: Worker, record_property: Callable[[str, object], None]
):
    site.define("size.JOIN", many("M", 10_000), step("LAST", task="ECHO"))
    run = finish(site, "size.JOIN", record_property)
    assert run.result["args"] == [[None] * 10_000]


@pytest.mark.fault(28)
@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("DIRECTOR_CI") != "whole", reason="skipped: minutes; DIRECTOR_CI=whole runs it")
@pytest.mark.timeout(3_600)
def test_a_hundred_thousand_tasks_to_their_end(
    site: Site, big_worker: Worker, record_property: Callable[[str, object], None]
):
    site.define("size.WARM", many("M", 1_000), step("LAST", task="ECHO"))
    site.define("size.ALL", many("M", 99_999), step("LAST", task="NOOP"))
    finish(site, "size.WARM", record_property)
    before = resident("VmRSS", big_worker.pid)
    with override_settings(DIRECTOR=settings.DIRECTOR | {"MAX_TASKS_PER_RUN": 100_000}):
        run = finish(site, "size.ALL", record_property, 3_500)
    grown = resident("VmRSS", big_worker.pid) - before
    report(record_property, "the worker's main process grown by", 0, f"{grown:.1f} MB")
    assert grown < FLAT_MEGABYTES
    assert run.tasks.filter(status=TaskStatus.SUCCESS, attempt=1).count() == 100_000
    # Messages that were published again would keep the last step waiting behind them.
    assert run.tasks.filter(dispatches__gt=1).count() < 5_000


@pytest.mark.fault(28)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_after_a_thousand(
    site: Site, big_worker: Worker, record_property: Callable[[str, object], None]
):
    site.define("size.PAIRS", many("A", 1_000), many("B", 1_000))
    finish(site, "size.PAIRS", record_property)


def finish(site: Site, name: str, record_property: Callable[[str, object], None], patience: float = 850) -> Run:
    """Run it to success within ``patience`` seconds and say how long it took."""
    began = time.monotonic()
    run = site.start(name)
    run.wait(patience)
    report(record_property, name, time.monotonic() - began, f"{run.tasks.count()} tasks")
    assert run.status == RunStatus.SUCCESS
    assert not publisher.breaker.is_open
    return run


def report(record_property: Callable[[str, object], None], name: str, seconds: float, more: str) -> None:
    text = f"{name} on {connection.vendor}: {seconds:.1f} s, {more}"
    record_property(name, text)
    print(text)
