"""A worker's own process hears of lost attempts of ours only, and leaves everything else to Celery."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request
from kombu.message import Message

from django_director.celery import DirectorTask
from django_director.dispatch.messages import HEADER
from django_director.worker.losses import Loss, Reporter
from django_director.worker.requests import DirectorRequest, ReportsLosses, loss_reporting_class
from tests.testapp import tasks  # noqa: F401 - registers them
from tests.testapp.celery import app

TASK = UUID(int=7)
OURS = {HEADER: {"run": str(UUID(int=1))}}


class OwnRequest(Request):
    """A project's own."""


@pytest.fixture
def reporter(monkeypatch: pytest.MonkeyPatch) -> Reporter:
    """What has been heard, without a worker that would hand it over."""
    fresh = Reporter()
    monkeypatch.setattr("django_director.worker.requests.reporter", fresh)
    return fresh


def request(cls: type[Request], **headers: Any) -> Any:
    headers = {"id": f"{TASK}-3", "task": "NOOP", "lang": "py"} | headers
    message = Message(body="[[], {}, {}]", content_type="application/json", headers=headers)
    return cls(message, app=app, task=app.tasks["NOOP"])


def fail(request: Any, error: BaseException) -> None:
    try:
        raise error
    except type(error):
        request.on_failure(ExceptionInfo(), return_ok=True)


@pytest.mark.parametrize("cls", [DirectorRequest, loss_reporting_class(OwnRequest)])
@pytest.mark.parametrize("error", [WorkerLostError("signal 9"), Terminated(9), KeyboardInterrupt()])
def test_a_lost_process_is_heard(reporter: Reporter, cls: type[Request], error: BaseException):
    fail(request(cls, **OURS), error)
    (loss,) = reporter.waiting
    assert (loss.task_id, loss.sequence, loss.seconds) == (TASK, 3, None)


def test_a_time_limit_is_heard_once(reporter: Reporter):
    """Celery tells of it twice."""
    late = request(DirectorRequest, **OURS)
    fail(late, TimeLimitExceeded(5))
    late.on_timeout(soft=False, timeout=5)
    assert reporter.waiting == [Loss(TASK, 3, "TimeLimitExceeded(5,)", 5)]


@pytest.mark.parametrize("error", [ValueError("the task's own"), TimeLimitExceeded()])
def test_what_a_task_raises_is_no_loss(reporter: Reporter, error: BaseException):
    fail(request(DirectorRequest, **OURS), error)
    request(DirectorRequest, **OURS).on_timeout(soft=True, timeout=5)
    assert reporter.waiting == []


def test_messages_of_others_are_left_alone(reporter: Reporter):
    other = request(DirectorRequest)
    fail(other, WorkerLostError("signal 9"))
    other.on_timeout(soft=False, timeout=5)
    assert reporter.waiting == []


def test_a_class_of_the_projects_own_is_mixed_in_once():
    mixed = loss_reporting_class("tests.unit.worker.test_requests:OwnRequest")
    assert mixed.__mro__[1:3] == (ReportsLosses, OwnRequest)
    assert loss_reporting_class(mixed) is mixed
    assert loss_reporting_class(DirectorTask.Request) is DirectorRequest
