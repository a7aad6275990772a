"""Messages that can't be sent: the others go on, the task says why, and fails when that stays so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from celery.exceptions import QueueNotFound
from django.db import DataError
from kombu import Connection
from kombu.exceptions import EncodeError, OperationalError

from django_director import engine
from django_director.db.functions import later
from django_director.dispatch import batches, publisher, refusals, remote_control, routing
from django_director.engine import outbox
from django_director.engine.supervisor import backlog, publishing, unknown_tasks, unsendable_tasks
from django_director.engine.supervisor.loop import Supervisor
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, group, make_workflow, step

from . import driver

pytestmark = [pytest.mark.django_db, pytest.mark.fault(35)]
GIVEN = os.environ.get("CELERY_BROKER_URL", "")
WHY = "can't be sent to queue `other`: QueueNotFound: Queue 'other' missing from task_queues"


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A broker in this process, and a Celery that makes no queue by itself."""
    use(monkeypatch, "memory://")
    monkeypatch.setattr(current_app.amqp.queues, "create_missing", False)
    # Another test may have made it.
    monkeypatch.delitem(current_app.amqp.queues, "other", raising=False)
    refusals._reported.clear()
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    # A broker in memory is one for all tests.
    received("other")
    yield
    publisher._pool.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let Celery take this broker: it looks into its environment first."""
    # In this order: Celery's setting reads the variable, and would keep its value afterwards.
    monkeypatch.setattr(current_app.conf, "broker_url", url)
    monkeypatch.setenv("CELERY_BROKER_URL", url)


def received(queue: str = "celery") -> list[str]:
    """The names of the tasks whose messages wait in a queue; they are taken out."""
    names = []
    with current_app.connection_for_write() as connection, connection.channel() as channel:
        while message := channel.basic_get(queue, no_ack=True):
            names.append(message.headers["task"])
    return names


def start(callbacks: Any, *entries: Any) -> Run:
    received()
    with callbacks(execute=True):
        return driver.start(*entries)


def one_bad(callbacks: Any) -> Run:
    return start(callbacks, group("G", "A", step("BAD", queue="other"), "C"))


def moment() -> Any:
    """The database's time."""
    return Task.objects.annotate(now=later(0)).values_list("now", flat=True)[0]


def due_in(task: Task) -> int:
    now = Task.objects.annotate(now=later(0)).get(pk=task.pk).now
    return round((task.next_dispatch_at - now).total_seconds())


def test_in_the_middle_of_a_group_it_holds_up_no_other(django_capture_on_commit_callbacks):
    run = one_bad(django_capture_on_commit_callbacks)
    assert received() == ["A", "C"]
    bad = run.tasks.get(step="BAD")
    assert (bad.status, bad.reason) == (TaskStatus.QUEUED, WHY)
    assert bad.unsendable_since is not None
    assert due_in(bad) == 1
    assert not run.tasks.exclude(step="BAD").exclude(unsendable_since=None, reason="").exists()
    assert not publisher.breaker.is_open


def test_it_is_tried_again_about_as_long_after_as_it_could_not_be_sent(django_capture_on_commit_callbacks):
    run = one_bad(django_capture_on_commit_callbacks)
    delays = []
    for since in (0.5, 3, 7, 15, 40, 400):
        run.tasks.filter(step="BAD").update(unsendable_since=later(-since), next_dispatch_at=later(-1))
        assert publishing.publish_due() == 0
        delays.append(due_in(run.tasks.get(step="BAD")))
    assert delays == [1, 2, 4, 8, 15, 15]


def test_it_is_as_any_other_when_it_could_be_sent(django_capture_on_commit_callbacks, monkeypatch):
    run = one_bad(django_capture_on_commit_callbacks)
    monkeypatch.setattr(current_app.amqp.queues, "create_missing", True)
    run.tasks.filter(step="BAD").update(next_dispatch_at=later(-1))
    before = moment()
    assert publishing.publish_due() == 1
    bad = run.tasks.get(step="BAD")
    assert (bad.unsendable_since, bad.reason) == (None, "")
    grace = timedelta(seconds=60)
    assert before + grace <= bad.next_dispatch_at <= moment() + grace
    assert received("other") == ["BAD"]
    current_app.amqp.queues.pop("other")


def test_whoever_takes_it_after_all_forgets_the_reason(django_capture_on_commit_callbacks):
    run = one_bad(django_capture_on_commit_callbacks)
    driver.claim(run, "BAD")
    bad = run.tasks.get(step="BAD")
    assert (bad.status, bad.unsendable_since, bad.reason) == (TaskStatus.RUNNING, None, "")


