"""A project whose app makes tasks of a class of its own, and that keeps results in a result backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django_celery_results.models import TaskResult

from django_director import engine
from django_director.definitions import Retry
from django_director.dispatch import publisher
from django_director.engine import outbox
from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import step

from .conftest import Site
from .harness import wait_for

pytestmark = pytest.mark.worker

TASK_CLS = "tests.testapp.acme:AcmeTask"
SECRET = "hunter2-and-more"
ATTEMPT = ["task_prerun", "before_start", "__call__", "function"]
ENDS = {
    "retry": ["on_retry", "task_retry", "task_postrun"],
    "success": ["on_success", "task_success", "after_return", "task_postrun"],
    "failure": ["on_failure", "task_failure", "after_return", "task_postrun"],
}


@pytest.fixture(scope="module")
def acme(site: Site) -> Site:
    """A worker of such a project."""
    site.worker(concurrency=1, DIRECTOR_TEST_TASK_CLS=TASK_CLS, DIRECTOR_TEST_RESULTS="django-db")
    acme = step("ACME", retry=Retry(max=1), kwargs={"extra": "${{ payload.password }}"})
    site.define("acme.ORDER", "NOOP", acme, "ECHO")
    return site


def order(site: Site, notes: Path, failures: int) -> Run:
    return site.run("acme.ORDER", {"notes": str(notes), "failures": failures, "password": SECRET})


def lines(notes: Path, count: int) -> list[dict[str, Any]]:
    """What was told of ACME. Some hear of an end only after it was committed."""

    def read() -> list[dict[str, Any]]:
        told = [json.loads(line) for line in notes.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in told if line["task"] == "ACME"]

    wait_for(lambda: len(read()) >= count, what=f"{count} lines")
    return read()


@pytest.mark.parametrize(
    ("failures", "ends"), [(0, ["success"]), (1, ["retry", "success"]), (2, ["retry", "failure"])]
)
def test_its_class_hears_what_celery_promises(acme: Site, tmp_path: Path, failures: int, ends: list[str]):
    run = order(acme, tmp_path / "notes", failures)
    task = run.tasks.get(step="ACME")
    expected = [what for end in ends for what in [*ATTEMPT, *ENDS[end]]]
    told = lines(tmp_path / "notes", len(expected))
    assert [line["what"] for line in told] == expected
    assert {line["id"] for line in told} == {line["request"][0] for line in told} == {str(task.pk)}
    assert [line["args"] for line in told] == [line["request"][1] for line in told] == [[None]] * len(told)
    assert {tuple(line["kwargs"]) for line in told} == {("extra", "payload")}
    # Of the steps that are tasks of others as well.
    assert run.status == (RunStatus.FAILED if failures > 1 else RunStatus.SUCCESS)
    assert task.attempt == len(ends)
    # The result backend has one result for the task, whatever it took.
    stored = wait_for(lambda: TaskResult.objects.filter(task_id=task.pk, status=ends[-1].upper()).first())
    assert failures > 1 or json.loads(stored.result) == task.result == str(task.pk)
    assert not TaskResult.objects.filter(task_id__startswith=f"{task.pk}-").exists()
    of_run, expected_results = (
        TaskResult.objects.filter(task_id__startswith=str(task.pk)[:24]),
        2 if failures > 1 else 3,
    )
    wait_for(lambda: of_run.count() == expected_results)


def test_the_log_has_the_ids_and_no_arguments(acme: Site, tmp_path: Path):
    run = order(acme, tmp_path / "notes", 2)
    task = run.tasks.get(step="ACME")
    lines(tmp_path / "notes", 15)
    (worker,) = acme.programs
    wait_for(lambda: f"Task ACME[{task.pk}] raised unexpected: ValueError('not yet')" in worker.text())
    assert f"Task ACME[{task.pk}-1] received" in worker.text()
    assert f"Task ACME[{task.pk}-2] received" in worker.text()
    assert SECRET not in worker.text()


def test_a_message_comes_twice_and_is_run_once(acme: Site, tmp_path: Path):
    """Nobody hears of the second."""
    run = order(acme, tmp_path / "notes", 0)
    task = run.tasks.select_related("run__version").get(step="ACME")
    publisher.publish([outbox.message_of(task, task.run.version.content_hash)])
    (worker,) = acme.programs
    wait_for(lambda: f"Task ACME[{task.pk}-1] ignored" in worker.text())
    assert len(lines(tmp_path / "notes", 8)) == 8


def test_a_person_has_it_run_again(acme: Site, tmp_path: Path):
    run = order(acme, tmp_path / "notes", 0)
    task = run.tasks.get(step="ACME")
    engine.rerun(task)
    again = acme.runs[-1]
    again.wait(30)
    told = lines(tmp_path / "notes", 16)
    assert {line["id"] for line in told} == {str(task.pk)}
    assert [line["what"] for line in told] == [*ATTEMPT, *ENDS["success"]] * 2
    assert run.tasks.get(step="ACME").result == str(task.pk)


def test_a_message_that_nobody_of_ours_has_sent_is_one_line(acme: Site, tmp_path: Path):
    run = order(acme, tmp_path / "notes", 0)
    header = {"run": str(run.pk), "position": 1, "version": run.version.content_hash}
    broker = current_app.connection_for_write()
    with broker:
        for name in ("ACME", "NO_TASK_OF_THIS_NAME"):
            current_app.send_task(name, task_id="not-ours", headers={publisher.HEADER: header}, connection=broker)
    (worker,) = acme.programs
    line = "Refused a message for the task `ACME`: its id is not that of a task in a run"
    wait_for(lambda: worker.text().count(line) == 1 and "NO_TASK_OF_THIS_NAME" in worker.text())
    assert "Signal handler" not in worker.text()
    acme.expected.add("Received unregistered task")


def test_all_is_well(acme: Site):
    acme.check()
