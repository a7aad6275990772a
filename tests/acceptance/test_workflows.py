"""celery-director's examples and Celery's own features, with a real worker."""

from __future__ import annotations

import json
import time
from pathlib import Path

import kombu
import pytest

from django_director import engine
from django_director.exceptions import InvalidPayload, UnknownWorkflow
from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from tests.factories import step

from . import checker
from .conftest import Site
from .harness import Worker, is_alive, pid_in, wait_for

pytestmark = pytest.mark.worker
KILLED = "exited with 'signal 9 (SIGKILL)'"


@pytest.fixture(scope="module")
def worker(site: Site) -> Worker:
    return site.worker(queues="celery,routed")


@pytest.fixture(autouse=True)
def _worker(worker: Worker, checked: Site) -> None:
    """Every test has the worker, and is checked at its end."""


# celery-director's examples


def test_etl_chain(site: Site):
    run = site.run("example.ETL")
    assert (run.status, run.result) == (RunStatus.SUCCESS, 60)
    assert [task.step for task in run.tasks.order_by("finished_at")] == ["EXTRACT", "TRANSFORM", "LOAD"]
    assert run.tasks.get(step="EXTRACT").result["args"] == [None]


def test_group_then_join_gets_a_list(site: Site):
    run = site.run("example.RANDOMS", {"start": 3, "end": 9})
    first, second = (run.tasks.get(step=step).result for step in ("RANDOM", "RANDOM-2"))
    assert run.result == first + second
    assert 6 <= run.result <= 18


def test_groups_and_chains_in_each_other(site: Site):
    run = site.run("example.NESTED", {"value": 5})
    assert run.result["args"] == [[[5, 5], 5]]


def test_payload_and_workflow_id(site: Site):
    run = site.run("example.PAYLOAD", {"order": [7, {"a": None}]})
    assert run.result["payload"] == {"order": [7, {"a": None}]}
    assert run.result["workflow_id"] == str(run.pk)


def test_what_the_worker_logs_holds_no_secret(site: Site, worker: Worker, tmp_path: Path):
    site.define("test.SECRETS", "RETURN", "RAISE")
    secret = "hunter2-Pa55"
    value = {"token": "t0ken-of-result", "rows": 37}
    payload = {"value": value, "password": secret, "trace": str(tmp_path / "trace"), "error": secret}
    run = site.run("test.SECRETS", payload)
    assert run.error == "RAISE: KeyError: '********'"
    for line in ("'rows': 37", "KeyError('********')", "KeyError: '********'"):
        wait_for(lambda line=line: line in worker.text(), what=line)
    assert secret not in worker.text()
    assert "t0ken-of-result" not in worker.text()


def test_the_worker_hides_a_secret_of_a_payload_that_no_task_receives(site: Site, worker: Worker):
    secret = "hunter3-Pa55"
    site.define("test.UNREAD", step("SAY", kwargs={"text": f"told {secret} otherwise"}))
    run = site.run("test.UNREAD", {"password": secret, "list": ["an entry that nobody reads"] * 1000})
    assert run.tasks.get().result == f"told {secret} otherwise"
    wait_for(lambda: "told ******** otherwise" in worker.text(), what="the line of the result")
    assert secret not in worker.text()


def test_schema_of_a_file_gives_defaults(site: Site):
    run = site.run("example.SCHEMA", {"amount": 3})
    assert run.result["payload"] == {"amount": 3, "currency": "EUR"}


@pytest.mark.parametrize(
    ("name", "payload", "says"),
    [
        ("example.SCHEMA", {"amount": "three"}, "amount"),
        ("example.SCHEMA", {}, "amount"),
        ("example.INLINE_SCHEMA", None, "name"),
    ],
)
def test_a_wrong_payload_starts_nothing(site: Site, name, payload, says):
    before = Run.objects.count()
    with pytest.raises(InvalidPayload, match=says):
        site.start(name, payload)
    assert Run.objects.count() == before


def test_an_unknown_workflow_says_what_was_meant(site: Site):
    with pytest.raises(UnknownWorkflow, match=r"did you mean “example.ETL”"):
        site.start("example.ETLS")


def test_queues_by_default_and_by_name(site: Site, worker: Worker, trace: Path):
    special = site.worker(queues="special", concurrency=1)
    try:
        run = site.start("example.QUEUES", {"trace": str(trace)})
        whole = site.start("example.DEFAULT_QUEUE")
        site.wait([run, whole])
        assert run.tasks.get(step="WHERE").result == run.tasks.get(step="WHERE-2").result == "celery"
        assert {task.worker for task in run.tasks.filter(name="WHERE")} == {worker.hostname}
        assert run.tasks.get(step="TRACE").worker == special.hostname
        assert (whole.result, whole.tasks.get().worker) == ("special", special.hostname)
    finally:
        special.stop()


