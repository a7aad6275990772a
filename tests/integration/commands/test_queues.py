"""In which queue a task waits, since when, and who could take it, in the commands."""

import json
from datetime import datetime

import pytest
from celery import current_app
from django.core.management.base import OutputWrapper

from django_director import engine
from django_director.db.functions import Now, later
from django_director.management import progress
from django_director.models import Run, Task, Worker
from tests import factories
from tests.factories import step

from .conftest import Terminal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def workflow():
    factories.make_workflow(
        factories.definition("shop.ORDER", step("PACK", task="NOOP", queue="heavy"), step("SHIP", task="ROUTED"))
    )


def work(*queues, name="w1@host", key=1):
    Worker.objects.create(key=key, name=name, started_at=Now(), seen_at=Now(), queues=list(queues))


def since(run):
    return run.tasks.get(step="PACK").queued_at.isoformat().replace("+00:00", "Z")


def test_showrun_and_listruns_say_where_a_task_waits(command):
    run = engine.start("shop.ORDER")
    place = f"in queue `heavy` since {since(run)}"
    pack, ship = command("showrun", str(run.pk)).lines[-2:]
    assert pack.split("\t") == ["PACK", "queued", "0", "", place]
    assert ship.split("\t")[-1] == ""
    assert command("listruns").lines[0].split("\t")[-1] == place
    shown = json.loads(command("showrun", str(run.pk), "--json").out)
    assert [task["queue"] for task in shown["tasks"]] == ["heavy", None]


def test_a_queue_that_celerys_routes_name(command):
    run = engine.start("shop.ORDER")
    run.tasks.filter(step="PACK").update(status="success", finished_at=Now(), queued_at=None)
    run.tasks.filter(step="SHIP").update(status="queued", queued_at=Now(), next_dispatch_at=Now(), error="E: no")
    assert "in queue `routed` since" in command("listruns").lines[0]
    assert command("showrun", str(run.pk)).lines[-1].endswith(": E: no"), "of the attempt before"


def test_a_paused_run_waits_in_no_queue(command):
    run = engine.start("shop.ORDER")
    engine.pause(run)
    assert "in queue" not in command("showrun", str(run.pk)).out
    assert "in queue" not in command("listruns").out


def test_of_a_run_in_which_something_runs_it_is_no_reason(command):
    run = engine.start("shop.ORDER")
    run.tasks.filter(step="SHIP").update(status="running", lease_until=later(60), claim=1)
    assert "in queue" not in command("listruns").out


def test_queries_do_not_grow(command, django_assert_num_queries):
    engine.start("shop.ORDER")
    with django_assert_num_queries(4):
        command("listruns")
    for _ in range(4):
        engine.start("shop.ORDER")
    with django_assert_num_queries(4):
        command("listruns")


class TestWaiting:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(progress, "PATIENCE", 0)

    @pytest.fixture
    def told(self, failing, monkeypatch):
        """Waits for a run in vain, and returns what is told meanwhile."""

        def wait():
            said = []
            monkeypatch.setattr(progress.OutputWrapper, "write", lambda self, text="", **kw: said.append(text))
            failing("runworkflow", "shop.ORDER", "--wait", "--timeout", "1.2")
            return [text for text in said if "waits" in text or "nothing has started" in text]

        return wait

    def test_without_workers(self, told):
        assert told() == [
            "nothing has started yet: does a Celery worker run? None gives a sign of life: celery -A … worker "
            "(“runworkflow --local” needs none)"
        ]

    def test_with_workers_on_other_queues(self, told):
        work("celery", "light")
        assert told() == [
            "nothing has started yet: no worker takes tasks from queue `heavy`; "
            "start one: celery -A … worker -Q heavy (“runworkflow --local” needs none)"
        ]

    def test_with_workers_that_are_busy(self, told):
        work("heavy")
        (text,) = told()
        at = f"{Task.objects.get(step='PACK').queued_at:%Y-%m-%d %H:%M:%S}"
        assert f"nothing has started yet: in queue `heavy` since {at}; w1@host may be busy with others" in text

    def test_one_whose_queues_are_not_known_may_take_it(self, told):
        work()
        Worker.objects.update(queues=None)
        assert "w1@host may be busy" in told()[0]

    def test_in_eager_mode(self, told, monkeypatch):
        monkeypatch.setitem(current_app.conf, "task_always_eager", True)
        assert "CELERY_TASK_ALWAYS_EAGER is set, so that nothing is sent to a worker" in told()[0]

    def test_in_the_middle_of_a_run(self, command, monkeypatch):
        from django_director.management import stuck

        work("celery", "routed")
        run = engine.start("shop.ORDER")
        assert stuck.find_reason(run, 3600) is None
        run.tasks.filter(step="SHIP").update(status="success", finished_at=Now())
        assert stuck.find_reason(run, 0).text == (
            "it waits: no worker takes tasks from queue `heavy`; start one: celery -A … worker -Q heavy"
        )
        engine.pause(run)
        assert stuck.find_reason(Run.objects.get(), 0) is None

    def test_on_a_terminal(self):
        terminal = Terminal()
        progress.Progress(OutputWrapper(terminal)).update(engine.start("shop.ORDER"))
        assert "0/2 tasks  PACK is in queue `heavy`" in terminal.getvalue()


def test_the_times_are_those_of_the_row(command):
    run = engine.start("shop.ORDER")
    place = command("listruns").lines[0].split("\t")[-1]
    assert datetime.fromisoformat(place.split()[-1]) == run.tasks.get(step="PACK").queued_at
