"""The connection that messages are published through."""

from __future__ import annotations

from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection, pools

from django_director.dispatch import connections
from tests.services import require_broker

REDIS = "redis://127.0.0.1:6379/0"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    # Celery prefers it to what it is told.
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    return Celery("connecting", broker=REDIS, set_as_current=False)


def test_messages_to_redis_share_a_client(app: Celery):
    require_broker(REDIS)
    queue = f"director-test-{uuid4().hex}"
    with connections.connect_to_publish(app) as connection, connection.clone() as copy:
        channel = copy.default_channel
        client = channel._create_client()
        try:
            for number in range(2):
                copy.Producer().publish({"n": number}, routing_key=queue, serializer="json")
            # What is sent after the connection was lost goes by another pool.
            channel._disconnect_pools()
            copy.Producer().publish({"n": 2}, routing_key=queue, serializer="json")
            assert channel._create_client() is not client
            assert channel._create_client() is channel._create_client()
            received = [copy.SimpleQueue(queue).get_nowait().payload["n"] for _ in range(3)]
        finally:
            channel.queue_delete(queue)
    assert received == [0, 1, 2]


@pytest.mark.parametrize("url", ["memory://", "pyamqp://", "sentinel://nowhere"])
def test_other_transports_are_as_they_were(app: Celery, url: str):
    app.conf.broker_url = url
    found = connections.connect_to_publish(app)
    assert found.get_transport_cls() is app.connection_for_write().get_transport_cls()


def test_control_commands_go_over_the_connection_they_are_given():
    app = Celery("connecting", broker="memory://", set_as_current=False)
    app.conf.broker_url = "memory://"
    # The app's pool was made for another broker, as by whatever was published before.
    app.amqp._producer_pool = pools.producers[Connection("redis://127.0.0.1:1/0")]
    with app.connection_for_write() as connection:
        box = app.control.mailbox.get_queue("listener")
        queue = box(connection.default_channel)
        queue.declare()
        connections.mailbox(app, connection).abcast("ping")
        message = queue.get()
    assert message.payload["method"] == "ping"