@pytest.mark.parametrize(
    ("name", "status"), [("HOOKS_SUCCESS", RunStatus.SUCCESS), ("HOOKS_FAILURE", RunStatus.FAILED)]
)
def test_the_hook_of_an_outcome_runs_once(site: Site, trace: Path, name, status):
    run = site.run(f"example.{name}", {"trace": str(trace)})
    assert run.status == status
    wait_for(lambda: not run.tasks.hooks().active().exists(), what="hook has ended")
    hook = run.tasks.hooks().get()
    assert (hook.name, hook.status) == ("TRACE", TaskStatus.SUCCESS)
    assert checker.executions(trace) == {str(hook.pk): 1}


def test_error_in_a_chain(site: Site):
    run = site.run("example.ERROR_IN_CHAIN")
    assert (run.status, run.error) == (RunStatus.FAILED, "ERROR: ValueError: as asked")
    assert [task.status for task in run.tasks.in_order()] == ["success", "failed", "upstream_failed"]
    assert "raise ValueError" in run.tasks.get(step="ERROR").traceback


def test_error_in_a_group(site: Site):
    run = site.run("example.ERROR_IN_GROUP", {"value": 1})
    assert run.status == RunStatus.FAILED
    statuses = {task.step: task.status for task in run.tasks.all()}
    assert statuses == {"NOOP": "success", "ERROR": "failed", "RETURN": "success", "ADD": "upstream_failed"}


def test_return_values_arrive_as_they_were_given(site: Site):
    values = ["text é", 7, [1, [2]], None, {"a": {"b": [None, True, 1.5]}}]
    runs = [site.start("example.RETURNS", {"value": value}) for value in values]
    site.wait(runs)
    assert [run.tasks.get(step="RETURN").result for run in runs] == values
    assert [run.result["args"] for run in runs] == [[value] for value in values]


def test_a_value_that_is_not_json_fails_its_task_once(site: Site):
    run = site.run("example.SET")
    task = run.tasks.get(step="SET")
    assert (run.status, task.failures, task.attempt) == (RunStatus.FAILED, 1, 1)
    assert "a value of type set is not JSON at $" in task.error


def test_results_are_stored_as_django_writes_json(site: Site):
    assert site.run("example.RICH").result == {
        "date": "2026-11-23",
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "pair": [1, 2],
    }


def test_arguments_by_signature(site: Site):
    assert site.run("example.TYPED", {"value": [1, 2]}).result == [2, 4]


# Celery's own features


def test_a_bound_task_retries_after_its_countdown(site: Site):
    run = site.run("celery.BOUND", {"failures": 2, "countdown": 1})
    task = run.tasks.get()
    assert (run.result["retries"], task.failures, task.attempt) == (2, 2, 3)
    first, last = task.attempts.order_by("id")
    assert "not yet" in first.error
    assert task.started_at - first.started_at >= (last.started_at - first.started_at) * 1.5
    assert (task.started_at - first.started_at).total_seconds() >= 2


def test_a_bound_task_gives_up_after_max_retries(site: Site):
    run = site.run("celery.BOUND", {"failures": 9})
    assert (run.status, run.tasks.get().attempt) == (RunStatus.FAILED, 4)
    assert run.error == "BOUND: ValueError: not yet"


def test_autoretry_for(site: Site):
    assert site.run("celery.AUTORETRY", {"failures": 2}).result == 2
    assert "ConnectionError: gone" in site.run("celery.AUTORETRY", {"failures": 3}).error


def test_a_rate_limit_is_kept(site: Site):
    run = site.run("celery.RATED")
    times = sorted(task.result for task in run.tasks.all())
    # Older ones take the time before the first message for time in which a further one has earned its start.
    least = 1 if kombu.VERSION >= (5, 7) else 0.9
    assert times[-1] - times[0] > least, "four tasks at two a second"


def test_a_soft_time_limit_is_the_tasks_failure(site: Site):
    run = site.run("celery.SOFT_LIMIT")
    assert "SoftTimeLimitExceeded" in run.error
    assert run.tasks.get(step="SOFT_LIMIT").attempt == 1


