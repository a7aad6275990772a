"""The supervisor's tick, its lease, and what it publishes."""

from __future__ import annotations

import math
import time

import pytest
from celery import current_app
from celery.app import routes
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_director import engine, signals
from django_director.conf import director
from django_director.db.functions import later
from django_director.dispatch import batches, publisher
from django_director.engine import outbox, parking, queries
from django_director.engine.supervisor import agenda, backlog, leases, publishing
from django_director.engine.supervisor.leadership import LEASE_NAME, LEASE_SECONDS
from django_director.engine.supervisor.loop import LOOKS, Supervisor
from django_director.models import Lease, Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, group, make_workflow

from . import driver

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"


def _make_due() -> None:
    Task.objects.queued().update(next_dispatch_at="2026-01-01T00:00:00Z")


def test_due_tasks_are_published_again_and_ever_more_seldom(published):
    run = driver.start("A")
    assert publishing.publish_due() == 0
    waits = []
    for _ in range(3):
        _make_due()
        assert publishing.publish_due() == 1
        task = run.tasks.get()
        waits.append(round((task.next_dispatch_at - run.created_at).total_seconds(), -1))
    assert waits == [60, 120, 240]
    assert {message.sequence for message in published} == {1}


@pytest.mark.parametrize(
    ("queued", "started", "delay"),
    [
        pytest.param(7_200, 0, 14_400, id="a queue of two hours"),
        pytest.param(3_600, 3_600, 7_200, id="all workers busy for an hour"),
        pytest.param(0, 0, 60, id="none"),
    ],
)
def test_a_backlog_is_not_published_over_and_over(published, queued: int, started: int, delay: int):
    run = driver.start(group("G", "X", "Y"))
    _run_since(run, "X", queued, started)
    assert [_next_delay(run, "Y") for _ in range(3)] == [delay] * 3


def _moving(published, *, waited: float, since: float = 0) -> Run:
    """X runs since so many seconds, after it has waited; Y and Z were published 90 seconds ago."""
    run = driver.start(group("G", "X", "Y", "Z"))
    _run_since(run, "X", waited + since, since)
    run.tasks.queued().update(queued_at=later(-90), next_dispatch_at=later(-30))
    published.clear()
    return run


def test_what_is_behind_others_in_a_moving_queue_is_not_published_again(published):
    run = _moving(published, waited=100)
    assert (publishing.publish_due(), published) == (0, [])
    assert {_due_in(run, "Y"), _due_in(run, "Z")} == {120}
    assert set(run.tasks.queued().values_list("dispatches", flat=True)) == {0}


@pytest.mark.parametrize(
    ("waited", "since"),
    [
        pytest.param(30, 0, id="others wait less"),
        pytest.param(100, 61, id="nothing has started for a grace: a single long task says nothing"),
    ],
)
def test_what_may_be_lost_is_published_again_after_the_grace(published, waited: float, since: float):
    _moving(published, waited=waited, since=since)
    assert publishing.publish_due() == 2


def test_what_was_never_published_is_not_taken_for_a_part_of_the_backlog(published):
    run = _moving(published, waited=100)
    outbox.expedite(run.tasks.filter(step="Z").values_list("pk", flat=True))
    assert publishing.publish_due() == 1
    assert [message.position for message in published] == [run.tasks.get(step="Z").position]


def test_a_queue_is_dry_when_nothing_runs_at_several_looks(published):
    supervisor = Supervisor()
    run = _moving(published, waited=100)
    assert supervisor.tick().published == 0
    # Short tasks: at many a moment none runs.
    running = run.tasks.filter(step="X")
    running.update(status=TaskStatus.SUCCESS, finished_at=later(0), lease_until=None)
    run.tasks.queued().update(next_dispatch_at=later(-30))
    assert [supervisor.tick().published for _ in range(3)] == [0, 0, 0]
    assert supervisor.tick().published == 2


