"""celery-director's own tests and documentation, on one real worker: the outcome that each of them asserts.

The project is `tests/celery_director`, which says where it comes from, and its licence (BSD-3-Clause, OVH SAS).
Each test has the name of celery-director's that it stands for, or of a page of the documentation. Not here:

- `test_auth.py`, `test_users.py`, `test_views.py`: its own users and pages. Ours are Django's;
- `test_sentry.py`: its own tags of Sentry's events. Sentry's Celery integration works with any Celery task;
- of `test_builder.py` and `test_workflows.py` what is asserted of Celery canvases (`builder.canvas`,
  `result.parent`): there are none, the rows say the same;
- of `test_api.py` the addresses, field names and status codes: they are those of `django_director.api.compat`,
  which this version does not have yet. What is started, refused, listed, canceled and relaunched is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery.schedules import crontab
from django.test import override_settings
from django_celery_beat.models import PeriodicTask

from django_director import engine
from django_director.exceptions import InvalidDefinitions, InvalidPayload, UnknownWorkflow
from django_director.models import Run, Workflow
from django_director.status import RunStatus, TaskStatus
from django_director.sync import versions

from .conftest import Site
from .harness import manage, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow]

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.celery_director.settings"}
FOUND: dict[str, Any] = {"foo": "bar"}
#: What is started at once, by a name for the run: the workflow, and its payload.
STARTED: dict[str, tuple[str, Any]] = {
    **{
        name: (f"example.{name}", FOUND)
        for name in (
            *("WORKFLOW", "ERROR", "SIMPLE_CHAIN", "SIMPLE_CHAIN_ERROR", "SIMPLE_GROUP", "SIMPLE_GROUP_ERROR"),
            *("CELERY_ERROR_ONE_TASK", "CELERY_ERROR_MULTIPLE_TASKS", "RETURN_VALUES", "RETURN_EXCEPTION"),
            *("TASK_ROUTING", "DELAY_TASK", "SUCCESSANDFAILURE_HOOK", "FAILURE_HOOK"),
            *("ETL", "CHAIN", "CHAIN_CRONTAB", "GROUP", "NO_PARENT", "ONE_PARENT", "MULTIPLE_PARENT"),
        )
    },
    "RANDOMS": ("example.RANDOMS", {"start": 4, "end": 4}),
    "SIMPLE_SCHEMA": ("schemas.SIMPLE_SCHEMA", {"name": "foo", "price": 100}),
    "QUEUES": ("queues.ETL", {}),
    "BOUND": ("bound.TASK", {}),
    "HOOKS": ("hooks.ETL", {}),
    "SENTRY": ("demo.SENTRY_ALERT", {}),
    "ORDER": ("product.ORDER", {"user": 1234, "product": 1000}),
    "ALL_USERS": ("users.UPDATE_CACHE", {"user": False}),
    "ONE_USER": ("users.UPDATE_CACHE", {"user": "john.doe"}),
}
FAILING = (
    *("ERROR", "SIMPLE_CHAIN_ERROR", "SIMPLE_GROUP_ERROR", "CELERY_ERROR_ONE_TASK", "CELERY_ERROR_MULTIPLE_TASKS"),
    *("RETURN_EXCEPTION", "FAILURE_HOOK", "SENTRY"),
)


@pytest.fixture(scope="module")
def project(site: Site) -> Site:
    """The project with its files in force and a worker of all its queues."""
    synced = manage(site.broker, "syncworkflows", **SETTINGS)
    assert synced.returncode == 0, synced.stderr
    site.worker(app="tests.celery_director", concurrency=3, queues="celery,q1,q2", **SETTINGS)
    return site


@pytest.fixture(scope="module")
def runs(project: Site) -> dict[str, Run]:
    """All of them at their ends; DELAY_TASK is to be canceled."""
    started = {name: project.start(workflow, payload) for name, (workflow, payload) in STARTED.items()}
    delayed = started["DELAY_TASK"]
    wait_for(lambda: delayed.tasks.running().exists(), what="DELAY runs")
    engine.cancel(delayed, force=True)
    project.wait(list(started.values()))
    for run in started.values():
        wait_for(lambda run=run: not run.tasks.hooks().active().exists(), what="hooks end")
    return started


def tasks(run: Run) -> list[tuple[str, str]]:
    return list(run.tasks.order_by("position").values_list("name", "status"))


def all_of(status: str, *names: str) -> list[tuple[str, str]]:
    return [(name, status) for name in names]


SUCCESS, FAILED = TaskStatus.SUCCESS, TaskStatus.FAILED


def test_every_run_has_the_status_that_it_has_there(runs: dict[str, Run]):
    expected = dict.fromkeys(STARTED, RunStatus.SUCCESS)
    expected |= dict.fromkeys(FAILING, RunStatus.FAILED) | {"DELAY_TASK": RunStatus.CANCELED}
    assert {name: run.status for name, run in runs.items()} == expected


# test_workflows.py


def test_execute_one_task_success(runs: dict[str, Run]):
    run = runs["WORKFLOW"]
    assert (tasks(run), run.result) == (all_of(SUCCESS, "TASK_EXAMPLE"), "task_example")


def test_execute_one_task_error(runs: dict[str, Run]):
    run = runs["ERROR"]
    assert tasks(run) == all_of(FAILED, "TASK_ERROR")
    assert run.tasks.get().error == "ZeroDivisionError: division by zero"


def test_execute_chain_success(runs: dict[str, Run]):
    run = runs["SIMPLE_CHAIN"]
    assert tasks(run) == all_of(SUCCESS, "TASK_A", "TASK_B", "TASK_C")
    assert [task.result for task in run.tasks.order_by("position")] == ["task_a", "task_b", "task_c"]


def test_execute_chain_error(runs: dict[str, Run]):
    run = runs["SIMPLE_CHAIN_ERROR"]
    assert tasks(run) == [*all_of(SUCCESS, "TASK_A", "TASK_B"), ("TASK_ERROR", FAILED)]


def test_execute_group_success(runs: dict[str, Run]):
    run = runs["SIMPLE_GROUP"]
    assert tasks(run) == all_of(SUCCESS, "TASK_A", "TASK_B", "TASK_C")
    assert run.result == ["task_b", "task_c"]


def test_execute_group_error(runs: dict[str, Run]):
    run = runs["SIMPLE_GROUP_ERROR"]
    assert tasks(run) == [("TASK_A", SUCCESS), ("TASK_ERROR", FAILED), ("TASK_C", SUCCESS)]


@pytest.mark.parametrize("name", ["CELERY_ERROR_ONE_TASK", "CELERY_ERROR_MULTIPLE_TASKS"])
def test_execute_celery_error(runs: dict[str, Run], name: str):
    """There an `EncodeError` of Celery's serializer."""
    *before, last = runs[name].tasks.order_by("position")
    assert [task.status for task in before] == [SUCCESS] * len(before)
    assert (last.name, last.status) == ("TASK_CELERY_ERROR", FAILED)
    assert last.error.startswith("InvalidResult: ")
    assert "Foo is not JSON" in last.error