def test_a_hard_time_limit_fails_the_run_within_seconds(site: Site):
    site.expected |= {"Hard time limit", "TimeLimitExceeded", KILLED}
    run = site.run("celery.HARD_LIMIT", timeout=15)
    task = run.tasks.get(step="HARD_LIMIT")
    assert run.error == "HARD_LIMIT: TimeLimitExceeded: it ran longer than 1 s"
    assert (task.attempt, task.crashes) == (1, 0)
    assert task.duration is not None
    assert task.duration < 4


def test_routes_and_priorities(site: Site):
    assert site.run("celery.ROUTED").result == "routed"
    assert site.run("celery.PRIORITY").result == 7


def test_a_task_with_a_base_of_its_own(site: Site):
    run = site.run("celery.OWN_BASE")
    assert run.tasks.get(step="OWN_BASE").result == ["hello", True]
    assert run.result["args"] == [["hello", True]]


def test_a_task_whose_base_is_ours_and_calls_run_itself(site: Site):
    """As Celery's documentation has it; its retries are those of a run all the same."""
    run = site.run("celery.OWN_CALL", {"failures": 2})
    assert run.result == ["own call", 2]
    assert run.tasks.get().attempt == 3


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("EXIT", "the task called sys.exit(3)"),
        ("IGNORE", "can't raise Ignore"),
        ("REJECT", "can't raise Reject"),
        ("OPEN_TRANSACTION", None),
        ("CLOSE_CONNECTION", None),
        ("FORK", None),
        ("FORK_EXIT", None),
    ],
)
def test_what_a_task_does_to_its_worker_harms_no_other(site: Site, name, says):
    run = site.run(f"celery.{name}")
    if says:
        assert run.status == RunStatus.FAILED
        assert says in run.error
    else:
        assert run.status == RunStatus.SUCCESS
        assert run.tasks.get(step="NOOP").status == TaskStatus.SUCCESS
        assert run.tasks.first().result != "the child came back"
    followers = [site.start("example.ETL") for _ in range(4)]
    site.wait(followers)
    assert {follower.result for follower in followers} == {60}
    assert {task.attempts.count() for task in run.tasks.all()} == {0}, "lost or repeated"


# Steering


def running_task(run: Run, step: str):
    return wait_for(lambda: run.tasks.running().filter(step=step).first(), what=f"{step} running")


def test_a_running_task_learns_of_a_cancel(site: Site):
    run = site.start("celery.CANCELABLE")
    running_task(run, "CANCELABLE")
    assert engine.cancel(run).shown_status in {"canceling", "canceled"}
    run.wait(15)
    assert run.status == RunStatus.CANCELED
    assert run.tasks.get(step="CANCELABLE").result == "gave up"
    assert run.tasks.get(step="NOOP").status == TaskStatus.CANCELED


def test_a_forced_cancel_kills_the_process(site: Site, trace: Path):
    site.expected |= {"Task handler raised error", KILLED}
    run = site.start("celery.TRACE", {"trace": str(trace), "seconds": 60})
    running_task(run, "TRACE")
    wait_for(trace.exists, what="TRACE works")
    pid = pid_in(trace)
    began = time.monotonic()
    engine.cancel(run, force=True)
    run.wait(5)
    assert run.status == RunStatus.CANCELED
    wait_for(lambda: not is_alive(pid), 8, "the process is killed")
    assert time.monotonic() - began < 10
    assert site.run("example.ETL").result == 60


def test_connections_outlive_tasks(site: Site):
    """``CONN_MAX_AGE`` counts in a worker as on the web: a new connection per task would double its cost."""
    run = site.run("celery.CONNECTIONS")
    results = run.tasks.values_list("result", flat=True)
    opened = {(result["pid"], result["opened"]) for result in results}
    assert len(opened) == len({pid for pid, _ in opened})


def test_progress_is_kept(site: Site):
    run = site.run("celery.PROGRESS")
    assert run.tasks.get().progress == {"done": 3, "total": 10, "message": "three of ten"}


def test_signals_tell_of_each_step_once(site: Site):
    run = site.run("example.ETL")
    ids = sorted(str(task.pk) for task in run.tasks.all())

    def told(what: str) -> list[str]:
        """Whom the signals of this kind named: they are sent after the commit, so some follow the run's end."""
        lines = site.history.read_text().splitlines() if site.history.exists() else []
        events = [json.loads(line) for line in lines if str(run.pk)[:30] in line]
        return sorted(event.get("task") or event["run"] for event in events if event["what"] == what)

    def all_told() -> bool:
        return (told("claim"), told("end"), told("outcome")) == (ids, ids, [str(run.pk)])

    wait_for(all_told, what="one signal for each claim, end and outcome")