def test_each_tick_looks_once_at_a_queue_in_which_nothing_runs(published):
    supervisor = Supervisor()
    run = _moving(published, waited=100)
    run.tasks.filter(step="Z").update(queue="other")
    # Y is behind others at the first.
    assert [supervisor.tick().published for _ in range(LOOKS)] == [0, 0, 0, 1]
    assert [message.position for message in published] == [run.tasks.get(step="Z").position]


def test_a_queue_that_is_seen_to_run_is_not_dry(monkeypatch):
    watch = backlog.Watch(looks=4)
    wait = backlog.Wait(100, 0)
    looks = iter([{}, {}, {"q": wait}, {}, {}, {}, {}])
    monkeypatch.setattr(backlog, "waits", lambda: next(looks))

    def doubtful(*queues: str) -> set[str]:
        watch.begin()
        return watch.doubtful(queues) | watch.doubtful(queues)

    assert [doubtful("q") for _ in range(6)] == [{"q"}, {"q"}, set(), {"q"}, {"q"}, {"q"}]
    assert doubtful("q", "other") == {"other"}


def test_what_a_backlog_has_put_off_is_expedited_when_it_is_over(published):
    run = driver.start(group("G", "X", "Y", "Z"))
    _run_since(run, "X", 7200, 0)
    assert _next_delay(run, "Z") == 14_400
    assert backlog.expedite() == 0, "it takes two hours still"
    _run_since(run, "Y", 0, 0)
    assert backlog.expedite() == 1
    assert _due_in(run, "Z") == 60
    assert backlog.expedite() == 0


def test_what_a_backlog_has_put_off_is_expedited_when_nothing_runs_any_more(published):
    run = driver.start(group("G", "X", "Y", "Z"))
    _run_since(run, "X", 7200, 0)
    assert _next_delay(run, "Y") == 14_400
    run.tasks.filter(step="X").update(status=TaskStatus.SUCCESS, finished_at=later(0), lease_until=None)
    watch = backlog.Watch(LOOKS)
    assert (backlog.expedite(watch), _due_in(run, "Y"), _due_in(run, "Z")) == (2, 0, 0), "they are the probes"
    assert backlog.expedite(watch) == 0


def test_where_nothing_runs_at_one_look_the_others_are_expedited_as_before(published):
    """Tasks may be short: a queue is dry after several looks only, and then all but its probes are left alone."""
    run = driver.start(group("G", *"ABCDEF"))
    run.tasks.update(next_dispatch_at=later(1_000), dispatches=1)
    watch = backlog.Watch(LOOKS)
    backlog.expedite(watch)
    assert sorted(_due_in(run, step) for step in "ABCDEF") == [0, 0, 0, 120, 120, 120]


def test_what_was_sent_in_vain_is_expedited_when_a_worker_comes(published):
    run = driver.start(group("G", "X", "Y"))
    for _ in range(4):
        delay = _next_delay(run, "Y")
    assert delay == 480
    _run_since(run, "X", 0, 0)
    assert Supervisor().tick().expedited == 1
    assert _due_in(run, "Y") == 60


def test_a_queue_is_not_expedited_by_another(published):
    run = driver.start(group("G", "X", "Y"))
    run.tasks.filter(step="Y").update(queue="other")
    for _ in range(3):
        _next_delay(run, "Y")
    watch = backlog.Watch(LOOKS)
    assert backlog.expedite(watch) == 1, "it is the probe of its queue"
    run.tasks.filter(step="Y").update(next_dispatch_at=later(240))
    _run_since(run, "X", 0, 0)
    assert backlog.expedite(watch) == 0


