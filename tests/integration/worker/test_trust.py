"""A message is believed only as far as it fits the row of the task that it names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import current_app, signals
from celery.app.trace import build_tracer
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.dispatch.messages import HEADER
from django_director.engine import outbox
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import losses
from django_director.worker.startup import notice_unknown_task
from tests.factories import definition, group, make_workflow, mapped, step

pytestmark = [pytest.mark.django_db, pytest.mark.fault(48)]

called: list[str] = []


@pytest.fixture(autouse=True)
def _tasks() -> Iterator[None]:
    current_app.loader.import_default_modules()
    called.clear()

    @current_app.task(name="trust.GIVE")
    def give(*args: Any, **kwargs: Any) -> str:
        called.append("give")
        return "given"

    @current_app.task(name="trust.TAKE")
    def take(*args: Any, **kwargs: Any) -> None:
        called.append("take")

    yield
    for name in ("trust.GIVE", "trust.TAKE"):
        current_app.tasks.pop(name)


def started(*tasks: Any, name: str = "test.TRUST", **fields: Any) -> Run:
    make_workflow(definition(name, *tasks, **fields))
    return engine.start(name, {"password": "Passw0rd"})


def sent(task: Task) -> dict[str, Any]:
    """The headers of its message, as a worker gets them."""
    message = outbox.message_of(task, task.run.version.content_hash)
    return {
        "id": f"{task.pk}-{task.sequence}",
        "task": message.name,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        HEADER: message.header | {"installation": ""},
    }


def deliver(headers: dict[str, Any]) -> Any:
    """Let Celery trace a message, as a process of a worker does."""
    task: Any = current_app.tasks[headers["task"]]
    task.__trace__ = build_tracer(task.name, task, app=current_app)
    request = headers | {"hostname": "w@tests", "is_eager": False, "delivery_info": {"routing_key": "celery"}}
    return task.__trace__(headers["id"], [], {}, request)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(record.exc_info is None for record in found)
    return [record.getMessage() for record in found]


def columns(task: Task) -> Any:
    return Task.objects.filter(pk=task.pk).values().get()


def test_the_true_message_runs_its_task(caplog: pytest.LogCaptureFixture):
    run = started("trust.GIVE")
    deliver(sent(run.tasks.get()))
    assert called == ["give"]
    assert run.tasks.get().status == TaskStatus.SUCCESS
    assert refusals(caplog) == []


FORGERIES: dict[str, Any] = {
    "another task": lambda own, other: own | {"task": "trust.TAKE"},
    "another position": lambda own, other: own | {HEADER: own[HEADER] | {"position": 1}},
    "another task at its position": lambda own, other: (
        own | {"task": "trust.TAKE", HEADER: own[HEADER] | {"position": 1}}
    ),
    "no position": lambda own, other: own | {HEADER: own[HEADER] | {"position": 77}},
    "another version": lambda own, other: own | {HEADER: own[HEADER] | {"version": other[HEADER]["version"]}},
    "an unknown version": lambda own, other: own | {HEADER: own[HEADER] | {"version": "a" * 64}},
    "another run": lambda own, other: own | {HEADER: own[HEADER] | {"run": other[HEADER]["run"]}},
    "another run and version": lambda own, other: own | {HEADER: other[HEADER]},
    "a run that is nowhere": lambda own, other: own | {HEADER: own[HEADER] | {"run": str(uuid4())}},
    "an item": lambda own, other: own | {HEADER: own[HEADER] | {"index": 0}},
    "a run beside its own": lambda own, other: (
        own | {HEADER: own[HEADER] | {"run": str(UUID(int=UUID(own[HEADER]["run"]).int - 1)), "position": 1}}
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_message_that_does_not_fit_is_refused_and_its_row_waits_for_the_true_one(
    caplog: pytest.LogCaptureFixture, forgery: str
):
    # At position 1 stands the same name: only the place is wrong then.
    run = started("trust.GIVE", "trust.GIVE")
    other = started("trust.GIVE", "trust.TAKE", name="test.OTHER")
    task = run.tasks.get(position=0)
    own, before = sent(task), columns(task)
    deliver(FORGERIES[forgery](own, sent(other.tasks.get(position=0))))
    (line,) = refusals(caplog)
    assert line.startswith("Refused a message for the task")
    assert "Passw0rd" not in caplog.text
    assert (called, columns(task)) == ([], before)
    deliver(own)
    assert called == ["give"]


def test_a_message_of_another_version_can_not_hand_a_result_to_another_task(caplog: pytest.LogCaptureFixture):
    """The other workflow has the thief where ours has the task that gets the payload."""
    run = started("trust.GIVE")
    thief = started("trust.TAKE", name="test.THIEF")
    own = sent(run.tasks.get())
    deliver(
        own | {"task": "trust.TAKE", HEADER: own[HEADER] | {"version": sent(thief.tasks.get())[HEADER]["version"]}}
    )
    assert called == []
    assert len(refusals(caplog)) == 1


def test_a_message_for_a_hook_must_fit_too(caplog: pytest.LogCaptureFixture):
    hooks = {"always": (step("hooks.always", task="trust.GIVE"), step("hooks.always-2", task="trust.GIVE"))}
    run = started("trust.GIVE", hooks=hooks)
    other = started("trust.GIVE", hooks=hooks, name="test.OTHER")
    deliver(sent(run.tasks.get(is_hook=False)))
    hook = run.tasks.hooks().order_by("position").first()
    own, before = sent(hook), columns(hook)
    called.clear()
    wrong = sent(other.tasks.get(is_hook=False))[HEADER]
    for change in ({"position": hook.position + 1}, {"run": wrong["run"]}, {"version": wrong["version"]}):
        deliver(own | {HEADER: own[HEADER] | change})
    assert (called, columns(hook), len(refusals(caplog))) == ([], before, 3)
    deliver(own)
    assert called == ["give"]


def test_a_message_for_an_item_must_fit_too(caplog: pytest.LogCaptureFixture):
    run = started(mapped("M", step("trust.GIVE"), over=[1, 2]))
    deliver(sent(run.tasks.get(step="M", map_index=-1)))
    first, second = run.tasks.filter(map_index__gte=0).order_by("map_index")
    own, before = sent(first), columns(first)
    for change in (sent(second)[HEADER], {"index": 7}, {"position": 0}, {"position": 0, "index": 1}):
        deliver(own | {HEADER: own[HEADER] | change})
    without = {key: value for key, value in own[HEADER].items() if key != "index"}
    deliver(own | {HEADER: without})
    assert (called, columns(first), len(refusals(caplog))) == ([], before, 5)
    deliver(own)
    assert called == ["give"]


def test_it_is_refused_whatever_the_state_of_the_row(caplog: pytest.LogCaptureFixture):
    """Of a paused run nothing is parked by a message that is not of it."""
    run = started("trust.GIVE", "trust.GIVE")
    task = run.tasks.get(position=0)
    engine.pause(run)
    before = columns(task)
    deliver(FORGERIES["another run"](sent(task), {HEADER: {"run": str(uuid4())}}))
    assert (columns(task), len(refusals(caplog))) == (before, 1)


UNREADABLE: list[dict[str, Any]] = [
    {"id": "e7bd5bd6-9d9c-4d3c-a7d4-4b0a2a4a0f7b"},
    {"id": "nobody-1"},
    {"id": f"{UUID(int=7)}-{1 << 63}"},
    {"id": f"{UUID(int=7)}-1_0"},
    {HEADER: "director"},
    {HEADER: ["director"]},
    {HEADER: {}},
    {HEADER: {"run": 7}},
    {HEADER: {"run": "7"}},
    {"position": "0"},
    {"position": -1},
    {"position": True},
    {"position": 1 << 40},
    {"version": None},
    {"version": "a\x00"},
    {"version": "a" * 65},
    {"index": "first"},
    {"index": -1},
]


@pytest.mark.parametrize("change", UNREADABLE, ids=str)
def test_what_can_not_be_read_is_one_line(caplog: pytest.LogCaptureFixture, change: dict[str, Any]):
    run = started("trust.GIVE")
    own = sent(run.tasks.get())
    changed = own | change if change.keys() & {"id", HEADER} else own | {HEADER: own[HEADER] | change}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        result = deliver(changed)
    assert (len(queries), called) == (0, [])
    assert result.info.state == "IGNORED"
    (line,) = refusals(caplog)
    assert line.startswith("Refused a message for the task `trust.GIVE`: ")
    assert run.tasks.get().status == TaskStatus.QUEUED


def test_an_eager_call_with_headers_of_ours_is_no_message(caplog: pytest.LogCaptureFixture):
    """As of code that passes the headers of its own message on to the tasks that it calls."""
    run = started("trust.GIVE")
    own = sent(run.tasks.get())
    result = current_app.tasks["trust.GIVE"].apply(headers={HEADER: own[HEADER]})
    assert (result.state, called) == ("IGNORED", [])
    assert len(refusals(caplog)) == 1


def test_a_workers_own_process_bears_what_it_can_not_read():
    message = type("Message", (), {"headers": {HEADER: {"run": 7}}})()
    before = list(losses.reporter._dropped)
    notice_unknown_task(None, message, "trust.NOWHERE", "no id of ours")
    notice_unknown_task(None, message, "trust.NOWHERE", None)
    losses.reporter.note_loss("no id of ours", "its process is gone")
    assert losses.reporter._dropped == before
    assert losses.reporter.waiting == []


def test_what_a_message_adds_to_itself_is_not_done(caplog: pytest.LogCaptureFixture):
    """Callbacks would be given the result of a task whose message they were written into."""
    run = started("trust.GIVE")
    own = sent(run.tasks.get())
    stolen = current_app.tasks["trust.TAKE"].s()
    sendings: list[str] = []

    def note(sender: Any, **_: Any) -> None:
        sendings.append(sender)

    signals.before_task_publish.connect(note)
    try:
        deliver(own | {"callbacks": [dict(stolen)], "chain": [dict(stolen)]})
    finally:
        signals.before_task_publish.disconnect(note)
    assert (called, sendings) == (["give"], [])


def test_a_duplicate_is_no_forgery(caplog: pytest.LogCaptureFixture):
    run = started(group("G", "trust.GIVE", "trust.TAKE"))
    own = sent(run.tasks.get(name="trust.GIVE"))
    deliver(own)
    deliver(own)
    assert (called, refusals(caplog)) == (["give"], [])
    assert Run.objects.get(pk=run.pk).status == RunStatus.RUNNING