def test_a_backlog_of_them_holds_up_no_other(django_capture_on_commit_callbacks):
    names = [step(f"B{n}", task="BAD", queue="other") for n in range(700)]
    make_workflow(definition("test.WIDE", group("G", *names)))
    engine.start("test.WIDE")
    Task.objects.update(next_dispatch_at=later(-50))
    good = start(django_capture_on_commit_callbacks, "A")
    good.tasks.update(next_dispatch_at=later(-1))
    received()
    assert publishing.publish_due() == 1
    assert received() == ["A"]
    assert Task.objects.filter(name="BAD", unsendable_since=None).count() == 0
    Task.objects.filter(name="BAD").update(next_dispatch_at=later(-50))
    good.tasks.update(next_dispatch_at=later(-1))
    assert publishing.publish_due() == 1
    assert received() == ["A"]


def test_it_fails_with_the_reason_after_its_time(settings, django_capture_on_commit_callbacks):
    run = one_bad(django_capture_on_commit_callbacks)
    assert unsendable_tasks.fail_unsendable_tasks() == 0
    settings.DIRECTOR = {"UNKNOWN_TASK_TTL": 5}
    run.tasks.filter(step="BAD").update(unsendable_since=later(-6), next_dispatch_at=later(-1))
    assert unsendable_tasks.fail_unsendable_tasks() == 0, "the broker may have been away since the last try"
    publishing.publish_due()
    assert unsendable_tasks.fail_unsendable_tasks() == 1
    bad = run.tasks.get(step="BAD")
    assert bad.status == TaskStatus.FAILED
    assert bad.error.startswith(f"Unsendable: for 5 s the task “BAD” {WHY}")


def test_it_does_not_fail_while_its_run_is_paused(settings, django_capture_on_commit_callbacks):
    run = one_bad(django_capture_on_commit_callbacks)
    engine.pause(run)
    run.tasks.filter(step="BAD").update(unsendable_since=later(-5_000), next_dispatch_at=later(-1))
    publishing.publish_due()
    assert unsendable_tasks.fail_unsendable_tasks() == 0


def test_a_retry_begins_anew(settings, django_capture_on_commit_callbacks):
    run = start(django_capture_on_commit_callbacks, step("BAD", queue="other"))
    run.tasks.update(unsendable_since=later(-5_000))
    assert unsendable_tasks.fail_unsendable_tasks() == 1
    engine.retry(run)
    bad = run.tasks.get()
    assert (bad.status, bad.unsendable_since) == (TaskStatus.QUEUED, None)


def test_the_log_names_queue_and_task_once(django_capture_on_commit_callbacks, caplog):
    with caplog.at_level(logging.WARNING, "django_director"):
        run = one_bad(django_capture_on_commit_callbacks)
        for _ in range(5):
            run.tasks.filter(step="BAD").update(next_dispatch_at=later(-1))
            publishing.publish_due()
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("django_director")]
    assert WHY in line
    assert "“BAD”" in line
    assert "answers again" not in line


class Router:
    """A project's router that raises for one task."""

    def __call__(self, name: str, *_: Any, **__: Any) -> Any:
        if name == "BAD":
            raise RuntimeError("no route")
        return None


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.amqp.router, "routes", [Router()])


@pytest.mark.usefixtures("router")
def test_a_router_that_raises_for_one_task_harms_no_other(django_capture_on_commit_callbacks):
    run = start(django_capture_on_commit_callbacks, group("G", "A", "BAD", "C"))
    assert received() == ["A", "C"]
    assert run.tasks.get(step="BAD").reason == "can't be sent to any queue: RuntimeError: no route"


