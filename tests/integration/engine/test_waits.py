"""Waits: a time in the database, ended by the supervisor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_director import engine
from django_director.engine.steps import timers
from django_director.engine.supervisor import audit, leases, publishing
from django_director.exceptions import DirectorError, ExpressionError
from django_director.graph import views_of
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import inputs, own_steps
from tests.factories import chain, definition, group, make_workflow, step, wait

from . import driver

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"


def begin(run: Run, name: str = "W") -> Task:
    assert own_steps.perform(driver.claim(run, name)) is own_steps.HELD
    return run.tasks.get(step=name)


def left(task: Task) -> float:
    """Seconds until a wait is over."""
    assert task.deadline_at is not None
    return (task.deadline_at - timezone.now()).total_seconds()


def waiting(payload: Any = None, **fields: Any) -> Task:
    return begin(driver.start(wait("W", **fields), "A", payload=payload))


def over(run: Run) -> None:
    run.tasks.waiting().update(deadline_at=PAST)
    assert timers.fire() == 1


def error_of(payload: Any = None, **fields: Any) -> str:
    run = driver.start(wait("W", **fields), payload=payload)
    with pytest.raises(ExpressionError) as caught:
        own_steps.perform(driver.claim(run, "W"))
    return str(caught.value)


def test_a_wait_holds_no_worker_and_ends_in_time():
    run = driver.start(wait("W", 3600), "A")
    task = begin(run)
    assert (task.status, task.claim, task.lease_until, task.asked_at) == (TaskStatus.WAITING, None, None, None)
    assert 3500 < left(task) < 3700
    assert (timers.fire(), publishing.wake(), leases.expire_leases(), audit.audit()) == (0, 0, 0, 0)
    over(run)
    task.refresh_from_db()
    assert (task.status, task.deadline_at, task.reason) == (TaskStatus.SUCCESS, None, "")
    assert driver.drain(run) == 1
    assert run.status == RunStatus.SUCCESS


def test_for_nothing():
    run = driver.start(wait("W", 0), "A")
    assert driver.drain(run) == 2
    assert run.status == RunStatus.SUCCESS


@pytest.mark.parametrize("given", [90, 90.0, "1m30s", " 90s "])
def test_for_an_expression(given):
    assert 80 < left(waiting(payload={"delay": given}, seconds="${{ payload.delay }}")) <= 90.5


def test_for_a_text_with_an_expression_in_it():
    assert 50 < left(waiting(payload={"n": 1}, seconds="${{ payload.n }}m")) <= 60.5


@pytest.mark.parametrize("form", ["offset", "other offset", "Z", "float", "int", "number in text"])
def test_until_in_each_form(form):
    moment = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    other = moment.astimezone(timezone.get_fixed_timezone(330))
    forms = {
        "offset": moment.isoformat(),
        "other offset": other.isoformat(),
        "Z": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "float": moment.timestamp() + 0.25,
        "int": int(moment.timestamp()),
    }
    if form == "number in text":
        assert "which is no time" in error_of({"at": str(moment.timestamp())}, until="payload.at")
        return
    assert 3590 < left(waiting({"at": forms[form]}, until="payload.at")) < 3602


def test_until_without_an_offset_is_in_the_projects_time_zone(settings):
    settings.TIME_ZONE = "Asia/Kolkata"
    moment = datetime.now(UTC) + timedelta(hours=1, minutes=330)
    assert 3590 < left(waiting({"at": f"{moment:%Y-%m-%d %H:%M:%S}"}, until="payload.at")) < 3602


def test_until_that_stands_in_the_file():
    moment = datetime.now(UTC) + timedelta(hours=1)
    assert 3590 < left(waiting(until=f'"{moment.isoformat()}"')) < 3602
    assert 3590 < left(begin(driver.start(wait("W", until=moment.timestamp()), name="test.NUMBER"))) < 3602


@pytest.mark.parametrize("until", ['"2001-01-31"', '"2001-01-31T08:00:00+05:30"', 981_000_000, 0, -5])
def test_a_time_that_is_past_is_over_at_once(until):
    run = driver.start(wait("W", until=until))
    assert driver.drain(run) == 1
    assert run.status == RunStatus.SUCCESS


GOLDEN = {
    "`payload.at`, column 1: it gives a text, which is no time (give ISO 8601, or epoch seconds as a number)": (
        {"at": "soon"},
        {"until": "payload.at"},
    ),
    "`payload.at`, column 1: it gives null, which is no time (give ISO 8601, or epoch seconds as a number)": (
        {"at": None},
        {"until": "payload.at"},
    ),
    "`payload.at`, column 1: it gives a boolean, which is no time (give ISO 8601, or epoch seconds as a number)": (
        {"at": True},
        {"until": "payload.at"},
    ),
    "`payload.at`, column 1: it gives a number, which is no time (give ISO 8601, or epoch seconds as a number)": (
        {"at": 1e300},
        {"until": "payload.at"},
    ),
    "`payload.when`, column 8: `payload` has no `when`; there is `at`": (
        {"at": 1},
        {"until": "payload.when"},
    ),
    "`${{ payload.d }}`, column 1: it gives a text, which is no duration "
    "(give seconds as a number, or a text like `1h30m`)": ({"d": "1:30"}, {"seconds": "${{ payload.d }}"}),
    "`${{ payload.d }}`, column 1: it gives a list, which is no duration "
    "(give seconds as a number, or a text like `1h30m`)": ({"d": []}, {"seconds": "${{ payload.d }}"}),
    "`${{ payload.d }}`, column 1: it gives a duration that is not between 0 and 2,147,483,647 s "
    "(give seconds as a number, or a text like `1h30m`)": ({"d": -1}, {"seconds": "${{ payload.d }}"}),
}


@pytest.mark.parametrize("error", GOLDEN, ids=range(len(GOLDEN)))
def test_nonsense_fails_the_step(error):
    payload, fields = GOLDEN[error]
    assert error_of(payload, **fields) == error


def test_the_ends_of_time():
    for text in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "9999-12-31"):
        run = driver.start(wait("W", until=f'"{text}"'), name=f"test.Y{text[:4]}{text[-2:]}")
        task = run.tasks.get()
        driver.end(driver.claim(run, "W"), lambda claimed: None)
        task.refresh_from_db()
        assert task.status == ("success" if text.startswith("0001") else "waiting")
        assert (task.deadline_at is None) == text.startswith("0001")
        assert timers.fire() == 0


# What passes through


def test_what_it_received_is_passed_on():
    run = driver.start("A", wait("W", 60), wait("V", 60), "B")
    driver.succeed(run, "A", {"rows": 3})
    for name in ("W", "V"):
        begin(run, name)
        over(run)
    claimed = driver.claim(run, "B")
    assert claimed.upstream == {"rows": 3}
    assert not run.tasks.filter(step__in="WV").exclude(result=None).exists()


def test_the_first_step_receives_nothing():
    run = driver.start(wait("W", 0), "A")
    driver.end(driver.claim(run, "W"), lambda claimed: None)
    assert driver.claim(run, "A").upstream is None


def test_after_a_group_in_a_group_and_as_the_last_entry():
    run = driver.start(group("G", "A", "B"), group("H", wait("W", 0), "C", chain("E", "D", wait("V", 0))))
    driver.drain(run)
    both = ["A", "B"]
    assert run.result == [both, "C", "D"]


def test_as_a_result_in_expressions():
    late = step("B", needs=("A", "W"), kwargs={"got": "${{ tasks.W.result }}", "how": "${{ tasks.W.status }}"})
    run = driver.start("A", wait("W", 0), late, result="tasks.W.result")
    driver.succeed(run, "A", 5)
    driver.end(driver.claim(run, "W"), lambda claimed: None)
    claimed = driver.claim(run, "B")
    assert inputs.evaluate_with(claimed) == {"got": 5, "how": "success"}
    assert claimed.upstream == [5, 5]
    assert driver.finish.finish(claimed, None)
    run.refresh_from_db()
    assert run.result == 5


def test_a_step_that_failed_passes_on_nothing():
    run = driver.start(step("A", continue_on_error=True), wait("W", 0), "B")
    driver.fail(run, "A")
    driver.end(driver.claim(run, "W"), lambda claimed: None)
    assert driver.claim(run, "B").upstream is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("order", [1, -1], ids=["along the file", "against it"])
def test_thousands_of_waits_one_after_the_other(order):
    waits = [wait(f"W{n}", 1, needs=(f"W{n - 1}" if n else "A",)) for n in range(5_000)]
    steps = [step("A", needs=()), *waits, step("B", needs=("W4999",))][::order]
    make_workflow(definition("test.DEEP", *steps, result='tasks["W4999"].result'))
    run = engine.start("test.DEEP")
    driver.succeed(run, "A", "through")
    run.tasks.filter(step__startswith="W").update(status="success", finished_at=timezone.now())
    graph = run.version.graph
    (node,) = [node for node in graph.nodes if node.step.id == "B"]
    assert node.shape.assemble({graph.nodes[0].position: "through"}) == "through"
    assert views_of(graph)["W4999"].shape == node.shape


@pytest.mark.timeout(60)
def test_what_would_grow_without_end_is_refused_at_the_start():
    doubling = [group(f"G{n}", wait(f"V{n}", 1), wait(f"W{n}", 1)) for n in range(40)]
    make_workflow(definition("test.BOMB", "A", *doubling, "B"))
    with pytest.raises(DirectorError) as caught:
        engine.start("test.BOMB")
    assert str(caught.value) == (
        "“test.BOMB” passes on a list of 1,099,511,627,776 results in 40 levels: each wait and approval of a "
        'group repeats what the group received; the limits are 250,000 (DIRECTOR["MAX_TASKS_PER_RUN"]) and 32'
    )
    nested = [group(f"G{n}", wait(f"W{n}", 1)) for n in range(5_000)]
    make_workflow(definition("test.DEEP", "A", *nested, "B"))
    with pytest.raises(DirectorError, match=r"a list of 1 results in 5,000 levels"):
        engine.start("test.DEEP")


# The run around it


def test_a_wait_goes_on_in_a_paused_run_and_what_follows_is_held():
    run = driver.start(wait("W", 60), "A")
    begin(run)
    engine.pause(run)
    over(run)
    assert driver.statuses(run) == {"W": "success", "A": "queued"}
    assert driver.claims.claim(driver.ticket(run.tasks.get(step="A")), "tests") is None


def test_cancel_ends_a_wait_and_retry_begins_it_anew(django_capture_on_commit_callbacks):
    run = driver.start(wait("W", 60), "A")
    begin(run)
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run)
    run.refresh_from_db()
    task = run.tasks.get(step="W")
    assert (task.status, task.deadline_at, run.status) == (TaskStatus.CANCELED, None, RunStatus.CANCELED)
    engine.retry(run)
    assert 50 < left(begin(run)) <= 60.5


def test_retry_does_not_repeat_a_wait_that_is_over():
    run = driver.start(wait("W", 60), "A")
    begin(run)
    over(run)
    driver.fail(run, "A")
    run.refresh_from_db()
    engine.retry(run)
    assert driver.statuses(run) == {"W": "success", "A": "queued"}


def test_what_it_costs():
    run = driver.start(wait("W", 60), wait("V", until='"2001-01-01"'), "A")
    claimed = driver.claim(run, "W")
    with driver.queries(1):
        own_steps.perform(claimed)
    Task.objects.waiting().update(deadline_at=PAST)
    # Read, end, queue what follows.
    with driver.queries(3):
        assert timers.fire() == 1
    claimed = driver.claim(run, "V")
    with driver.queries(1):
        assert own_steps.perform(claimed) is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="skipped: it is about what Python makes of a time")
def test_without_time_zones_in_the_database(settings):
    settings.USE_TZ = False
    assert (
        abs((timers.now(driver.claim(driver.start(wait("W", 60)), "W")) - datetime.now(UTC)).total_seconds()) < 60
    )


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), "x" * 300_000], ids=["set", "nan", "large"])
def test_what_a_kind_of_step_gives_is_checked_as_a_tasks_result(value, monkeypatch):
    monkeypatch.setitem(own_steps._PERFORM, "wait", lambda claim: value)
    run = driver.start(wait("W", seconds=60))
    driver.end(driver.claim(run, "W"), lambda claimed: None)
    task = run.tasks.get(step="W")
    assert (task.status, task.result) == ("failed", None)
    assert task.error.startswith("InvalidResult: ")
