"""What a forked process learns of the end of its worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from celery import signals

from django_director.common import shutdown
from django_director.worker import end_signals

MESSAGE = "01a229c2-a57f-7c5e-b1a5-1775b5000001-1"


@pytest.fixture(autouse=True)
def _page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(end_signals, "_page", None)
    monkeypatch.setattr(end_signals, "PATIENCE", 0.3)
    end_signals.prepare()
    yield
    signals.worker_shutting_down.disconnect(shutdown.begin)
    shutdown.forget()


def cancel(message: str) -> Callable[[], object]:
    """As Celery cancels what runs: from the worker's own process, without an error."""
    request = SimpleNamespace(id=message)
    return lambda: signals.task_retry.send(sender=None, request=request, reason=None, einfo=None)


@pytest.mark.parametrize(
    ("say", "is_expected"),
    [
        (lambda: None, False),
        (lambda: signals.worker_shutting_down.send(sender="w", sig="SIGTERM", how="Warm", exitcode=0), True),
        (lambda: end_signals.FarewellStep.close(None, None), True),
        (cancel(MESSAGE), True),
        (cancel("another-1"), False),
    ],
)
def test_a_forked_process_asks_its_worker(say: Callable[[], object], is_expected: bool):
    child = os.fork()
    if child == 0:
        # Nothing of pytest's may run here.
        os._exit(end_signals.is_expected(MESSAGE))
    say()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == is_expected


def test_a_retry_of_a_task_in_its_own_process_says_nothing():
    child = os.fork()
    if child == 0:
        cancel(MESSAGE)()
        os._exit(end_signals.is_expected(MESSAGE))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_canceled_messages_push_out_the_oldest():
    for number in range(end_signals._SLOTS + 1):
        cancel(f"message-{number}")()
    assert end_signals._page is not None
    assert not end_signals._page.is_canceled("message-0")
    assert end_signals._page.is_canceled("message-1")
    assert end_signals._page.is_canceled(f"message-{end_signals._SLOTS}")


def test_the_workers_own_process_goes_by_what_celery_wishes(monkeypatch: pytest.MonkeyPatch):
    from celery.worker import state

    assert not end_signals.is_expected(MESSAGE)
    monkeypatch.setattr(state, "should_stop", 0)
    assert end_signals.is_expected(MESSAGE)
