"""A start waits for no result backend and leaves nothing there: nobody asks for a step's result by Celery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app, shared_task
from celery.backends.base import DisabledBackend
from celery.signals import before_task_publish

from django_director import engine
from django_director.dispatch import publisher
from tests.factories import definition, make_workflow, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault(47)]


@shared_task(name="tests.backend.KEPT", ignore_result=False)
def kept() -> None: ...


class Away(DisabledBackend):
    """As Redis and RPC do it, the caller is made ready for a result; here that does not work."""

    def on_task_call(self, producer: Any, task_id: str) -> Any:
        raise RuntimeError("Retry limit exceeded while trying to reconnect to the Celery result store backend.")


@pytest.fixture
def headers(monkeypatch: Any) -> Iterator[list[dict[str, Any]]]:
    """Those of the messages that were sent."""
    found: list[dict[str, Any]] = []

    def note(headers: dict[str, Any], **_: Any) -> None:
        found.append(headers)

    app: Any = current_app._get_current_object()
    monkeypatch.setattr(app.conf, "broker_url", "memory://")
    monkeypatch.setattr(type(app), "backend", Away(app))
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    before_task_publish.connect(note)
    yield found
    before_task_publish.disconnect(note)
    publisher._pool.cache_clear()


def test_a_message_is_sent_whatever_the_result_backend_says(headers):
    make_workflow(definition("test.FLOW", "tests.backend.KEPT"))
    task = engine.start("test.FLOW").tasks.get()
    assert (task.status, task.reason, len(headers)) == ("queued", "", 1)


@pytest.mark.parametrize("name", ["KEPT", "ELSEWHERE"])
def test_the_message_leaves_it_to_the_task_whether_its_result_is_stored(headers, name):
    make_workflow(definition("test.FLOW", step("A", task=f"tests.backend.{name}")))
    engine.start("test.FLOW")
    (sent,) = headers
    assert not sent["ignore_result"]
