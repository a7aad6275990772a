"""``runworkflow --wait`` against a live worker, as a script would call it."""

from __future__ import annotations

import json
from subprocess import CompletedProcess

import pytest
from celery import current_app

from django_director.models import Run
from django_director.models import Worker as Row
from tests.factories import step

from .conftest import Site
from .harness import Worker, manage, wait_for

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def worker(site: Site) -> Worker:
    return site.worker()


@pytest.fixture(autouse=True)
def _live(worker: Worker, checked: Site) -> None:
    """Every test has a worker and is checked at its end."""


def runworkflow(site: Site, *args: str) -> tuple[CompletedProcess[str], dict[str, object]]:
    done = manage(site.broker, "runworkflow", *args, "--wait", "--json")
    assert "Traceback" not in done.stderr
    shown = json.loads(done.stdout)
    site.runs.append(Run.objects.get(pk=shown["id"]))
    return done, shown


def test_success_exits_with_0(site: Site):
    done, run = runworkflow(site, "example.RANDOMS", '{"start": 4, "end": 4}')
    assert done.returncode == 0, done.stderr
    assert (run["status"], run["result"], run["trigger"]) == ("success", 8, "command")
    assert [task["status"] for task in run["tasks"]] == ["success"] * 3  # type: ignore[attr-defined]


def test_failure_exits_with_1(site: Site):
    done, run = runworkflow(site, "example.ERROR_IN_CHAIN")
    assert (done.returncode, run["status"]) == (1, "failed")
    assert "ValueError: as asked" in done.stderr


def test_time_out_exits_with_3(site: Site):
    done, run = runworkflow(site, "celery.CANCELABLE", "--timeout", "1")
    assert (done.returncode, run["status"]) == (3, "running")
    canceled = manage(site.broker, "cancelworkflow", str(run["id"]))
    assert canceled.returncode == 0, canceled.stderr
    site.wait(site.runs)


def test_a_wrong_payload_exits_with_1_and_starts_nothing(site: Site):
    before = Run.objects.count()
    done = manage(site.broker, "runworkflow", "example.SCHEMA", '{"amount": "x"}', "--wait", "--json")
    assert (done.returncode, done.stdout, Run.objects.count()) == (1, "", before)
    assert "amount" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_queue_that_no_worker_takes_from_until_one_does(site: Site, worker: Worker):
    row = Row.objects.filter(name=worker.hostname)
    wait_for(lambda: row.filter(queues__isnull=False).exists(), what="it has said what it takes from")
    before = row.get().queues
    assert "heavy" not in before
    site.define("test.HEAVY", step("NOOP", queue="heavy"))
    done, run = runworkflow(site, "test.HEAVY", "--timeout", "12")
    assert (done.returncode, run["status"]) == (3, "running")
    assert (
        "nothing has started yet: no worker takes tasks from queue `heavy`; start one: celery -A … worker -Q heavy"
    ) in done.stderr
    current_app.control.add_consumer("heavy", destination=[worker.hostname])
    site.wait(site.runs)
    wait_for(lambda: row.get().queues == sorted([*before, "heavy"]), what="it says so")
    current_app.control.cancel_consumer("heavy", destination=[worker.hostname])
    wait_for(lambda: row.get().queues == before, what="it says that too")
