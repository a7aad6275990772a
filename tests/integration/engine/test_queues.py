"""Which queue a step goes to, from its workflow's file to the broker: each pair of the order of precedence."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from celery import current_app, shared_task

from django_director import engine
from django_director.definitions import read_files
from django_director.dispatch import batches, publisher, routing
from tests.factories import make_workflow

pytestmark = pytest.mark.django_db


@shared_task(name="tests.queues.PLAIN")
def plain() -> None: ...


@shared_task(name="tests.queues.OWN")
def with_an_option() -> None: ...


#: From the strongest to the weakest.
ORDER = ("step", "custom by id", "custom by task", "default", "defaults", "own", "setting")


@pytest.fixture
def sent(monkeypatch) -> Any:
    """The queues of the messages that would have been sent. The settings of the tests route ROUTED."""
    found: list[str | None] = []

    def send(message: publisher.Message, *_: Any) -> None:
        app = current_app._get_current_object()
        queue = app.amqp.router.route(routing.options(app, message), message.name)["queue"]
        found.append(getattr(queue, "name", queue))

    # As `queue=` of the decorator, of which Celery warns.
    monkeypatch.setattr(with_an_option, "queue", "own option", raising=False)
    monkeypatch.setattr(batches, "send", send)
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    yield found
    publisher._pool.cache_clear()


def text(said: set[str], task: str) -> str:
    options = [f"task: {task}", *(["queue: step"] if "step" in said else [])]
    customs = ["ID: custom by id"] if "custom by id" in said else []
    customs += [f"{task}: custom by task"] if "custom by task" in said else []
    queue = [f"customs: {{{', '.join(customs)}}}"] if customs else []
    queue += ["default: default"] if "default" in said else []
    lines = [f"  tasks: [ID: {{{', '.join(options)}}}]"]
    lines += [f"  queue: {{{', '.join(queue)}}}"] if queue else []
    lines += ["  defaults: {queue: defaults}"] if "defaults" in said else []
    return "\n".join(["test.FLOW:", *lines, ""])


def queue_of(said: set[str], task: str, tmp_path: Any, settings: Any, sent: list[Any], capture: Any) -> Any:
    settings.DIRECTOR = {"DEFAULT_QUEUE": "setting"} if "setting" in said else {}
    (tmp_path / "w.yml").write_text(text(said, task))
    reading = read_files([tmp_path / "w.yml"])
    assert reading.problems == ()
    make_workflow(reading.definitions[0])
    sent.clear()
    with capture(execute=True):
        engine.start("test.FLOW")
    (queue,) = sent
    return queue


@pytest.mark.parametrize(("stronger", "weaker"), list(combinations(ORDER, 2)))
def test_each_pair(stronger, weaker, tmp_path, settings, sent, django_capture_on_commit_callbacks):
    said = {stronger, weaker}
    task = "tests.queues.OWN" if "own" in said else "tests.queues.PLAIN"
    found = queue_of(said, task, tmp_path, settings, sent, django_capture_on_commit_callbacks)
    assert found == {"own": "own option"}.get(stronger, stronger)


@pytest.mark.parametrize("other", [name for name in ORDER if name != "own"])
def test_routes_are_as_the_tasks_own_options(other, tmp_path, settings, sent, django_capture_on_commit_callbacks):
    found = queue_of({other}, "ROUTED", tmp_path, settings, sent, django_capture_on_commit_callbacks)
    assert found == ("routed" if other == "setting" else other)


def test_without_any_it_is_celerys(tmp_path, settings, sent, django_capture_on_commit_callbacks):
    found = queue_of(set(), "tests.queues.PLAIN", tmp_path, settings, sent, django_capture_on_commit_callbacks)
    assert found == current_app.conf.task_default_queue
