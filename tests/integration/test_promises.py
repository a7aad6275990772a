"""What Celery promises a task, its handlers and the receivers of its signals holds inside a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app, signals
from celery.app.trace import build_tracer
from celery.backends.base import DisabledBackend
from celery.worker.state import successful_requests
from django.db import connections
from django.db.backends.signals import connection_created
from django.utils import timezone

from django_director import engine, testing
from django_director.db import own_connections
from django_director.definitions import Retry
from django_director.dispatch.messages import HEADER
from django_director.engine import outbox
from django_director.engine.supervisor import publishing
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import local
from tests.factories import definition, make_workflow, mapped, step
from tests.testapp import acme  # noqa: F401 - registers its task and its receivers

pytestmark = pytest.mark.django_db

FIRST = ["task_prerun", "before_start", "__call__", "function"]
AGAIN = ["on_retry", "task_retry", "task_postrun"]
SUCCESS = ["on_success", "task_success", "after_return", "task_postrun"]
FAILURE = ["on_failure", "task_failure", "after_return", "task_postrun"]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def run(notes: Path, *tasks: Any, payload: Any = None, **fields: Any) -> Run:
    make_workflow(definition("test.ACME", *tasks, **fields))
    return testing.run_workflow("test.ACME", {"notes": str(notes)} | (payload or {}))


def lines(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


@pytest.mark.parametrize(
    ("failures", "heard"),
    [(0, [*FIRST, *SUCCESS]), (1, [*FIRST, *AGAIN, *FIRST, *SUCCESS]), (2, [*FIRST, *AGAIN, *FIRST, *FAILURE])],
)
def test_everybody_is_told_the_arguments_and_the_one_id(notes: Path, failures: int, heard: list[str]):
    given = step("ACME", retry=Retry(max=1), kwargs={"extra": "${{ payload.more }}"})
    finished = run(notes, "NOOP", given, payload={"failures": failures, "more": "of it"})
    task = finished.tasks.get(step="ACME")
    told = lines(notes)
    assert [line["what"] for line in told] == heard
    assert {line["id"] for line in told} == {line["request"][0] for line in told} == {str(task.pk)}
    for line in told:
        assert (line["args"], line["kwargs"]) == ([None], ["extra", "payload"])
        assert line["request"][1:] == [[None], ["extra", "payload"]]
        assert line["headers"] == ["director"]
    assert [line["retries"] for line in told] == [int(place >= 7 and failures > 0) for place in range(len(told))]


def test_each_item_of_a_map_has_an_id_of_its_own(notes: Path):
    finished = run(notes, mapped("M", step("ACME")), payload={"items": [1, 2]})
    items = finished.tasks.filter(map_index__gte=0).order_by("map_index")
    assert [item.result for item in items] == [str(item.pk) for item in items]
    assert len(set(items.values_list("result", flat=True))) == 2
    assert finished.status == RunStatus.SUCCESS


def test_a_task_that_a_person_runs_again_has_its_id_still_and_a_new_key(notes: Path):
    finished = run(notes, "NOOP", "ACME")
    task = finished.tasks.get(step="ACME")
    engine.rerun(task)
    local.run_to_end(finished)
    again = finished.tasks.get(step="ACME")
    assert (again.reruns, again.result) == (1, str(task.pk))
    assert {line["id"] for line in lines(notes)} == {str(task.pk)}


def test_a_parameter_may_have_any_name(notes: Path):
    """The arguments go through Celery's hands by name."""

    @current_app.task(name="promises.NAMES")
    def names(self: Any, task: Any, task_id: Any, args: Any, kwargs: Any, fun: Any = None) -> list[Any]:
        return [self, task, task_id, args, kwargs, fun]

    given = {"self": 1, "task": 2, "task_id": 3, "args": 4, "kwargs": 5, "fun": 6}
    make_workflow(definition("test.NAMES", step("A", task="promises.NAMES", kwargs=given)))
    finished = testing.run_workflow("test.NAMES")
    assert (finished.status, finished.result) == (RunStatus.SUCCESS, [1, 2, 3, 4, 5, 6])