@pytest.mark.usefixtures("router")
def test_the_supervisor_lives_with_such_a_router(django_capture_on_commit_callbacks, monkeypatch):
    monkeypatch.setattr(remote_control, "ANSWER_SECONDS", 0.01)
    run = start(django_capture_on_commit_callbacks, group("G", "A", "BAD", "C"), "LAST")
    driver.claim(run, "C")
    # As if all had been sent, by a process with other routes, to a queue of which one runs.
    run.tasks.update(unsendable_since=None, queued_at=later(-100), next_dispatch_at=later(-1))
    run.tasks.filter(step="A").update(next_dispatch_at=later(10_000), unknown_since=later(-10_000))
    assert Supervisor().tick().published == 0
    assert "no route" in run.tasks.get(step="BAD").reason
    run.tasks.filter(step="BAD").update(
        status=TaskStatus.RUNNING, claim=1, lease_until=later(60), started_at=later(0)
    )
    assert backlog.waits().keys() == {"celery", "BAD"}
    message = outbox.message_of(run.tasks.get(step="BAD"), run.version.content_hash)
    assert remote_control.find_known([message]) == []
    assert unknown_tasks.fail_unknown_tasks() == 0
    assert routing.destination("BAD", "") == "BAD"


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let messages of BAD fail as the broker, or what is before it, would have it."""
    send = batches.send

    def one(message: Any, *rest: Any) -> None:
        if message.name == "BAD":
            raise error
        send(message, *rest)

    monkeypatch.setattr(batches, "send", one)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "error",
    [EncodeError("no"), TypeError("no"), KeyError("no"), QueueNotFound("no"), DataError("no"), Unprintable()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_wrong_with_one_message(error, monkeypatch, django_capture_on_commit_callbacks):
    refuse(monkeypatch, error)
    run = start(django_capture_on_commit_callbacks, group("G", "A", "BAD", "C"))
    assert received() == ["A", "C"]
    assert run.tasks.get(step="BAD").reason.startswith(f"can't be sent to queue `celery`: {type(error).__name__}")


@pytest.mark.parametrize("error", [OSError("no route"), OperationalError("gone"), TimeoutError()])
def test_what_is_wrong_with_the_broker(error, monkeypatch, django_capture_on_commit_callbacks, caplog):
    refuse(monkeypatch, error)
    run = start(django_capture_on_commit_callbacks, group("G", "A", "BAD", "C"))
    assert received() == ["A"]
    assert publisher.breaker.is_open
    assert not run.tasks.exclude(unsendable_since=None, reason="").exists()
    assert "did not take 2 of 3 messages" in caplog.text


def test_what_may_pass_by_itself_does_not_fail(monkeypatch, django_capture_on_commit_callbacks):
    class Odd(Exception):
        """What a transport may raise that nobody knows."""

    refuse(monkeypatch, Odd("credentials have expired"))
    run = start(django_capture_on_commit_callbacks, group("G", "A", "BAD"))
    run.tasks.filter(step="BAD").update(unsendable_since=later(-5_000), next_dispatch_at=later(-1))
    publishing.publish_due()
    assert due_in(run.tasks.get(step="BAD")) == 15
    assert unsendable_tasks.fail_unsendable_tasks() == 0


def test_a_definition_that_can_not_be_read_harms_no_other(monkeypatch, django_capture_on_commit_callbacks):
    run = start(django_capture_on_commit_callbacks, "A")
    other = start(django_capture_on_commit_callbacks, "B")
    graph_of = outbox.graph_of

    def read(version: str) -> Any:
        if version == run.version.content_hash:
            raise KeyError("a word of a later release")
        return graph_of(version)

    monkeypatch.setattr(outbox, "graph_of", read)
    Task.objects.update(next_dispatch_at=later(-1))
    received()
    assert publishing.publish_due() == 1
    assert received() == ["B"]
    assert "can't read the definition" in run.tasks.get().reason
    assert other.status == RunStatus.RUNNING


def test_a_broker_without_a_transport_is_no_error_of_the_caller(monkeypatch, django_capture_on_commit_callbacks):
    use(monkeypatch, "nonsense://")
    publisher._pool.cache_clear()
    with django_capture_on_commit_callbacks(execute=True):
        run = driver.start("A")
    assert run.tasks.get().next_dispatch_at == run.tasks.get().queued_at


def test_redis_refuses_one_of_a_batch(monkeypatch, django_capture_on_commit_callbacks):
    """Its answer to a batch says that one was refused, not which."""
    url = GIVEN
    if not url.startswith("redis"):
        pytest.skip("skipped: the broker is not Redis")
    import redis

    use(monkeypatch, url)
    monkeypatch.setattr(current_app.amqp.queues, "create_missing", True)
    publisher._pool.cache_clear()
    with redis.Redis.from_url(url) as client:
        client.delete("unsendable.fine", "unsendable.taken")
        client.set("unsendable.taken", "a text")
        queues = ["unsendable.taken" if n == 70 else "unsendable.fine" for n in range(120)]
        steps = [step(f"S{n}", task="A", queue=queue) for n, queue in enumerate(queues)]
        with django_capture_on_commit_callbacks(execute=True):
            run = driver.start(group("G", *steps))
        names = set(received("unsendable.fine"))
        client.delete("unsendable.fine", "unsendable.taken")
    assert names == {"A"}
    refused = run.tasks.get(step="S70")
    assert "can't be sent to queue `unsendable.taken`: ResponseError: " in refused.reason
    assert "WRONGTYPE" in refused.reason
    assert not run.tasks.exclude(step="S70").exclude(reason="").exists()


@pytest.mark.parametrize(
    ("text", "is_of_broker"),
    [
        ("OOM command not allowed", True),
        ("READONLY You can't write", True),
        ("WRONGTYPE Operation against a key", False),
        ("NOPERM this user has no permissions", False),
    ],
)
def test_redis_answers_for_one_queue_or_for_all(text: str, is_of_broker: bool):
    pytest.importorskip("redis")
    from redis.exceptions import ResponseError

    connection = Connection("redis://")
    assert refusals.is_of_broker(ResponseError(text), connection) == is_of_broker
