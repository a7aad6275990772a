"""Whatever a task raises, in this process: recorded once with its cause, as by a worker."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from celery import shared_task

import django_director
from django_director.definitions import Retry
from django_director.models import Run
from django_director.status import RunStatus
from django_director.testing import run_workflow
from tests.factories import definition, make_workflow, step
from tests.testapp.rough_tasks import ERRORS, HANDLERS, SAYS

pytestmark = pytest.mark.django_db


def run(*tasks, payload=None):
    make_workflow(definition("rough.LOCAL", *tasks))
    return run_workflow("rough.LOCAL", payload or {})


@pytest.mark.fault(39)
@pytest.mark.parametrize("name", sorted(set(ERRORS) - {"KeyboardInterrupt"}))
def test_whatever_a_task_raises_fails_it_once_with_its_cause(tmp_path, name):
    done = run(step("RAISE"), "NOOP", payload={"trace": str(tmp_path / "trace"), "error": name})
    task = done.tasks.get(step="RAISE")
    assert done.status == RunStatus.FAILED
    assert task.error.startswith(SAYS.get(name, f"{name}: as asked"))
    assert (task.failures, task.crashes) == (1, 0)
    assert len((tmp_path / "trace").read_text().splitlines()) == 1


def test_an_interrupt_ends_whoever_runs_it_here_and_fails_the_task(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(step("RAISE"), payload={"trace": str(tmp_path / "trace"), "error": "KeyboardInterrupt"})
    assert Run.objects.get().tasks.get().error == "KeyboardInterrupt: as asked"


@pytest.mark.fault(39)
@pytest.mark.parametrize("name", HANDLERS)
def test_handlers_that_raise_change_no_outcome(name):
    done = run(step(name))
    assert (str(done.status), done.error) == HANDLERS[name]


class _Silent:
    def __str__(self):
        raise ValueError("no text")


@shared_task(name="LOG_UNPRINTABLE")
def log_unprintable(payload):
    logging.getLogger("tests.rough").warning("the value is %s", _Silent())
    return "logged"


def test_a_log_line_that_can_not_be_formatted_fails_no_task(monkeypatch):
    # Only our handler hears it: pytest's raises.
    monkeypatch.setattr(logging.getLogger("tests.rough"), "propagate", False)
    done = run(step("LOG_UNPRINTABLE"))
    assert (done.status, done.tasks.get().result) == (RunStatus.SUCCESS, "logged")


@shared_task(name="SHOW")
def show(payload):
    running = django_director.context()
    assert running is not None
    running.progress(*GIVEN[payload["what"]])


GIVEN = {
    "decimals": (Decimal("1.5"), Decimal(3), "half \x00 \ud800"),
    "text": ("one",),
    "nan": (float("nan"),),
    "huge": (10**400,),
    "long": (2**70,),
    "total": (1, object()),
    "message": (1, 2, _Silent()),
}
SHOWN = {
    "decimals": (RunStatus.SUCCESS, ""),
    "text": (RunStatus.FAILED, "SHOW: Misuse: progress(): `done` is no number that can be shown"),
    "nan": (RunStatus.FAILED, "SHOW: Misuse: progress(): `done` is no number that can be shown"),
    "huge": (RunStatus.FAILED, "SHOW: Misuse: progress(): `done` is no number that can be shown"),
    "long": (RunStatus.SUCCESS, ""),
    "total": (RunStatus.FAILED, "SHOW: Misuse: progress(): `total` is no number that can be shown"),
    "message": (RunStatus.FAILED, "SHOW: ValueError: no text"),
}


@pytest.mark.parametrize("what", GIVEN)
def test_progress_that_can_not_be_shown_is_the_tasks_own_error(what):
    done = run(step("SHOW"), payload={"what": what})
    assert (done.status, done.error) == SHOWN[what]
    if what == "decimals":
        assert done.tasks.get().progress == {"done": 1.5, "total": 3.0, "message": "half \ufffd ?"}


@shared_task(name="RETRY_AT", bind=True)
def retry_at(self, payload):
    raise self.retry(countdown={"nan": float("nan"), "text": "soon", "far": 1e300}[payload["when"]])


@pytest.mark.parametrize("when", ["nan", "text"])
def test_a_retry_at_no_time_fails_the_task(when):
    done = run(step("RETRY_AT"), payload={"when": when})
    assert done.status == RunStatus.FAILED
    assert "that is no time" in done.error


def test_such_errors_are_tried_again_as_any(tmp_path):
    again = step("RAISE", retry=Retry(max=1, delay=0, only=("GeneratorExit",)))
    done = run(again, payload={"trace": str(tmp_path / "trace"), "error": "GeneratorExit"})
    assert (done.status, done.tasks.get().failures) == (RunStatus.FAILED, 2)


@shared_task(name="WAITING_HERE")
def wait_here(payload):
    make_workflow(definition("rough.OTHER", "NOOP"))
    return str(django_director.start("rough.OTHER").wait())


@pytest.mark.django_db(transaction=True)
def test_a_task_that_waits_for_a_run_is_refused_here_too():
    done = run(step("WAITING_HERE"))
    assert done.error.startswith("WAITING_HERE: Misuse: run.wait() inside a task without a timeout")