def traced(task: Task, celery_task: Any, **more: Any) -> Any:
    """Let Celery trace its message, as a process of a worker does."""
    celery_task.__trace__ = build_tracer(celery_task.name, celery_task, app=current_app)
    message_id = f"{task.pk}-{task.sequence}"
    header = outbox.message_of(task, task.run.version.content_hash).header
    request = {"id": message_id, "hostname": "w@tests", "is_eager": False, "delivery_info": {}, HEADER: header}
    return celery_task.__trace__(message_id, [], {}, request | more)


@pytest.fixture
def told() -> Iterator[Any]:
    """A task, what it and receivers of `task_prerun` were called with, and what it returns."""
    heard: list[Any] = []

    @current_app.task(name="promises.TOLD", bind=True)
    def told(self: Any, *args: Any, **kwargs: Any) -> str:
        heard.append(self.request.delivery_info)
        return "told"

    told.heard = heard
    yield told
    current_app.tasks.pop("promises.TOLD")


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault(47)
def test_what_celery_can_not_begin_is_queued_again_and_spends_nothing(told: Any, monkeypatch: pytest.MonkeyPatch):
    """As when the result backend is away, and the project wants to see there what has started."""
    make_workflow(definition("test.TOLD", "promises.TOLD"))
    task = engine.start("test.TOLD").tasks.get()
    backend = NoBackend(app=current_app)
    monkeypatch.setattr(type(told), "backend", backend)
    monkeypatch.setattr(told, "track_started", True)
    # It can't be told of the failure either.
    with pytest.warns(RuntimeWarning, match="outside body"), pytest.raises(ConnectionError, match="is away"):
        traced(task, told)
    held = Task.objects.get(pk=task.pk)
    assert (held.status, held.failures, held.crashes, told.heard) == (TaskStatus.WAITING, 0, 0, [])
    assert held.not_before is not None
    monkeypatch.setattr(told, "track_started", False)
    Task.objects.filter(pk=task.pk).update(not_before=timezone.now())
    publishing.wake_tasks(Task.objects.filter(pk=task.pk))
    monkeypatch.setattr(type(told), "backend", current_app.backend)
    traced(Task.objects.get(pk=task.pk), told)
    assert Task.objects.get(pk=task.pk).status == TaskStatus.SUCCESS


class NoBackend(DisabledBackend):
    """A result backend that is away."""

    def store_result(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the result backend is away")


@pytest.mark.django_db(transaction=True)
def test_a_message_that_the_broker_delivers_again_is_run_if_the_claim_says_so(told: Any):
    """Celery would look for a success under the task's id, and drop it: there is one after a rerun."""
    make_workflow(definition("test.TOLD", "promises.TOLD"))
    task = engine.start("test.TOLD").tasks.get()
    told.acks_late = True
    current_app.conf.worker_deduplicate_successful_tasks = True
    successful_requests.add(str(task.pk))
    try:
        traced(task, told, delivery_info={"redelivered": True})
    finally:
        current_app.conf.worker_deduplicate_successful_tasks = False
        successful_requests.clear()
    assert told.heard == [{"redelivered": True}]


@pytest.mark.django_db(transaction=True)
def test_the_engine_connects_once_for_a_task(told: Any):
    """Also where connections are not kept, and receivers look into the database between claim and code."""
    make_workflow(definition("test.TOLD", "promises.TOLD"))
    task = engine.start("test.TOLD").tasks.get()
    made: list[Any] = []
    used: list[Any] = []

    def note(connection: Any, **_: Any) -> None:
        made.append(connection)

    def look(sender: Any, **_: Any) -> None:
        used.append(connections["default"])
        Task.objects.count()

    connection = connections["default"]
    own_connections.close_idle()
    connection_created.connect(note)
    signals.task_prerun.connect(look)
    try:
        traced(task, told)
    finally:
        connection_created.disconnect(note)
        signals.task_prerun.disconnect(look)
    assert used == [connection]
    assert len([other for other in made if other is not connection]) == 1
    assert Task.objects.get(pk=task.pk).status == TaskStatus.SUCCESS
