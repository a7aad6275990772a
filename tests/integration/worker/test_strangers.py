"""Whose a message is, and what becomes of one of another installation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import connection, transaction
from kombu import Connection, Queue
from kombu.common import QoS

from django_director import engine
from django_director.dispatch import installation, publisher
from django_director.dispatch.messages import HEADER
from django_director.engine import outbox
from django_director.engine.attempts.tickets import Ticket
from django_director.models import Installation, Run, Task
from django_director.worker import control, foreign_messages, missing_runs
from tests.factories import definition, make_workflow, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault(37)]

QUEUE = "celery"


@pytest.fixture(autouse=True)
def _broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A broker in memory, with nothing in it, and nobody warned yet."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    current_app.loader.import_default_modules()
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    foreign_messages._warned.clear()
    take_all()
    yield
    take_all()
    publisher._pool.cache_clear()


def take_all() -> list[Any]:
    """What lies in the queue."""
    found: list[Any] = []
    with current_app.connection_for_write() as broker, broker.channel() as channel:
        queue = Queue(QUEUE)(channel)
        queue.declare()
        while message := queue.get(no_ack=True):
            found.append(message)
    return found


def published(**header: Any) -> Any:
    """A message as a worker gets it, with these changes of our header."""
    make_workflow(definition("test.ONE", step("NOOP", priority=7, timeout=60)))
    task = engine.start("test.ONE").tasks.select_related("run__version").get()
    publisher.publish([outbox.message_of(task, task.run.version.content_hash)])
    message = take_all()[-1]
    message.headers[HEADER] |= header
    return message


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("django_director")]


class Post:
    """A consumer's border, and what came of the messages that it met."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.acknowledged = 0
        self.timer: list[tuple[float, Callable[..., Any], tuple[Any, ...]]] = []
        self.consumer = SimpleNamespace(
            app=current_app,
            hostname="here@tests",
            connection=Connection("redis://user:hidden@nowhere:6379/3"),
            connection_errors=(),
            qos=QoS(lambda **_: None, 8),
            timer=SimpleNamespace(call_after=lambda *call: self.timer.append(call)),
        )
        self.border = foreign_messages.Border(self.consumer)

    def meet(self, message: Any) -> None:
        self.border.handle(lambda *given: self.taken.append(given[0]), message, None, self._acknowledge, None, ())

    def fire(self) -> None:
        calls, self.timer = self.timer, []
        for _, call, given in calls:
            call(*given)

    def _acknowledge(self, *_: Any) -> None:
        self.acknowledged += 1


def test_a_message_carries_the_id_of_its_database_and_stays_small():
    message = published()
    assert message.headers[HEADER]["installation"] == Installation.objects.get().uid == installation.current_id()
    assert len(message.body) + len(str(message.headers)) < 1200


@pytest.mark.parametrize("header", [{}, {"installation": ""}])
def test_what_is_ours_is_taken_and_so_is_what_says_nothing(header: dict[str, Any]):
    post, message = Post(), published(**header)
    post.meet(message)
    assert (post.taken, post.acknowledged, take_all()) == ([message], 0, [])


def test_a_worker_that_did_not_learn_who_it_is_asks_again_soon(monkeypatch: pytest.MonkeyPatch):
    """As when its database was silent while it started."""
    monkeypatch.setattr(installation, "known_id", lambda: "")
    monkeypatch.setattr(
        installation, "refresh_id", lambda patience: monkeypatch.setattr(installation, "known_id", lambda: "us")
    )
    post, message = Post(), published(installation="them")
    post.border._learned_at = time.monotonic()
    post.meet(message)
    assert post.taken == [message], "at once it would be asked for each message"
    post.border._learned_at -= foreign_messages.UNKNOWN_PERIOD + 1
    post.meet(message)
    assert len(post.taken) == 1
    assert len(take_all()) == 1


@pytest.mark.parametrize("header", ["director", {"installation": ["x"], "handed_on": "often"}])
def test_a_header_that_means_nothing_ends_no_worker(header: Any):
    message = published()
    message.headers[HEADER] = header
    Post().meet(message)


def test_a_foreign_message_goes_back_as_it_came(caplog: pytest.LogCaptureFixture):
    post, message = Post(), published(installation="other")
    post.meet(message)
    (again,) = take_all()
    assert (post.taken, post.acknowledged, post.timer) == ([], 1, [])
    assert again.headers[HEADER] == message.headers[HEADER] | {"handed_on": 1, "by": "here@tests"}
    assert {**again.headers, HEADER: 0} == {**message.headers, HEADER: 0}
    assert again.payload == message.payload
    for key in ("priority", "correlation_id", "delivery_mode"):
        assert again.properties[key] == message.properties[key]
    assert message.headers["timelimit"] != [None, None]
    (text,) = warnings(caplog)
    assert "from queue `celery` on redis://nowhere:6379/3; two projects share this broker" in text


def test_it_goes_back_compressed_if_it_came_so():
    message = published(installation="other")
    with current_app.amqp.producer_pool.acquire() as producer:
        producer.publish(message.payload, routing_key=QUEUE, headers=message.headers, compression="gzip")
    (compressed,) = take_all()
    Post().meet(compressed)
    (again,) = take_all()
    assert again.headers["compression"] == compressed.headers["compression"] == "application/x-gzip"
    assert again.payload == message.payload