def test_cancel_workflow(runs: dict[str, Run]):
    assert tasks(runs["DELAY_TASK"]) == all_of(TaskStatus.CANCELED, "DELAY")


def test_return_values(runs: dict[str, Run]):
    nested = {
        "jack": 4098,
        "sape": 4139,
        "guido": 4127,
        "nested": {"foo": "bar"},
        "none": None,
        "list": ["jack", "sape", "guido"],
    }
    assert dict(runs["RETURN_VALUES"].tasks.values_list("name", "result")) == {
        "STR": "return_value",
        "INT": 1234,
        "LIST": ["jack", "sape", "guido"],
        "NONE": None,
        "DICT": {"foo": "bar"},
        "NESTED": nested,
    }


def test_execute_workflow_withfailurehook(runs: dict[str, Run]):
    assert tasks(runs["FAILURE_HOOK"]) == [("TASK_A", SUCCESS), ("TASK_ERROR", FAILED), ("TASK_B", SUCCESS)]
    assert runs["FAILURE_HOOK"].tasks.hooks().get().name == "TASK_B"


def test_execute_workflow_withsuccesshook(runs: dict[str, Run]):
    """test_builder.py, `test_build_tasks_with_successandfailure_hooks`: only the hook of the outcome has a row."""
    assert tasks(runs["SUCCESSANDFAILURE_HOOK"]) == all_of(SUCCESS, "TASK_A", "TASK_B")
    assert runs["SUCCESSANDFAILURE_HOOK"].tasks.hooks().get().name == "TASK_B"