def test_a_queue_is_what_celery_routes_to(published, monkeypatch):
    router = routes.Router(routes.prepare({"S*": {"queue": "slow"}}), current_app.amqp.queues)
    monkeypatch.setattr(current_app.amqp, "router", router)
    run = driver.start(group("G", "S1", "S2", "F1", "F2", "F3"))
    run.tasks.filter(step="F2").update(queue="slow")
    run.tasks.queued().update(next_dispatch_at=later(18_000))
    _run_since(run, "S1", 3_600, 0)
    _run_since(run, "F1", 0, 0)
    assert backlog.waits().keys() == {"slow", "celery"}
    assert backlog.expedite() == 3
    assert [_due_in(run, step) for step in ("S2", "F2", "F3")] == [7_200, 7_200, 60]
    assert [_next_delay(run, step) for step in ("S2", "F2", "F3")] == [7_200, 7_200, 60]


def test_what_is_parked_is_not_expedited(published):
    run = driver.start(group("G", "X", "Y"))
    _run_since(run, "X", 0, 0)
    engine.pause(run)
    assert parking.defer(run.tasks.all()) == 1
    assert backlog.expedite() == 0
    assert parking.parked().count() == 1


def test_hastening_goes_on_chunk_by_chunk(published, monkeypatch):
    monkeypatch.setattr(backlog, "CHUNK", 2)
    run = driver.start(group("G", "X", *(f"Y{number}" for number in range(5))))
    run.tasks.queued().update(next_dispatch_at=later(3_600))
    _run_since(run, "X", 0, 0)
    assert backlog.expedite() == 5


def test_what_waited_for_an_outage_does_not_make_a_backlog(published):
    run = driver.start(group("G", "X", "Y", "Z"))
    _run_since(run, "X", 7200, 0)
    _run_since(run, "Y", 0, 0)
    assert _next_delay(run, "Z") == 60


def test_ending_many_tasks_does_not_read_their_definition_with_each(published):
    make_workflow(definition("test.WIDE", group("G", *(f"B{n}" for n in range(30)))))
    driver.claim(engine.start("test.WIDE"), "B1")
    with CaptureQueriesContext(connection) as seen:
        tasks = queries.read_to_end(Task.objects.queued())
        assert {len(task.run.version.graph.nodes) for task in tasks} == {30}
    assert len(tasks) == 29
    (query,) = seen
    assert '"definition"' not in query["sql"].replace("`", '"')


def _run_since(run: Run, step: str, queued: float, started: float) -> None:
    """Let a task run that was queued and started so many seconds ago."""
    driver.claim(run, step)
    run.tasks.filter(step=step).update(queued_at=later(-queued), started_at=later(-started))


def _next_delay(run: Run, step: str) -> int:
    """Seconds, in full minutes, until a queued task is published after its next publication."""
    run.tasks.filter(step=step).update(next_dispatch_at=later(-1))
    assert publishing.publish_due() == 1
    return _due_in(run, step)


def _due_in(run: Run, step: str) -> int:
    delay = run.tasks.get(step=step).next_dispatch_at - run.created_at
    return round(delay.total_seconds() / 60) * 60


def test_a_wide_fan_out_is_drained_in_batches(published):
    make_workflow(definition("test.WIDE", "A", group("G", *(f"B{n}" for n in range(1200)))))
    run = engine.start("test.WIDE")
    driver.succeed(run, "A")
    published.clear()
    counts = []
    while count := publishing.publish_due():
        counts.append(count)
    # 200 were left to the commit of A.
    assert counts == [500, 500]


