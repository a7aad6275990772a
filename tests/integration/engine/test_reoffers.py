"""What a silent worker may have taken is sent again early, and nothing more than that."""

from __future__ import annotations

import math
from typing import Any

import pytest

from django_director.conf import director
from django_director.db.functions import later
from django_director.dispatch import publisher
from django_director.engine import parking
from django_director.engine.supervisor import reoffers
from django_director.engine.supervisor.reoffers import FEW, MOST, MOST_TRIES, SILENT_FOR, TRIES, Reoffers, silence
from django_director.engine.supervisor.workers import beat_period
from django_director.models import Run, Worker
from tests.factories import group

from . import driver

pytestmark = [pytest.mark.django_db, pytest.mark.fault(3), pytest.mark.usefixtures("published")]

PAUSE = 10


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that a test takes shall not count."""
    monkeypatch.setattr(reoffers, "PAUSE", PAUSE)


def worker(age: float, **fields: Any) -> Worker:
    times = {"started_at": later(-9999), "seen_at": later(-age)}
    return Worker.objects.create(key=Worker.objects.count() + 1, name="w", **times, **fields)


def run_of(number: int, age: float, name: str = "test.LATE") -> Run:
    """A run whose first tasks were sent so many seconds ago."""
    run = driver.start(group("G", *(f"A{n}" for n in range(number))), name=name)
    run.tasks.queued().update(queued_at=later(-age), next_dispatch_at=later(director.DISPATCH_GRACE - age))
    return run


@pytest.fixture
def silent() -> Worker:
    worker(0)
    return worker(silence() + 1)


@pytest.fixture
def late() -> Run:
    return run_of(3, PAUSE + 1)


def test_it_is_sent_again_and_once(published, silent: Worker, late: Run):
    published.clear()
    offers = Reoffers()
    assert [offers.send(), offers.send()] == [3, 0]
    assert {message.task_id for message in published} == set(late.tasks.values_list("pk", flat=True))


def test_a_copy_changes_nothing_about_when_the_message_itself_is_sent_again(published, silent: Worker, late: Run):
    before = list(late.tasks.order_by("pk").values())
    assert Reoffers().send() == 3
    assert list(late.tasks.order_by("pk").values()) == before


def test_what_the_broker_does_not_take_is_tried_again(silent: Worker, late: Run, monkeypatch: pytest.MonkeyPatch):
    offers = Reoffers()
    with monkeypatch.context() as patch:
        patch.setattr(publisher.breaker, "until", math.inf)
        assert offers.send() == 0
    assert offers.send() == 3


def test_a_paused_run_is_left_alone(silent: Worker, late: Run):
    Run.objects.update(paused_at=later(0))
    assert Reoffers().send() == 0


@pytest.mark.parametrize("silent_ones", [1, 2, 9])
def test_the_same_is_sent_a_few_times_for_each_silent_worker(
    published, silent: Worker, silent_ones: int, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(silent_ones - 1):
        worker(silence() + 60)
    run = run_of(1, 0)
    published.clear()
    offers = Reoffers()
    monkeypatch.setattr(director, "DISPATCH_GRACE", 2**9 * PAUSE)
    for number in range(1, 9):
        run.tasks.update(queued_at=later(-(2 ** (number - 1)) * PAUSE - 0.1))
        for _ in range(2):
            offers.send()
        assert len(published) == min(number, TRIES * silent_ones, MOST_TRIES)


def test_a_task_that_is_queued_anew_is_another_message(silent: Worker, late: Run):
    offers = Reoffers()
    assert offers.send() == 3
    late.tasks.update(sequence=2, next_dispatch_at=later(30))
    assert offers.send() == 3


@pytest.mark.parametrize(
    "ages",
    [
        pytest.param([0, beat_period()], id="nobody is silent"),
        pytest.param([silence() + 1, silence() + 2], id="all are: the database was away"),
        pytest.param([0, SILENT_FOR + 1], id="one that is gone for long"),
        pytest.param([silence() + 1], id="there is no other worker"),
        pytest.param([], id="there is no worker"),
    ],
)
def test_without_a_silent_worker_beside_another_nothing_is_sent_again(late: Run, ages: list[float]):
    for age in ages:
        worker(age)
    assert Reoffers().send() == 0


def test_a_worker_that_is_not_watched_may_be_silent(late: Run):
    worker(0)
    worker(silence() + 1, is_watched=False)
    assert Reoffers().send() == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"queued_at": later(0)}, id="sent a moment ago"),
        pytest.param({"queued_at": later(-director.DISPATCH_GRACE - 1)}, id="older than the grace"),
        pytest.param({"next_dispatch_at": later(-1)}, id="due anyway"),
        pytest.param({"next_dispatch_at": later(parking.PARKED + 100)}, id="parked"),
        pytest.param({"unknown_since": later(0)}, id="unknown to a worker"),
        pytest.param({"unsendable_since": later(0)}, id="not sent at all"),
    ],
)
def test_other_messages_are_left_alone(silent: Worker, late: Run, changes: dict[str, Any]):
    late.tasks.update(**changes)
    assert Reoffers().send() == 0


def test_a_backlog_is_left_alone(silent: Worker):
    run_of(FEW + 1, PAUSE + 1)
    assert Reoffers().send() == 0


def test_a_queue_that_moves_is_left_alone(silent: Worker, late: Run):
    """What has just started had waited for as long; what is silent may have taken nothing."""
    other = driver.start("X", name="test.OTHER")
    driver.claim(other, "X")
    other.tasks.update(queued_at=later(-PAUSE - 1), started_at=later(0))
    assert Reoffers().send() == 0


def test_beside_a_long_task_alone_it_is_sent_again(silent: Worker, late: Run):
    other = driver.start("X", name="test.OTHER")
    driver.claim(other, "X")
    other.tasks.update(queued_at=later(-30), started_at=later(-30))
    assert Reoffers().send() == 3


def test_one_silent_worker_costs_so_many_messages(silent: Worker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reoffers, "MOST", 5)
    assert MOST > FEW
    offers = Reoffers()
    sent = []
    for number in range(3):
        run_of(2, PAUSE + 1, f"test.R{number}")
        sent.append(offers.send())
    assert sent == [2, 2, 1]
    Worker.objects.all().delete()
    assert offers.send() == 0
    worker(0)
    worker(silence() + 1)
    assert offers.send() > 0, "it is another one"