def test_return_exception(runs: dict[str, Run]):
    """Its result is a mapping of the two; here they are columns."""
    good, bad = runs["RETURN_EXCEPTION"].tasks.order_by("position")
    assert (good.result, bad.error) == ("return_value", "ZeroDivisionError: division by zero")
    assert bad.traceback.startswith("Traceback (most recent call last)")
    assert "ZeroDivisionError: division by zero" in bad.traceback


CRON_ORDER = {
    # The old key has another order.
    "schedule": ("minute", "hour", "day_of_week", "day_of_month", "month_of_year"),
    "crontab": ("minute", "hour", "day_of_month", "month_of_year", "day_of_week"),
}
CRONS = ("1 * * * *", "* 1 * * *", "* * 1 * *", "* * * 1 *", "* * * * 1", "*/10 */11 */12 */13 */14")


def test_build_celery_schedule(runs: dict[str, Run]):
    """All tests of that name; the file is `timings.yml`."""
    rows = PeriodicTask.objects.filter(name__startswith="director: timing.").order_by("name")
    seconds, crons = [row.schedule for row in rows[:2]], [row.schedule for row in rows[2:]]
    assert [schedule.run_every.total_seconds() for schedule in seconds] == [30, 30]
    wanted = [(key, text) for key in CRON_ORDER for text in CRONS]
    for made, (key, text) in zip(crons, wanted, strict=True):
        expected = crontab(**dict(zip(CRON_ORDER[key], text.split(), strict=True)))
        for field in CRON_ORDER[key]:
            assert getattr(made, field) == getattr(expected, field), (key, text, field)


@pytest.mark.parametrize(
    "entry", ['{crontab: "* * * *"}', '{crontab: "* * * * 12"}', '{non_valid_key: "* * * * *"}']
)
def test_build_celery_invalid_schedule(project: Site, tmp_path: Path, entry: str):
    file = tmp_path / "workflows.yml"
    file.write_text(f"timing.BAD: {{tasks: [NOOP], periodic: {entry}}}\n")
    with override_settings(DIRECTOR={"WORKFLOWS": [file]}), pytest.raises(InvalidDefinitions, match=r"D30[13]"):
        versions.sync()


# test_builder.py


def test_create_unknown_workflow(project: Site):
    with pytest.raises(UnknownWorkflow):
        engine.start("project.UNKNOW_WORKFLOW")


def test_build_tasks(runs: dict[str, Run]):
    """Which task comes after which."""
    for name, expected in {
        "WORKFLOW": {"TASK_EXAMPLE": []},
        "SIMPLE_CHAIN": {"TASK_A": [], "TASK_B": ["TASK_A"], "TASK_C": ["TASK_B"]},
        "SIMPLE_GROUP": {"TASK_A": [], "TASK_B": ["TASK_A"], "TASK_C": ["TASK_A"]},
    }.items():
        nodes = runs[name].version.graph.nodes
        assert {node.name: [nodes[place].name for place in node.upstream] for node in nodes} == expected
        assert runs[name].payload == FOUND


def test_build_tasks_with_routing(runs: dict[str, Run]):
    queues = dict(runs["TASK_ROUTING"].tasks.values_list("name", "queue"))
    assert queues == {"TASK_A": "q1", "TASK_B": "q2", "TASK_C": "q1"}


# test_api.py


def test_post_and_relaunch_workflow(project: Site):
    """There the new run has the old one's comment; here a comment is of the person who starts a run."""
    comment = "This is an example workflow."
    first = project.start("example.WORKFLOW", {"nested": FOUND}, comment=comment)
    again = engine.relaunch(first, comment=comment)
    project.wait([first, again])
    for run in (first, again):
        assert (run.payload, run.comment) == ({"nested": FOUND}, comment)
        assert tasks(run) == all_of(SUCCESS, "TASK_EXAMPLE")


