from datetime import timedelta

import pytest
from django.utils import timezone

from django_director.models import Run, Workflow
from django_director.presentation.serializers import run_as_json, runs_as_json, task_as_json
from django_director.presentation.workflow_serializers import workflow_as_json, workflows_as_json
from tests import factories

pytestmark = pytest.mark.django_db

RUN_KEYS = {
    *(
        "id",
        "workflow",
        "version",
        "status",
        "trigger",
        "user",
        "comment",
        "payload",
        "result",
        "result_error",
        "error",
    ),
    *("idempotency_key", "schedule", "scheduled_for", "relaunched_from", "parent_task", "created_at"),
    *("started_at", "finished_at", "duration", "task_counts", "progress", "concurrency_key", "waiting"),
}
TASK_KEYS = {
    *(
        "id",
        "run",
        "step",
        "label",
        "kind",
        "task",
        "map_index",
        "is_hook",
        "hook",
        "generation",
        "status",
        "attempt",
        "upstream",
    ),
    *(
        "queue",
        "worker",
        "result",
        "result_error",
        "error",
        "traceback",
        "reason",
        "progress",
        "child_run",
        "queued_at",
    ),
    *("started_at", "finished_at", "duration", "prompt", "asked_at", "decision", "waits_until"),
}
WORKFLOW_KEYS = {
    *("name", "description", "version", "is_active", "schedules", "schema", "steps", "last_run"),
}


def test_a_run_has_every_field_of_the_contract():
    run = factories.make_run(
        status="success",
        tasks={"A": "success", "B": "success"},
        payload={"order": 7, "password": "x"},
        user=factories.make_user("ann"),
        idempotency_key="k",
    )
    run.tasks.filter(step="B").update(result={"rows": 3, "token": "t"})
    shown = factories.with_tasks(Run.objects.get(), with_payload=True)
    assert set(shown) == RUN_KEYS | {"tasks"}
    assert shown["id"] == str(run.pk)
    assert (shown["workflow"], shown["version"], shown["status"]) == ("shop.ORDER", 1, "success")
    assert (shown["user"], shown["comment"], shown["idempotency_key"]) == ("ann", None, "k")
    assert shown["payload"] == {"order": 7, "password": "********"}
    assert shown["result"] == {"rows": 3, "token": "********"}
    assert shown["duration"] == 1.5
    assert shown["created_at"].endswith("Z")
    assert shown["task_counts"] == {"success": 2}
    assert [set(task) for task in shown["tasks"]] == [TASK_KEYS, TASK_KEYS]


def test_what_may_be_secret_is_left_out_unless_allowed():
    run = factories.make_run(status="success", tasks={"A": "success", "B": "success"}, payload={"order": 7})
    run.tasks.update(result=5, traceback="Traceback …", error="ValueError: 5")
    shown = factories.with_tasks(run, with_payload=False)
    assert (shown["payload"], shown["result"]) == (None, None)
    assert {(task["result"], task["traceback"], task["error"]) for task in shown["tasks"]} == {
        (None, None, "ValueError")
    }


def test_flags_of_a_run_are_statuses():
    assert run_as_json(factories.make_run(stop="cancel"), with_payload=False)["status"] == "canceling"
    paused = factories.make_run(paused_at=timezone.now())
    assert run_as_json(paused, with_payload=False)["status"] == "paused"


def test_upstream_are_step_ids():
    workflow = factories.make_workflow(factories.definition("shop.JOIN", "A", factories.group("G", "B", "C"), "D"))
    run = factories.make_run(workflow)
    shown = factories.with_tasks(run, with_payload=False)["tasks"]
    assert {task["step"]: task["upstream"] for task in shown} == {
        "A": [],
        "B": ["A"],
        "C": ["A"],
        "D": ["B", "C"],
    }


def test_hooks_come_last_and_do_not_count():
    described = factories.definition("shop.HOOKED", "A", hooks={"success": (factories.step("MAIL"),)})
    run = factories.make_run(factories.make_workflow(described), "success", {"A": "success"})
    hook = factories.make_task(run, 1, "failed")
    shown = factories.with_tasks(run, with_payload=False)
    assert shown["task_counts"] == {"success": 1}
    assert [(task["step"], task["is_hook"]) for task in shown["tasks"]] == [("A", False), ("MAIL", True)]
    assert task_as_json(hook, with_payload=True)["upstream"] == []


def test_the_number_of_queries_does_not_grow_with_the_runs(django_assert_num_queries):
    ann = factories.make_user("ann")
    for name in ("shop.A", "shop.B"):
        workflow = factories.make_workflow(name)
        for _ in range(3):
            factories.make_run(workflow, "failed", {"A": "success", "B": "failed"}, user=ann)
    with django_assert_num_queries(2):
        shown = runs_as_json(Run.objects.for_listing(), sees_payload=lambda _: True)
    assert len(shown) == 6
    assert all(set(run) == RUN_KEYS for run in shown)
    assert all(run["task_counts"] == {"success": 1, "failed": 1} for run in shown)


def test_the_number_of_queries_does_not_grow_with_the_tasks(django_assert_num_queries):
    members = [f"T{number}" for number in range(50)]
    workflow = factories.make_workflow(factories.definition("shop.WIDE", factories.group("G", *members), "END"))
    factories.make_run(workflow)
    run = Run.objects.select_related("workflow", "version").get()
    # How many have which status; the tasks; the hooks.
    with django_assert_num_queries(3):
        assert len(factories.with_tasks(run, with_payload=False)["tasks"]) == 51


def test_a_workflow_has_every_field_of_the_contract():
    described = factories.definition("shop.ORDER", "A", description="Ships", schema={"type": "object"})
    workflow = factories.make_workflow(described)
    old = factories.make_run(workflow, "success", created_at=timezone.now() - timedelta(days=1))
    last = factories.make_run(workflow, "failed")
    assert old.pk < last.pk
    shown = workflow_as_json(workflow)
    assert set(shown) >= WORKFLOW_KEYS
    assert (shown["name"], shown["description"], shown["version"]) == ("shop.ORDER", "Ships", 1)
    assert shown["schema"] == {"type": "object"}
    assert [step["id"] for step in shown["steps"]] == ["A"]
    assert (shown["last_run"]["id"], shown["last_run"]["status"]) == (str(last.pk), "failed")


def test_workflows_cost_a_fixed_number_of_queries(django_assert_max_num_queries):
    for number in range(10):
        factories.make_run(factories.make_workflow(f"shop.W{number}"))
    with django_assert_max_num_queries(6):
        shown = workflows_as_json(Workflow.objects.all())
    assert all(workflow["last_run"] for workflow in shown)
