"""Rows for tests, written directly: what a face shows does not depend on how the engine got there."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from django_director.common import ids
from django_director.definitions import (
    ApprovalStep,
    Container,
    Definition,
    MapStep,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
    as_json,
)
from django_director.models import Run, Task, Workflow, WorkflowVersion
from django_director.presentation import run_tasks
from django_director.presentation.serializers import run_as_json
from django_director.status import RUN_FINISHED, TASK_FINISHED, RunStatus, TaskStatus

VIEW = ("view_workflow", "view_run", "view_task")
_numbers = count(1)
_last_id = UUID(int=0)


def step(name: str, **fields: Any) -> TaskStep:
    return TaskStep(**{"id": name, "task": name} | fields)


def group(name: str, *members: str | Step, **fields: Any) -> Container:
    return Container(id=name, kind="group", members=_steps(members), **fields)


def chain(name: str, *members: str | Step, **fields: Any) -> Container:
    return Container(id=name, kind="chain", members=_steps(members), **fields)


def child(name: str, workflow: str, **fields: Any) -> WorkflowStep:
    return WorkflowStep(id=name, workflow=workflow, **fields)


def mapped(name: str, *body: str | TaskStep, over: Any = "payload.items", **fields: Any) -> MapStep:
    """``mapped("M", "A", "B")``: a chain of two tasks for each item."""
    return MapStep(id=name, over=over, body=_steps(body or (name,)), **fields)


def approval(name: str, **fields: Any) -> ApprovalStep:
    return ApprovalStep(id=name, **fields)


def wait(name: str, seconds: Any = None, **fields: Any) -> WaitStep:
    return WaitStep(id=name, seconds=seconds, **fields)


def definition(name: str = "shop.ORDER", *tasks: str | Step, **fields: Any) -> Definition:
    """``definition("shop.ORDER", "A", group("G", "B", "C"), "D")``; without tasks: ``A``, then ``B``."""
    return Definition(name=name, tasks=_steps(tasks or ("A", "B")), **fields)


def make_workflow(described: Definition | str = "shop.ORDER", **fields: Any) -> Workflow:
    """A workflow whose current version is ``described``; a further call for one name makes a new version."""
    if isinstance(described, str):
        described = definition(described)
    workflow, _ = Workflow.objects.get_or_create(name=described.name, defaults=fields)
    stored = as_json(described)
    workflow.current_version = WorkflowVersion.objects.create(
        workflow=workflow,
        number=workflow.versions.count() + 1,
        content_hash=hashlib.sha256(json.dumps([stored, next(_numbers)]).encode()).hexdigest(),
        definition=stored,
        source=described.source or f"{described.name}: {{}}\n",
        path="workflows.yml",
    )
    workflow.allowed_groups = list(described.allowed_groups)
    workflow.save(update_fields=["current_version", "allowed_groups"])
    return workflow


def make_run(
    workflow: Workflow | None = None,
    status: str = RunStatus.RUNNING,
    tasks: dict[str, str] | None = None,
    **fields: Any,
) -> Run:
    """A run of the current version; ``tasks`` gives statuses by step id, the others are pending."""
    workflow = workflow or make_workflow()
    now = timezone.now()
    run = Run.objects.create(
        **{
            "id": _next_run_id(),
            "workflow": workflow,
            "version": workflow.current_version,
            "status": status,
            "created_at": now,
            "started_at": None if status == RunStatus.PENDING else now,
            "finished_at": now + timedelta(seconds=1.5) if status in RUN_FINISHED else None,
        }
        | (_queued(now) if status == RunStatus.PENDING else {})
        | fields
    )
    for node in run.version.graph.nodes:
        make_task(run, node.position, (tasks or {}).get(node.step.id, TaskStatus.PENDING))
    return run


def _queued(now: datetime) -> dict[str, Any]:
    """As the constraints want a run that waits for a slot."""
    return {"concurrency_key": "", "queued_at": now, "next_admission_at": now + timedelta(seconds=60)}


def make_task(run: Run, position: int, status: str = TaskStatus.PENDING, **fields: Any) -> Task:
    """One task's row, as the constraints want it; hooks stand behind the last task."""
    graph = run.version.graph
    node, is_hook = graph.node(position), position >= len(graph.nodes) + len(graph.bodies)
    index = fields.get("map_index", -1)
    now = timezone.now()
    by_status: dict[str, Any] = {}
    if status == TaskStatus.QUEUED:
        by_status = {"next_dispatch_at": now, "queued_at": now, "sequence": 1}
    elif status == TaskStatus.RUNNING:
        by_status = {"lease_until": now + timedelta(seconds=90), "claim": 1, "started_at": now, "attempt": 1}
    elif status in TASK_FINISHED:
        by_status = {"started_at": now, "finished_at": now + timedelta(seconds=0.25), "attempt": 1}
    return Task.objects.create(
        **{
            "id": ids.task_id(run.pk, position) if index < 0 else ids.item_id(run.pk, position, index),
            "run": run,
            "position": position,
            "step": node.step.id,
            "name": node.name,
            "queue": node.queue,
            "is_hook": is_hook,
            "status": status,
        }
        | by_status
        | fields
    )


def with_tasks(run: Run, *, with_payload: bool) -> dict[str, Any]:
    """What ``showrun --json`` prints of a run."""
    found = list(run_tasks.as_json(run, with_payload=with_payload))
    return run_as_json(run, with_payload=with_payload) | {"tasks": found}


def make_user(name: str = "ann", *permissions: str) -> Any:
    """A user with some permissions of the app, as ``view_run``."""
    user = get_user_model().objects.create_user(name)
    found = Permission.objects.filter(content_type__app_label="django_director", codename__in=permissions)
    assert found.count() == len(permissions), permissions
    user.user_permissions.set(found)
    return user


def make_admin(name: str = "root") -> Any:
    return get_user_model().objects.create_superuser(name)


def _next_run_id() -> Any:
    """Ids of one millisecond have no order, but tests speak of the last run."""
    global _last_id
    new = ids.new_run_id()
    while new <= _last_id:
        new = ids.new_run_id()
    _last_id = new
    return new


def _steps(tasks: Any) -> tuple[Step, ...]:
    return tuple(step(task) if isinstance(task, str) else task for task in tasks)