def test_not_found_workflows(project: Site):
    for name in ("example.NOT_FOUND", "NOT_FOUND.WORKFLOW"):
        with pytest.raises(UnknownWorkflow, match=name):
            engine.start(name)


def test_schema(project: Site):
    for payload, wrong in (({}, 1), ({"price": "foo"}, 2)):
        with pytest.raises(InvalidPayload) as refused:
            engine.start("schemas.SIMPLE_SCHEMA", payload)
        assert '"name" is a required property' in str(refused.value)
        assert len(refused.value.errors) == wrong


def test_list_definitions(runs: dict[str, Run]):
    names = ["CELERY_ERROR_MULTIPLE_TASKS", "CELERY_ERROR_ONE_TASK", "DELAY_TASK", "ERROR", "FAILURE_HOOK"]
    names += ["RETURN_EXCEPTION", "RETURN_VALUES", "SIMPLE_CHAIN", "SIMPLE_CHAIN_ERROR", "SIMPLE_GROUP"]
    names += ["SIMPLE_GROUP_ERROR", "SUCCESSANDFAILURE_HOOK", "TASK_ROUTING", "WORKFLOW"]
    rows = Workflow.objects.filter(name__in=[f"example.{name}" for name in names], is_active=True)
    assert list(rows.order_by("name").values_list("name", flat=True)) == [f"example.{name}" for name in names]


# The documentation


def test_quickstart(runs: dict[str, Run]):
    assert tasks(runs["ETL"]) == all_of(SUCCESS, "EXTRACT", "TRANSFORM", "LOAD")
    assert runs["RANDOMS"].result == 8


def test_task_signature(runs: dict[str, Run]):
    """What C prints, as the page says."""
    for name, printed in {
        "NO_PARENT": "(None,)",
        "ONE_PARENT": "({'result': 'b_data'},)",
        "MULTIPLE_PARENT": "([{'result': 'a_data'}, {'result': 'b_data'}],)",
        "BOUND": "BOUND_TASK",
    }.items():
        assert printed in said(runs[name]), name


def said(run: Run) -> str:
    """What its tasks have printed: Celery makes log lines of that."""
    return "\n".join(log.text for task in run.tasks.all() for log in task.logs.all())


def test_build_workflows(runs: dict[str, Run]):
    assert tasks(runs["CHAIN"]) == tasks(runs["CHAIN_CRONTAB"]) == all_of(SUCCESS, "A", "B", "C")
    assert tasks(runs["GROUP"]) == all_of(SUCCESS, "A", "B", "C")
    assert set(runs["QUEUES"].tasks.values_list("queue", flat=True)) == {"q1"}
    rows = {row.name: row.schedule for row in PeriodicTask.objects.filter(name__startswith="director: ")}
    assert rows["director: example.CHAIN"].run_every.total_seconds() == 60
    assert rows["director: example.CHAIN_CRONTAB"].hour == {0, 3, 6, 9, 12, 15, 18, 21}


def test_trigger_hooks(runs: dict[str, Run]):
    assert tasks(runs["HOOKS"])[-1] == ("SUCCESS_HANDLER", SUCCESS)
    assert runs["HOOKS"].tasks.hooks().count() == 1


def test_error_tracking(runs: dict[str, Run]):
    good, bad = runs["SENTRY"].tasks.order_by("position")
    assert (good.result, bad.error) == ({"hello": "world"}, "ZeroDivisionError: division by zero")


def test_use_payload(runs: dict[str, Run]):
    assert "Mail to 1234: Your order #1234 has been received" in said(runs["ORDER"])
    assert (runs["ALL_USERS"].result, runs["ONE_USER"].result) == ("all users", "user john.doe")
    with pytest.raises(InvalidPayload, match="integer"):
        engine.start("product.ORDER", {"user": "john", "product": 1000})
    task = PeriodicTask.objects.get(name="director: users.UPDATE_CACHE")
    assert '"payload": {"user": false}' in task.kwargs


def test_all_is_well(project: Site):
    project.expected |= {"Task handler raised error", "exited with 'signal"}
    project.check()
