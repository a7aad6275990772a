"""What a channel promises, on real rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, transaction
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from kombu import Connection, Consumer, Exchange, Producer, Queue

import django_director.broker  # noqa: F401 - makes director:// known
from django_director.broker import consumers, liveness, models
from django_director.broker.consumers import sweep
from django_director.broker.store import Store, later

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"polling_interval": 0.01, "polling_fast": 0.01}


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    opened: list[Any] = []

    def connect(**options: Any) -> Any:
        opened.append(Connection("director://", transport_options=QUICK | options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def store() -> Store:
    return Store("default")


def publish(connection: Any, *bodies: Any, queue: str = "work", **options: Any) -> None:
    producer = Producer(connection.default_channel)
    for body in bodies:
        producer.publish(body, routing_key=queue, serializer="json", **options)


def get(connection: Any, queue: str = "work", *, no_ack: bool = False) -> Any:
    return connection.default_channel.basic_get(queue, no_ack=no_ack)


def drain(connection: Any) -> None:
    """Deliver until nothing is left."""
    try:
        while True:
            connection.drain_events(timeout=0.05)
    except TimeoutError:
        return


def test_a_message_arrives_as_it_was_sent(connect: Callable[..., Any]) -> None:
    publish(connect(), {"text": "ä€\U0001f600", "nul": "\0"}, headers={"id": "x"})
    message = get(connect())
    assert message.payload == {"text": "ä€\U0001f600", "nul": "\0"}
    assert message.headers["id"] == "x"
    assert message.delivery_info["redelivered"] is False


def test_an_acknowledged_message_is_gone(connect: Callable[..., Any]) -> None:
    connection = connect()
    publish(connection, 1)
    get(connection).ack()
    connection.release()
    assert get(connect()) is None


def test_a_held_message_is_nobody_elses(connect: Callable[..., Any]) -> None:
    publish(connect(), 1)
    held = get(connect())
    assert get(connect()) is None
    assert held.payload == 1


def test_a_rejected_message_is_gone_and_a_requeued_one_comes_first(connect: Callable[..., Any]) -> None:
    connection = connect()
    publish(connection, 1, 2, 3)
    get(connection).reject()
    get(connection).requeue()
    message = get(connect())
    assert (message.payload, message.delivery_info["redelivered"]) == (2, True)


def test_a_closed_connection_gives_back_what_it_held(connect: Callable[..., Any]) -> None:
    connection = connect()
    publish(connection, 1, 2)
    get(connection).ack()
    get(connection)
    connection.release()
    assert get(connect()).payload == 2
    assert models.Consumer.objects.count() == 1


def test_without_acknowledgement_a_message_goes_with_its_delivery(connect: Callable[..., Any]) -> None:
    publish(connect(), 1)
    assert get(connect(), no_ack=True).payload == 1
    assert not models.Message.objects.exists()
    assert not models.Consumer.objects.exists(), "who holds nothing need not sign on"


def test_the_highest_priority_leaves_first_and_among_equals_the_oldest(connect: Callable[..., Any]) -> None:
    connection = connect()
    for number, priority in enumerate([None, 5, 9, 5, 0, 77]):
        publish(connection, number, priority=priority)
    assert [get(connection).payload for _ in range(6)] == [2, 5, 1, 3, 0, 4]


def test_queues_are_apart(connect: Callable[..., Any]) -> None:
    connection = connect()
    publish(connection, 1, queue="a")
    publish(connection, 2, 3, queue="b")
    channel = connection.default_channel
    assert [channel.queue_declare(queue, passive=True).message_count for queue in "ab"] == [1, 2]
    assert get(connection, "b").payload == 2
    assert channel.queue_purge("b") == 1, "what somebody holds is not purged"
    assert [channel._size(queue) for queue in "ab"] == [1, 0]


def test_a_passive_declaration_of_an_unknown_queue_fails(connect: Callable[..., Any]) -> None:
    connection = connect()
    with pytest.raises(connection.channel_errors, match="no queue 'nothing'"):
        connection.default_channel.queue_declare("nothing", passive=True)


def test_queues_have_their_turn(connect: Callable[..., Any]) -> None:
    connection, seen = connect(), []
    publish(connection, *["a"] * 5, queue="a")
    publish(connection, *["b"] * 5, queue="b")
    queues = [Queue("a"), Queue("b")]
    with Consumer(connection, queues, callbacks=[lambda body, message: seen.append(body)], no_ack=True):
        drain(connection)
    assert seen == ["a", "b"] * 5


def test_no_more_is_taken_than_the_prefetch_count(connect: Callable[..., Any]) -> None:
    connection, held = connect(), []
    publish(connection, *range(5))
    consumer = Consumer(connection, [Queue("work")], callbacks=[lambda body, message: held.append(message)])
    consumer.qos(prefetch_count=2)
    with consumer:
        drain(connection)
        assert [message.payload for message in held] == [0, 1]
        held[0].ack()
        drain(connection)
    assert [message.payload for message in held] == [0, 1, 2]
    assert models.Message.objects.filter(claimed_by=None).count() == 2


def test_a_fanout_reaches_everybody(connect: Callable[..., Any]) -> None:
    exchange = Exchange("news", type="fanout", durable=False)
    listeners, seen = [connect(), connect()], []
    bound = [Queue(f"news-{n}", exchange, auto_delete=True) for n in range(2)]
    consumers = [
        Consumer(listener, [queue], callbacks=[lambda body, message: seen.append(body)], no_ack=True)
        for listener, queue in zip(listeners, bound, strict=True)
    ]
    for consumer in consumers:
        consumer.consume()
    Producer(connect().default_channel, exchange=exchange, serializer="json").publish("all")
    for listener in listeners:
        drain(listener)
    assert seen == ["all", "all"]


def test_a_topic_reaches_who_listens_to_it(connect: Callable[..., Any]) -> None:
    exchange = Exchange("events", type="topic")
    for name, key in {"all": "#", "tasks": "task.*", "workers": "worker.#"}.items():
        Queue(name, exchange, routing_key=key)(connect().default_channel).declare()
    producer = Producer(connect().default_channel, exchange=exchange, serializer="json")
    producer.publish("x", routing_key="task.sent")
    assert {row.queue for row in models.Message.objects.all()} == {"all", "tasks"}


def test_an_unbound_queue_gets_no_more(connect: Callable[..., Any]) -> None:
    exchange, channel = Exchange("direct"), connect().default_channel
    queue = Queue("work", exchange, routing_key="key")(channel)
    queue.declare()
    queue.unbind_from(exchange, routing_key="key")
    Producer(channel, exchange=exchange).publish("x", routing_key="key")
    assert not models.Message.objects.exists()


def test_a_message_belongs_to_the_transaction_that_sends_it(connect: Callable[..., Any]) -> None:
    connection = connect()
    with transaction.atomic():
        publish(connection, "lost", declare=[Queue("work", Exchange("work"), routing_key="work")])
        transaction.set_rollback(True)
    assert get(connect()) is None
    with transaction.atomic():
        publish(connection, "kept")
    assert get(connect()).payload == "kept"


def test_a_queue_declared_in_a_lost_transaction_is_still_served(connect: Callable[..., Any]) -> None:
    connection = connect()
    exchange = Exchange("orders")
    queue = Queue("work", exchange, routing_key="new")
    with transaction.atomic():
        publish(connection, "lost", queue="new", exchange=exchange, declare=[queue])
        transaction.set_rollback(True)
    publish(connection, "kept", queue="new", exchange=exchange, declare=[queue])
    assert get(connect()).payload == "kept"


@pytest.mark.parametrize("body", ["{", "[]", '{"body": "x"}'])
def test_what_nobody_can_read_is_set_aside_once(
    connect: Callable[..., Any], caplog: pytest.LogCaptureFixture, body: str
) -> None:
    models.Message.objects.create(queue="work", body=body)
    connection = connect()
    publish(connection, "good")
    assert get(connection).payload == "good"
    assert get(connection) is None
    assert models.Message.objects.get(queue="undecodable").body == body
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def consumer_row(**values: Any) -> models.Consumer:
    here = liveness.this_process()._asdict()
    return models.Consumer.objects.create(**{"id": uuid4(), "lease_until": later(300)} | here | values)


DEAD = {
    "ended": {"pid": 2**22 + 1},
    "another with its number": {"pid": os.getppid(), "started": "1"},
    "ended connection of this process": {},
    "lease of another machine": {"machine": "elsewhere", "lease_until": later(-1)},
}
ALIVE = {
    "on another machine": {"machine": "elsewhere", "pid": 2**22 + 1},
    "busy for longer than its lease": {
        "pid": os.getppid(),
        "started": liveness._stat(os.getppid())[1],
        "lease_until": later(-1),
    },
}


@pytest.mark.parametrize("values", DEAD.values(), ids=DEAD)
def test_what_the_dead_held_is_free(connect: Callable[..., Any], store: Store, values: dict[str, Any]) -> None:
    row = consumer_row(**values)
    publish(connect(), 1)
    models.Message.objects.update(claimed_by=row.pk, deliveries=1)
    store.declare("pidbox", 1, row.pk)
    store.bind("all", "", "pidbox")
    sweep(store)
    assert get(connect()).delivery_info["redelivered"] is True
    assert not models.TransientQueue.objects.exists()
    assert not models.Binding.objects.exists()


@pytest.mark.parametrize("values", ALIVE.values(), ids=ALIVE)
def test_what_the_living_hold_is_theirs(connect: Callable[..., Any], store: Store, values: dict[str, Any]) -> None:
    row = consumer_row(**values)
    publish(connect(), 1)
    models.Message.objects.update(claimed_by=row.pk)
    store.declare("pidbox", -1, row.pk)
    sweep(store)
    assert get(connect()) is None
    assert models.TransientQueue.objects.exists()


def test_a_consumer_frees_what_the_dead_held_by_itself(connect: Callable[..., Any]) -> None:
    publish(connect(), 1)
    models.Message.objects.update(claimed_by=uuid4())
    connection, seen = connect(), []
    with Consumer(connection, [Queue("work")], callbacks=[lambda body, message: seen.append(body)]):
        drain(connection)
    assert seen == [1]


def test_a_queue_of_replies_nobody_reads_expires(connect: Callable[..., Any], store: Store) -> None:
    Queue("replies", Exchange("reply"), routing_key="me", expires=10)(connect().default_channel).declare()
    publish(connect(), "answer", queue="replies")
    sweep(store)
    assert models.TransientQueue.objects.exists()
    models.TransientQueue.objects.update(expires_at=later(-1))
    sweep(store)
    left = (models.TransientQueue, models.Binding, models.Message)
    assert [model.objects.count() for model in left] == [0, 0, 0]


def test_a_queue_taken_over_meanwhile_is_kept(store: Store) -> None:
    store.declare("pidbox", 60, uuid4())
    stale = models.TransientQueue.objects.filter(owner=models.TransientQueue.objects.get().owner)
    stale = stale.filter(owner__in=[row.owner for row in stale])
    store.declare("pidbox", 60, None)
    assert store.drop("pidbox", only=stale) is False
    assert models.TransientQueue.objects.get().owner is None


def test_a_transient_queue_goes_with_its_channel(connect: Callable[..., Any]) -> None:
    connection = connect()
    queue = Queue("pidbox", Exchange("all", type="fanout"), auto_delete=True)
    consumer = Consumer(connection, [queue], no_ack=True)
    consumer.consume()
    consumer.cancel()
    assert models.Binding.objects.filter(queue="pidbox").exists()
    connection.release()
    assert not models.TransientQueue.objects.exists()
    assert not models.Binding.objects.exists()


def test_who_lost_its_lease_comes_back_under_another_name(
    connect: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    connection = connect(lease=0)
    publish(connection, 1)
    held = get(connection)
    before = models.Consumer.objects.get().pk
    models.Consumer.objects.all().delete()
    assert get(connection) is None
    assert models.Consumer.objects.get().pk != before
    again = get(connect())
    assert again.payload == 1, "the sweep of the second connection has freed it"
    held.ack()
    assert "not this consumer's any more" in caplog.text
    assert models.Message.objects.filter(pk__isnull=False).count() == 1


def test_a_lost_control_queue_is_made_again(connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_director.broker.channel._TOUCH", 0)
    connection, seen = connect(), []
    exchange = Exchange("all", type="fanout", durable=False)
    queue = Queue("pidbox", exchange, auto_delete=True)
    with Consumer(connection, [queue], callbacks=[lambda body, message: seen.append(body)], no_ack=True):
        drain(connection)
        models.TransientQueue.objects.all().delete()
        models.Binding.objects.all().delete()
        drain(connection)
        Producer(connect().default_channel, exchange=exchange, serializer="json").publish("hello")
        drain(connection)
    assert seen == ["hello"]


def test_publishing_is_one_statement(connect: Callable[..., Any]) -> None:
    connection = connect()
    publish(connection, 0)
    with CaptureQueriesContext(database) as queries:
        publish(connection, 1)
    assert len(queries) == 1


def test_an_empty_look_is_one_read_per_queue(connect: Callable[..., Any]) -> None:
    connection = connect()
    with Consumer(connection, [Queue("a"), Queue("b")]):
        connection.transport.poll()
        with CaptureQueriesContext(database) as queries:
            assert connection.transport.poll() is False
    assert len(queries) == 2


def test_a_ready_message_is_found_by_the_index(store: Store) -> None:
    plan = store.free("work").order_by("rank", "id").explain()
    if database.vendor == "sqlite":
        assert "USING INDEX director_broker_message" in plan
        assert "TEMP B-TREE" not in plan


def test_acknowledging_while_the_database_is_away_is_made_up_for(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    publish(connection, 1)
    message = get(connection)
    with pytest.raises(connection.connection_errors), database.execute_wrapper(_away):
        message.ack()
    assert models.Message.objects.count() == 1
    connection.transport.poll()
    assert models.Message.objects.count() == 0


def _away(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    raise OperationalError("the database is away")


def test_the_holders_of_this_process_are_known_to_it(connect: Callable[..., Any]) -> None:
    connection = connect()
    connection.default_channel.basic_get("work")
    name = models.Consumer.objects.get().pk
    assert name in consumers._living
    connection.release()
    assert name not in consumers._living
