"""``runworkflow --wait`` against a live worker, as a script would call it."""

from __future__ import annotations

import json
from subprocess import CompletedProcess

import pytest

from django_director.models import Run

from .conftest import Site
from .harness import manage

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def _worker(site: Site) -> None:
    site.worker()


@pytest.fixture(autouse=True)
def _live(_worker: None, checked: Site) -> None:
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
