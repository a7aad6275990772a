"""Two that want, free or give back slots at once, in either order."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_director import engine
from django_director.definitions import Concurrency
from django_director.engine.attempts import finish
from django_director.engine.concurrency import admission
from django_director.engine.supervisor import audit
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import definition, make_workflow

from . import driver
from .interleaving import PATIENCE, needs_several_writers, own_connection

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]
NAME = "test.FLOW"
PAST = "2026-01-01T00:00:00Z"
RUNNING, PENDING = RunStatus.RUNNING, RunStatus.PENDING


@pytest.fixture(autouse=True)
def _published(published):
    return published


@pytest.fixture
def held(held, in_transactions):
    return held


def define(limit: int = 1, on_conflict: Any = "queue") -> None:
    make_workflow(definition(NAME, "A", concurrency=Concurrency(limit=limit, on_conflict=on_conflict)))


def start() -> Run:
    return engine.start(NAME)


def waiting_runs(number: int, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Pending runs whose starters died before they could try."""
    with monkeypatch.context() as patch:
        patch.setattr(admission, "try_start", lambda run: None)
        return [start() for _ in range(number)]


def states() -> list[tuple[str, int | None]]:
    return list(Run.objects.order_by("queued_at", "pk").values_list("status", "slot"))


def fill() -> int:
    run = Run.objects.order_by("pk").last()
    return admission.fill(run.workflow_id, run.concurrency_key)


@needs_several_writers
@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("point", ["admit.updated", "admit.committed"])
def test_two_that_let_runs_start(held, monkeypatch, point, limit):
    define(limit)
    waiting_runs(4, monkeypatch)
    assert sum(held(point, fill, fill)) == limit
    assert states() == [(RUNNING, slot) for slot in range(limit)] + [(PENDING, None)] * (4 - limit)
    first = Run.objects.order_by("pk").first()
    assert first.tasks.get().sequence == 1


@needs_several_writers
@pytest.mark.parametrize("point", ["finish.updated", "finish.settled", "finish.committed", "admit.before"])
def test_an_end_and_a_start(held, point):
    define()
    first = start()
    claimed = driver.claim(first, "A")
    ended, second = held(point, lambda: finish.finish(claimed, None), start)
    assert ended
    second.refresh_from_db()
    assert (second.status, second.slot) == (RUNNING, 0)


@needs_several_writers
@pytest.mark.parametrize("point", ["start.inserted", "start.committed"])
def test_a_start_and_an_end(held, point):
    define()
    claimed = driver.claim(start(), "A")
    second, ended = held(point, start, lambda: finish.finish(claimed, None))
    assert ended
    second.refresh_from_db()
    assert (second.status, second.slot) == (RUNNING, 0)


@needs_several_writers
@pytest.mark.parametrize("point", ["finish.settled", "finish.committed", "admit.before", "admit.updated"])
def test_two_ends_let_two_start(held, monkeypatch, point):
    define(limit=2)
    first, second = start(), start()
    claims = [driver.claim(run, "A") for run in (first, second)]
    third, fourth, fifth = start(), start(), start()
    assert held(point, *(lambda c=c: finish.finish(c, None) for c in claims)) == [True, True]
    for run in (third, fourth, fifth):
        run.refresh_from_db()
    assert {third.slot, fourth.slot} == {0, 1}
    assert fifth.status == PENDING


@needs_several_writers
def test_a_cancel_waits_for_the_admission_and_stops_what_has_begun(held, monkeypatch):
    define()
    (run,) = waiting_runs(1, monkeypatch)
    started, canceled = held("admit.updated", fill, lambda: engine.cancel(run))
    assert (started, canceled.stop) == (1, "cancel")
    audit.close_stopped()
    run.refresh_from_db()
    assert (run.status, run.slot) == (RunStatus.CANCELED, None)


@needs_several_writers
@pytest.mark.parametrize("point", ["cancel.committed", "cancel.swept"])
def test_a_canceled_run_is_not_let_in_and_lets_others_pass(held, monkeypatch, point):
    define()
    first, second = waiting_runs(2, monkeypatch)
    held(point, lambda: engine.cancel(first), fill)
    for run in (first, second):
        run.refresh_from_db()
    assert (first.status, second.status) == (RunStatus.CANCELED, RUNNING)


@needs_several_writers
@pytest.mark.parametrize("point", ["reset.updated", "reset.committed"])
def test_a_retry_and_a_start(held, point):
    define()
    first = start()
    driver.fail(first, "A")
    again, second = held(point, lambda: engine.retry(first), start)
    assert not isinstance(again, Conflict)
    assert sorted(status for status, _ in states()) == [PENDING, RUNNING]
    assert second.slot != again.slot


@needs_several_writers
@pytest.mark.parametrize("point", ["start.committed", "admit.updated", "cancel.committed", "cancel.swept"])
def test_two_of_which_the_newer_wins(held, point):
    define(on_conflict="cancel_running")
    start()
    held(point, start, start)
    audit.close_stopped()
    Run.objects.filter(status=PENDING).update(next_admission_at=PAST)
    admission.admit_due()
    found = list(Run.objects.order_by("created_at", "pk").values_list("status", "slot"))
    assert sorted(found) == [(RunStatus.CANCELED, None), (RunStatus.CANCELED, None), (RUNNING, 0)]


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("on_conflict", ["queue", "skip", "cancel_running"])
def test_many_starts_at_once(limit, on_conflict):
    define(limit, on_conflict)
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(own_connection, start) for _ in range(24)]
    assert all(isinstance(run.result(PATIENCE), Run) for run in runs)
    audit.close_stopped()
    by_status = Counter(status for status, _ in states())
    if on_conflict == "cancel_running":
        # Each that found no slot has canceled all before it: the last to look runs, whichever was created last.
        assert 1 <= by_status[RUNNING] <= limit
        assert by_status[RUNNING] + by_status[RunStatus.CANCELED] == 24
        return
    assert by_status[RUNNING] == limit
    assert by_status[PENDING if on_conflict == "queue" else RunStatus.CANCELED] == 24 - limit
