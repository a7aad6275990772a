"""A queue in which nothing runs: only a few probes are sent again, and all that is lost when one is taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F, Min

from django_director import engine
from django_director.db.functions import later
from django_director.dispatch import publisher
from django_director.engine import parking
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.tickets import Ticket
from django_director.engine.supervisor import backlog, probes, publishing
from django_director.engine.supervisor.loop import LOOKS
from django_director.models import Run, Task
from django_director.status import TaskStatus
from tests.factories import definition, group, make_workflow, step

from . import driver

pytestmark = [pytest.mark.django_db, pytest.mark.fault(36)]
HOUR = 3_600
MANY = 2 * publishing.BATCH + 200
"""More than the supervisor sends at two ticks."""
TIMES = ("queued_at", "next_dispatch_at", "started_at", "lease_until")


class Site:
    """A supervisor, a broker that is a list, and a clock: what passes is taken from the rows' times."""

    def __init__(self, published: list[publisher.Message], callbacks: Any) -> None:
        self.queue = published
        self.callbacks = callbacks
        self.taken = 0
        self.watch = backlog.Watch(LOOKS)

    def start(self, number: int) -> Run:
        make_workflow(definition("test.WIDE", group("G", *(step(f"B{n}", task="B") for n in range(number)))))
        with self.callbacks(execute=True):
            run: Run = engine.start("test.WIDE")
        self.supervise(number // publishing.BATCH + 2)
        return run

    @property
    def sent(self) -> int:
        """How many messages there were so far."""
        return len(self.queue)

    @property
    def waiting(self) -> int:
        return len(self.queue) - self.taken

    def supervise(self, looks: int = LOOKS + 2) -> None:
        """What the supervisor's ticks do about queues."""
        for _ in range(looks):
            publishing.publish_due(self.watch)

    def hasten(self) -> None:
        """What it does each sixth of a lease."""
        backlog.expedite(self.watch)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, in which the supervisor works whenever something is due."""
        while seconds > 0:
            first = Task.objects.queued().aggregate(first=Min("next_dispatch_at"), now=Min(later(0)))
            until_due = (first["first"] - first["now"]).total_seconds() if first["first"] else seconds
            passed = min(seconds, max(until_due, 0) + 0.5)
            shift = {name: F(name) - timedelta(seconds=passed) for name in TIMES}
            Task.objects.update(**shift)
            for queue, found in self.watch.probes.items():
                since = found.since - timedelta(seconds=passed)
                self.watch.probes[queue] = found._replace(since=since)
            seconds -= passed
            self.supervise()
            self.hasten()

    def lose(self) -> None:
        """The broker loses all it has."""
        self.taken = len(self.queue)

    def work(self, number: int) -> int:
        """A worker takes so many messages, one after the other; return how many were duplicates."""
        messages = self.queue[self.taken : self.taken + number]
        self.taken += len(messages)
        return sum(not self.do(message) for message in messages)

    @staticmethod
    def do(message: publisher.Message) -> bool:
        claimed = take(message)
        return claimed is not None and finish.finish(claimed, None)


def take(message: publisher.Message) -> Any:
    ticket = Ticket(
        task_id=message.task_id,
        sequence=message.sequence,
        name=message.name,
        run_id=message.run_id,
        position=message.position,
        version=message.version,
        map_index=-1,
    )
    return claims.claim(ticket, "tests")


@pytest.fixture
def site(published: list[publisher.Message], django_capture_on_commit_callbacks: Any) -> Site:
    return Site(published, django_capture_on_commit_callbacks)


@pytest.mark.parametrize("hours", [2, pytest.param(48, marks=pytest.mark.slow)])
def test_a_queue_without_workers_is_not_filled(site: Site, hours: int):
    site.start(MANY)
    assert site.sent == MANY
    site.pass_time(hours * HOUR)
    again = site.sent - MANY
    # Each at 1, 3, 7, 15, 31 and 63 minutes, and then each hour.
    assert again <= probes.PROBES * (6 + hours)
    # Workers come: all runs, in order, and what comes later stands behind the few that were sent again.
    run = Task.objects.first().run
    assert site.work(MANY) == 0
    site.supervise()
    site.hasten()
    assert not run.tasks.queued().exists()
    assert site.waiting == again
    assert site.work(again) == again


def test_the_messages_that_are_lost_meanwhile_are_sent_again_when_a_worker_comes(site: Site):
    run = site.start(MANY)
    site.pass_time(5 * HOUR)
    site.lose()
    site.pass_time(HOUR + 60)
    assert 0 < site.waiting <= 2 * probes.PROBES
    site.work(1)
    site.supervise(LOOKS + MANY // publishing.BATCH + 2)
    assert site.waiting >= MANY - 1
    assert site.work(site.waiting) < 2 * probes.PROBES
    assert not run.tasks.queued().exists()


def test_what_is_lost_while_workers_wait_is_sent_again_after_the_grace(site: Site):
    run = site.start(MANY)
    site.lose()
    site.pass_time(60)
    assert site.waiting == probes.PROBES
    site.work(probes.PROBES)
    site.supervise(LOOKS + MANY // publishing.BATCH + 2)
    assert site.waiting == MANY - probes.PROBES
    assert site.work(site.waiting) == 0
    assert not run.tasks.queued().exists()


def test_a_queue_that_moves_again_is_left_alone(site: Site):
    """Short tasks with pauses, as with a rate limit: nothing runs at most looks, and nothing is lost."""
    site.start(300)
    site.pass_time(10 * HOUR)
    sent = site.sent
    for _ in range(60):
        assert site.work(1) == 0
        site.pass_time(60)
    assert site.sent - sent <= 2 * probes.PROBES


def test_a_probe_that_runs_for_long_does_not_hold_up_what_is_lost(site: Site):
    run = site.start(20)
    site.pass_time(HOUR)
    site.lose()
    site.pass_time(HOUR)
    claimed = take(site.queue[site.taken])
    assert claimed is not None
    site.taken += 1
    site.supervise()
    assert site.waiting <= 2 * probes.PROBES, "it may be the first of those that others take"
    site.pass_time(61)
    assert {message.task_id for message in site.queue[site.taken :]} >= set(
        run.tasks.queued().values_list("pk", flat=True)
    )


def test_a_supervisor_that_comes_new_probes_at_once(site: Site):
    site.start(20)
    site.pass_time(3 * HOUR)
    sent = site.sent
    site.watch = backlog.Watch(LOOKS)
    site.hasten()
    site.supervise()
    assert site.sent - sent == probes.PROBES
    site.hasten()
    site.supervise()
    assert site.sent - sent == probes.PROBES


def test_other_probes_are_chosen_when_theirs_can_not_be_taken_any_more(site: Site):
    run = site.start(20)
    site.pass_time(61)
    first = site.watch.probes["celery"].tasks
    run.tasks.filter(pk__in=first).update(status=TaskStatus.CANCELED, finished_at=later(0), next_dispatch_at=None)
    site.pass_time(2 * HOUR)
    assert site.watch.probes["celery"].tasks.isdisjoint(first)
    assert {message.task_id for message in site.queue[-probes.PROBES :]} == site.watch.probes["celery"].tasks


def test_what_was_sent_after_the_probes_is_not_taken_for_lost(site: Site):
    site.start(20)
    site.pass_time(2 * HOUR)
    site.lose()
    site.pass_time(HOUR)
    run = driver.start("B", name="test.LATER")
    run.tasks.update(queued_at=later(0), next_dispatch_at=later(60))
    site.work(site.waiting)
    site.supervise()
    assert run.pk not in {message.run_id for message in site.queue}


def test_what_is_parked_is_no_probe(site: Site):
    run = site.start(5)
    other = driver.start("B", name="test.OTHER")
    engine.pause(other)
    parking.defer(other.tasks.all())
    site.pass_time(2 * HOUR)
    assert {message.run_id for message in site.queue} == {run.pk}
    assert site.watch.probes["celery"].tasks <= set(run.tasks.values_list("pk", flat=True))


def test_queues_are_probed_each_for_itself(site: Site):
    site.start(20)
    Task.objects.filter(position__lt=10).update(queue="other")
    site.pass_time(61)
    assert site.watch.probes.keys() == {"celery", "other"}
    queues = [Task.objects.get(pk=message.task_id).queue for message in site.queue[20:]]
    assert sorted(queues) == [""] * probes.PROBES + ["other"] * probes.PROBES
