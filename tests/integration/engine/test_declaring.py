"""A queue is declared before something is sent to it, and not for each message."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app
from celery.signals import before_task_publish

from django_director.dispatch import publisher
from django_director.engine import outbox
from tests.factories import group, step

from . import driver

pytestmark = pytest.mark.django_db


@pytest.fixture
def declared(monkeypatch) -> Any:
    """For each message the names of the queues that were declared for it."""
    found: list[list[str]] = []

    def note(declare: Any, **_: Any) -> None:
        found.append([queue.name for queue in declare])

    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    before_task_publish.connect(note)
    yield found
    before_task_publish.disconnect(note)
    publisher._pool.cache_clear()


def messages(queue: str | None = None) -> list[publisher.Message]:
    run = driver.start(group("G", step("A", queue=queue), step("B", queue=queue)))
    return [outbox.message_for(run.pk, run.version.graph, position, 1) for position in range(2)]


def test_once_in_a_batch_and_again_in_the_next(declared):
    batch = messages("q")
    assert publisher.publish(batch).sent == publisher.publish(batch).sent == batch
    assert declared == [["q"], [], ["q"], []]


def test_for_each_message_where_a_router_may_choose(declared, monkeypatch):
    names = iter(["one", "other"])
    monkeypatch.setattr(current_app.amqp.router, "routes", [lambda *_, **__: {"queue": next(names)}])
    assert len(publisher.publish(messages()).sent) == 2
    assert declared == [["one"], ["other"]]