def test_what_the_broker_did_not_take_is_due_at_once(published, monkeypatch, django_capture_on_commit_callbacks):
    def refuse(message, *_):
        raise OSError("no route")

    monkeypatch.setattr(batches, "send", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        run = driver.start("A")
    assert run.tasks.get().next_dispatch_at == run.tasks.get().queued_at
    monkeypatch.setattr(batches, "send", lambda message, *_: published.append(message))
    assert publishing.publish_due() == 0, "nobody tries while the broker is known to be down"
    publisher.breaker.reset()
    assert publishing.publish_due() == 1


@pytest.mark.django_db(transaction=True)
def test_a_broker_and_a_database_that_fail_together_harm_no_caller(published, monkeypatch, caplog):
    def refuse(message, *_):
        raise OSError("no route")

    def lose(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    monkeypatch.setattr(batches, "send", refuse)
    make_workflow(definition("test.FLOW", "A"))
    with connection.execute_wrapper(lose):
        run = engine.start("test.FLOW")
    assert _due_in(run, "A") == 60
    assert [record.levelname for record in caplog.records if record.name.startswith("django")] == ["WARNING"] * 2


def test_leases_expire_only_after_a_lease_of_quiet(published, settings):
    settings.DIRECTOR = {"LEASE": 100, "RENEW": 30}
    run = driver.start("A")
    driver.claim(run, "A")
    run.tasks.update(lease_until="2026-01-01T00:00:00Z")
    supervisor = Supervisor("one")
    assert supervisor._acquire()
    assert supervisor.tick().lost == 0
    supervisor._clock.steady_since -= 200
    supervisor._clock.leases -= 200
    assert supervisor.tick().lost == 1
    task = run.tasks.get()
    assert (task.status, task.crashes, task.sequence) == (TaskStatus.QUEUED, 1, 2)


def test_one_supervises_and_the_others_stand_by(published):
    one, two = Supervisor("one"), Supervisor("two")
    assert one._acquire()
    assert not two._acquire()
    assert one._acquire()
    Lease.objects.update(until="2026-01-01T00:00:00Z")
    assert two._acquire()
    assert not one._acquire()
    with driver.queries(2):
        one._acquire()


def test_an_idle_tick_costs_a_few_queries(published):
    supervisor = Supervisor("one")
    supervisor._acquire()
    supervisor.tick()
    with driver.queries(1):
        assert not supervisor.tick()


def test_a_held_lease_is_renewed_each_third_of_its_time(published):
    supervisor = Supervisor("one")
    supervisor._guarded_tick()
    before = Lease.objects.get(name=LEASE_NAME).until
    with driver.queries(1):
        supervisor._guarded_tick()
    assert Lease.objects.get(name=LEASE_NAME).until == before
    supervisor._leadership.renewed_at -= LEASE_SECONDS / 3
    supervisor._guarded_tick()
    assert Lease.objects.get(name=LEASE_NAME).until > before


def due() -> set[str]:
    found = agenda.poll(LEASE_NAME)._asdict().items()
    return {name for name, is_due in found if is_due} - {"in_queue", "in_work", "delayed"}


def test_it_looks_less_often_while_nothing_is_under_way(published):
    supervisor = Supervisor("one")
    assert supervisor._guarded_tick() == director.TICK
    run = driver.start("A", "Z")
    for step in ("A", "Z"):
        assert supervisor._guarded_tick() == director.TICK / LOOKS, "a task is queued"
        claim = driver.claim(run, step)
        supervisor._clock.moved = -math.inf
        assert supervisor._guarded_tick() == director.TICK / LOOKS, "a task runs"
        driver.end(claim, lambda claimed: None)
    assert supervisor._guarded_tick() == director.TICK / LOOKS, "one ran a moment ago"
    supervisor._clock.moved = -math.inf
    assert supervisor._guarded_tick() == director.TICK


def test_it_looks_often_while_a_task_is_to_be_tried_again(published):
    supervisor = Supervisor("one")
    driver.start("A").tasks.update(status=TaskStatus.WAITING, not_before=later(3600))
    assert supervisor._guarded_tick() == director.TICK / LOOKS


def test_what_is_due_is_seen_in_one_look(published):
    Supervisor("one")._acquire()
    run = driver.start("A")
    assert due() == set()
    run.tasks.update(next_dispatch_at=PAST)
    assert due() == {"publishing"}
    run.tasks.update(status=TaskStatus.WAITING, not_before=PAST)
    assert due() == {"waking"}
    run.tasks.update(not_before="2126-01-01T00:00:00Z")
    Run.objects.update(deadline_at=PAST)
    assert due() == {"stopping"}
    Run.objects.update(stop="cancel")
    assert due() == {"closing"}
    Run.objects.update(stop="", deadline_at=None)
    late = driver.claim(driver.start("A", name="test.OTHER"), "A")
    Task.objects.filter(pk=late.task_id).update(deadline_at=PAST)
    assert due() == {"ending"}
    Lease.objects.all().delete()
    assert agenda.poll(LEASE_NAME) == agenda.Due()
    assert all(agenda.Due())


@pytest.mark.django_db(transaction=True)
def test_a_broken_database_is_waited_for(published, settings):
    settings.DIRECTOR = {"TICK": 0.01}
    supervisor = Supervisor("one")

    def refuse(execute, sql, params, many, context):
        raise OperationalError("the server went away")

    with connection.execute_wrapper(refuse):
        assert supervisor._guarded_tick() > 0
    assert supervisor._guarded_tick() >= 0


def test_signals_after_commit(published, django_capture_on_commit_callbacks):
    seen: list[tuple[str, str]] = []

    def note(name, key):
        return lambda sender, **kwargs: seen.append((name, kwargs[key].status))

    listeners = {
        signals.run_started: note("run_started", "run"),
        signals.task_started: note("task_started", "task"),
        signals.task_finished: note("task_finished", "task"),
        signals.run_finished: note("run_finished", "run"),
    }
    for signal, listener in listeners.items():
        signal.connect(listener, weak=False)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            run = driver.start("A")
            driver.succeed(run, "A")
    finally:
        for signal, listener in listeners.items():
            signal.disconnect(listener)
    assert sorted(seen) == [
        ("run_finished", "success"),
        ("run_started", "running"),
        ("task_finished", "success"),
        ("task_started", "running"),
    ]


def test_runs_that_stop_are_closed_by_a_tick(published):
    run = driver.start("A", "B")
    Run.objects.update(stop="cancel")
    supervisor = Supervisor("one")
    supervisor._acquire()
    assert supervisor.tick().closed == 1
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED


def test_a_gap_within_a_tick_suspends_expiry_too(published, monkeypatch):
    run = driver.start("A")
    driver.claim(run, "A")
    Task.objects.update(lease_until="2026-01-01T00:00:00Z")
    supervisor = Supervisor("one")
    supervisor._clock.steady_since -= 1000
    publish_due = publishing.publish_due

    def publish_after_a_gap(watch):
        # As if the database had been silent for a quarter of the lease since the tick began.
        supervisor._clock.last_tick -= 25
        return publish_due(watch)

    monkeypatch.setattr(publishing, "publish_due", publish_after_a_gap)
    assert supervisor.tick().lost == 0
    assert run.tasks.get().status == TaskStatus.RUNNING


def test_a_renewal_after_the_look_saves_the_lease(published):
    run = driver.start("A")
    driver.claim(run, "A")
    Task.objects.update(lease_until="2026-01-01T00:00:00Z")

    def renew():
        Task.objects.update(lease_until="2126-01-01T00:00:00Z")
        return True

    assert leases.expire_leases(renew) == 0
    assert run.tasks.get().status == TaskStatus.RUNNING
    Task.objects.update(lease_until="2026-01-01T00:00:00Z")
    assert leases.expire_leases(lambda: False) == 0
    assert leases.expire_leases() == 1


def test_who_takes_over_again_does_not_wait_before_it_looks_at_silent_workers():
    """The time in which it stood by is no gap: the database has answered."""
    made = Supervisor("one")
    assert made._guarded_tick() >= 0
    made._reoffers._last = time.monotonic() - 60
    Lease.objects.update(holder="two", until=later(-1))
    made._leadership.is_held = False
    made._guarded_tick()
    assert made._leadership.is_held
    assert made._reoffers._trusted_at <= time.monotonic()
