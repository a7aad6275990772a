"""`django_director.testing`: code that starts workflows, without a broker and without a sync by hand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import current_app, shared_task
from django.db import transaction
from django.test import TestCase, TransactionTestCase, utils
from django.utils import timezone

from django_director import engine, start, testing
from django_director.definitions import Concurrency
from django_director.dispatch import publisher
from django_director.engine.concurrency import admission
from django_director.exceptions import Conflict, InvalidDefinitions, UnknownWorkflow
from django_director.models import Run, Task, Workflow
from django_director.worker import local
from tests.factories import approval, child, definition, make_workflow, step, wait
from tests.integration.engine import driver


class Recorder:
    """A broker that nobody shall come to: it counts who does, and hangs up."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.callers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self.socket.accept()
            except OSError:
                return
            self.callers += 1
            caller.close()


@pytest.fixture(params=["amqp", "redis"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    url = f"{request.param}://127.0.0.1:{recorder.port}"
    # In this order: Celery's setting reads the variable, and would keep its value afterwards.
    monkeypatch.setattr(current_app.conf, "broker_url", url)
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    monkeypatch.setattr(current_app, "_pool", None)
    monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    yield recorder
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    recorder.socket.close()


def one_step() -> None:
    make_workflow(definition("test.FLOW", "NOOP", step("AGAIN", task="NOOP")))


def kill_one() -> None:
    """A cancel with force tells workers what to kill."""
    run = start("test.FLOW")
    driver.claim(run, "NOOP")
    engine.cancel(run, force=True)


@shared_task(name="SENDS_OTHERS")
def sends_others() -> None:
    """As the code of a step may do itself."""
    current_app.tasks["NOOP"].delay()
    current_app.send_task("NOOP")
    current_app.control.broadcast("pool_restart")
    thread = threading.Thread(target=current_app.tasks["NOOP"].delay)
    thread.start()
    thread.join()


@shared_task(name="STARTS_OTHER")
def starts_other() -> str:
    return str(start("test.OTHER").pk)


# Nothing reaches a broker


@pytest.mark.django_db(transaction=True)
def test_the_recorder_sees_who_publishes(broker):
    one_step()
    start("test.FLOW")
    assert broker.callers


@pytest.mark.django_db(transaction=True)
def test_in_eager_mode_nothing_is_sent(broker, monkeypatch):
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    one_step()
    run = start("test.FLOW")
    kill_one()
    assert testing.finish(run).status == "success"
    assert broker.callers == 0


@pytest.mark.django_db(transaction=True)
def test_nothing_that_a_step_sends_itself_leaves_run_workflow(broker):
    make_workflow(definition("test.FLOW", "SENDS_OTHERS"))
    run = testing.run_workflow("test.FLOW")
    assert (run.status, run.error) == ("success", "")
    assert broker.callers == 0


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_while_the_fixture_is_in_use(broker, director):
    one_step()
    run = start("test.FLOW")
    current_app.tasks["NOOP"].delay()
    kill_one()
    assert director("test.FLOW").status == testing.finish(run).status == "success"
    assert broker.callers == 0


@pytest.mark.django_db(transaction=True)
def test_afterwards_messages_go_out_again(broker):
    one_step()
    with testing.without_broker(), testing.without_broker():
        start("test.FLOW")
    assert broker.callers == 0
    start("test.FLOW")
    assert broker.callers


@pytest.mark.django_db
def test_nothing_is_sent_for_rows_that_are_never_committed(broker, django_capture_on_commit_callbacks):
    one_step()
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        run = start("test.FLOW")
        kill_one()
    assert callbacks
    with django_capture_on_commit_callbacks(execute=True):
        assert testing.finish(run).status == "success"
    assert broker.callers == 0


# As a project's tests are written


def place_order(number: int) -> Run:
    """The code under test: a view, say."""
    with transaction.atomic():
        return start("test.FLOW", {"order": number})


class InTestCase(TestCase):
    def test_with_the_callbacks_of_the_transaction(self):
        one_step()
        with self.captureOnCommitCallbacks(execute=True):
            run = place_order(7)
        assert testing.finish(run).status == "success"

    def test_before_they_were_called(self):
        one_step()
        with self.captureOnCommitCallbacks(execute=True):
            assert testing.finish(place_order(7)).status == "success"

    def test_without_them(self):
        one_step()
        assert testing.finish(place_order(7)).status == "success"


class InTransactionTestCase(TransactionTestCase):
    @testing.without_broker()
    def test_it_commits(self):
        one_step()
        assert testing.finish(place_order(7)).status == "success"


# What finish does


@pytest.mark.django_db
def test_a_second_finish_changes_nothing():
    one_step()
    run = testing.finish(start("test.FLOW"))
    before = list(Task.objects.values_list("status", "attempt", "finished_at"))
    assert testing.finish(run) is run
    assert testing.finish(Run.objects.get()).status == "success"
    assert list(Task.objects.values_list("status", "attempt", "finished_at")) == before


@pytest.mark.django_db
def test_waits_retries_and_a_delayed_start_are_not_waited_for():
    make_workflow(definition("test.FLOW", wait("W", 3600), "NOOP"))
    run = start("test.FLOW", not_before=timezone.now() + timedelta(days=1))
    assert testing.finish(run).status == "success"


@pytest.mark.django_db
def test_a_run_that_fails_is_returned():
    make_workflow(definition("test.FLOW", "ERROR"))
    assert testing.finish(start("test.FLOW")).error == "ERROR: ValueError: as asked"


@pytest.mark.django_db
def test_child_runs_are_finished_too():
    make_workflow(definition("test.CHILD", "NOOP"))
    make_workflow(definition("test.FLOW", child("C", "test.CHILD"), "NOOP"))
    assert testing.finish(start("test.FLOW")).status == "success"
    assert not Run.objects.active().exists()


@pytest.mark.django_db(transaction=True)
@testing.without_broker()
def test_a_run_that_a_task_has_started_is_left_to_another_finish():
    make_workflow(definition("test.OTHER", "NOOP"))
    make_workflow(definition("test.FLOW", "STARTS_OTHER"))
    run = testing.finish(start("test.FLOW"))
    other = Run.objects.get(pk=run.result)
    assert (run.status, other.status) == ("success", "running")
    assert testing.finish(other).status == "success"


@pytest.mark.django_db
def test_a_run_that_waits_for_approval_says_so():
    make_workflow(definition("test.CHILD", approval("SURE")))
    make_workflow(
        definition("test.FLOW", "NOOP", approval("OK"), child("C", "test.CHILD"), step("LAST", task="NOOP"))
    )
    run = start("test.FLOW")
    with pytest.raises(Conflict) as caught:
        testing.finish(run)
    assert str(caught.value) == (
        f"run {run.pk} waits for approval of “OK”: decide with approve() or reject() of django_director.testing"
    )
    testing.approve(run, "OK")
    with pytest.raises(Conflict, match="waits for approval of “SURE”"):
        testing.finish(run)
    assert testing.approve(run).status == "success"
    assert testing.finish(run).status == "success"


@pytest.mark.django_db
def test_an_approval_is_come_to_before_it_is_decided():
    make_workflow(definition("test.FLOW", "NOOP", approval("OK"), step("LAST", task="NOOP")))
    assert testing.approve(start("test.FLOW")).status == "success"
    assert testing.reject(start("test.FLOW"), "OK", comment="no").error == "OK: Rejected: no"


@pytest.mark.django_db
def test_a_paused_run_says_so():
    one_step()
    run = start("test.FLOW")
    engine.pause(run)
    with pytest.raises(Conflict, match=f"run {run.pk} is paused: resume it first"):
        testing.finish(run)
    engine.resume(run)
    assert testing.finish(run).status == "success"


@pytest.mark.django_db
def test_a_run_whose_task_runs_elsewhere_says_so(monkeypatch):
    monkeypatch.setattr(local, "IDLE_SECONDS", 0.1)
    one_step()
    run = start("test.FLOW")
    driver.claim(run, "NOOP")
    with pytest.raises(Conflict, match=f"run {run.pk} does not go on: “NOOP” is running elsewhere \\(tests\\)"):
        testing.finish(run)


@pytest.mark.django_db
def test_a_run_that_waits_for_a_slot_says_behind_which():
    make_workflow(definition("test.FLOW", "NOOP", concurrency=Concurrency()))
    first, second = start("test.FLOW"), start("test.FLOW")
    admission.try_start(first)
    with pytest.raises(Conflict, match=f"waits for a slot, behind run {first.pk}"):
        testing.finish(second)
    assert testing.finish(first).status == testing.finish(second).status == "success"


# The files are synced when they are needed


@pytest.fixture
def file(settings, tmp_path):
    path = tmp_path / "flows.yml"
    path.write_text("test.FILE: {tasks: [NOOP]}\n")
    settings.DIRECTOR = {"WORKFLOWS": [str(path)]}
    return path


@pytest.mark.django_db
def test_start_stores_what_the_files_say(file):
    assert testing.finish(start("test.FILE")).status == "success"


@pytest.mark.django_db
def test_a_workflow_that_no_file_has_is_unknown_and_nothing_is_stored(file):
    make_workflow(definition("test.ROW", "NOOP"))
    with pytest.raises(UnknownWorkflow):
        start("test.NOWHERE")
    assert [row.name for row in Workflow.objects.active()] == ["test.ROW"]


@pytest.mark.django_db
def test_one_that_is_switched_off_and_stands_in_a_file_is_switched_on(file):
    make_workflow(definition("test.FILE", "ERROR"), is_active=False)
    assert testing.finish(start("test.FILE")).status == "success"


@pytest.mark.django_db
def test_problems_of_the_files_are_told(file):
    file.write_text("test.FILE: {tasks: [NO_SUCH_TASK]}\n")
    with pytest.raises(InvalidDefinitions, match="NO_SUCH_TASK"):
        start("test.FILE")


@pytest.mark.django_db
def test_outside_of_tests_nothing_is_synced(file, monkeypatch):
    monkeypatch.delattr(utils._TestState, "saved_data")
    with pytest.raises(UnknownWorkflow):
        start("test.FILE")