def test_strangers_alone_hold_it_longer_and_longer_and_drop_it_at_last(caplog: pytest.LogCaptureFixture):
    post, message = Post(), published(installation="other")
    pauses = []
    for _ in range(foreign_messages.MOST):
        post.meet(message)
        pauses.append(post.timer[0][0] if post.timer else 0)
        post.fire()
        (message,) = take_all()
    assert post.consumer.qos.value == 8
    assert pauses[:2] == [0, 0]
    assert 0 < pauses[2] < 0.1
    assert all(0.5 <= pause <= 1 for pause in pauses[7:])
    assert 20 < sum(pauses) < 50
    post.meet(message)
    assert (take_all(), post.timer, post.acknowledged) == ([], [], foreign_messages.MOST + 1)
    assert [text.split(" of another")[0] for text in warnings(caplog)] == [
        "This worker took a message",
        "This worker drops messages",
    ]


def test_what_is_held_does_not_count_as_prefetched_and_is_not_acknowledged():
    post = Post()
    post.meet(published(installation="other", handed_on=10))
    assert (post.consumer.qos.value, post.acknowledged, len(post.timer)) == (9, 0, 1)
    post.consumer.connection = Connection("memory://")
    post.fire()
    assert (post.acknowledged, take_all()) == (0, []), "the broker delivers it once more"


def test_a_broker_that_does_not_take_it_back_is_asked_again_later():
    post, message = Post(), published(installation="other")
    publisher.breaker.trip()
    post.meet(message)
    assert (post.acknowledged, [call[0] for call in post.timer]) == (0, [publisher.COOL_DOWN])
    post.fire()
    assert (post.acknowledged, len(post.timer)) == (0, 1)
    publisher.breaker.reset()
    post.fire()
    assert (post.acknowledged, post.timer, len(take_all()), post.consumer.qos.value) == (1, [], 1, 8)


def test_a_named_exchange_may_lead_to_many_queues_so_only_a_known_one_is_used():
    find = foreign_messages.queue_of
    info = {"exchange": "celery", "routing_key": "celery"}
    assert find(current_app, info) == "celery"
    assert find(current_app, info | {"routing_key": "any.thing"}) == ""
    assert find(current_app, {"exchange": "", "routing_key": "special"}) == "special"


def test_the_owner_is_told_who_took_it(caplog: pytest.LogCaptureFixture):
    post = Post()
    for _ in range(2):
        post.meet(published(handed_on=1, by="there@staging"))
    assert len(post.taken) == 2
    (text,) = warnings(caplog)
    assert "from queue `celery` on redis://nowhere:6379/3 was taken by there@staging first" in text


def test_a_new_id_of_our_database_is_seen_before_its_messages_are_refused():
    post, message = Post(), published()
    Installation.objects.update(uid="renamed")
    message.headers[HEADER]["installation"] = "renamed"
    post.border._learned_at -= foreign_messages.PERIOD + 1
    try:
        post.meet(message)
        assert post.taken == [message]
    finally:
        installation._ids.clear()


def missed(message: Any) -> Ticket:
    """Let a worker perform a message that it could not claim; what it said."""
    task = current_app.tasks["NOOP"]
    ticket = Ticket.parse(message.headers["id"], message.headers["task"], message.headers[HEADER])
    task.push_request(
        **message.headers,
        properties=message.properties,
        delivery_info={"exchange": "", "routing_key": QUEUE},
        hostname="here@tests",
    )
    try:
        missing_runs.forward(task, task.request, ticket)
    finally:
        task.pop_request()
    return ticket


def test_a_message_of_a_run_that_is_not_here_is_handed_on_a_few_times(caplog: pytest.LogCaptureFixture):
    message = published()
    Run.objects.all().delete()
    caplog.clear()
    for times in range(1, missing_runs.MOST + 1):
        missed(message)
        (again,) = take_all()
        assert again.headers[HEADER] == message.headers[HEADER] | {"missed": times, "by": "here@tests"}
        assert {**again.headers, HEADER: 0, "eta": 0} == {**message.headers, HEADER: 0, "eta": 0}
        assert (again.payload, again.properties["priority"]) == (message.payload, message.properties["priority"])
        message = again
    assert message.headers["eta"] is not None
    missed(message)
    assert take_all() == []
    (text,) = warnings(caplog)
    assert "a project whose database is a copy of this one" in text


def test_a_duplicate_is_dropped_quietly(caplog: pytest.LogCaptureFixture):
    message = published()
    Task.objects.update(sequence=5)
    caplog.clear()
    missed(message)
    assert (take_all(), warnings(caplog)) == ([], [])


def test_a_worker_of_another_installation_knows_none_of_our_tasks():
    consumer = SimpleNamespace(task_consumer=SimpleNamespace(queues=[SimpleNamespace(name=QUEUE)]))
    state = SimpleNamespace(app=current_app, consumer=consumer)
    wanted = [["NOOP", QUEUE]]
    assert control.who_knows(state, wanted, whose=installation.current_id()) == [0]
    assert control.who_knows(state, wanted) == [0]
    assert control.who_knows(state, wanted, whose="other") == []


def test_the_id_outlives_a_flush():
    before = installation.current_id()
    call_command("flush", verbosity=0, interactive=False)
    assert Installation.objects.get().uid == installation.current_id() == before


def test_two_processes_that_make_it_at_once_have_the_same():
    Installation.objects.all().delete()
    installation._ids.clear()
    Installation.objects.create(uid="faster")
    assert installation._create() == "faster"
    assert installation.current_id() == "faster"
    installation._ids.clear()


def test_without_its_table_there_is_no_id_and_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(Installation._meta, "db_table", "not_migrated_yet")
    installation._ids.clear()
    with caplog.at_level(logging.ERROR), transaction.atomic():
        assert installation.current_id() == ""
        assert not Run.objects.filter(pk=None).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    monkeypatch.undo()
    assert installation.current_id() == Installation.objects.get().uid


def test_in_a_transaction_nothing_is_made():
    Installation.objects.all().delete()
    installation._ids.clear()
    with transaction.atomic():
        assert installation.current_id() == ""
    assert installation.current_id() == Installation.objects.get().uid
