"""Finds the run or task that a route names if the user may act on it, and answers with it as JSON."""

from __future__ import annotations

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from django_director.access.answers import Answers
from django_director.access.authorization import action_to_decide, require
from django_director.access.families import shown_parents
from django_director.exceptions import UnknownRun, UnknownTask
from django_director.models import Run, Task
from django_director.presentation.serializers import run_as_json, task_as_json

from .names import is_hidden
from .views import as_uuid, require_any, sees_payload


def find_run(request: Request, run_id: str, action: str) -> Run:
    """Return the run of a route. Raises ``UnknownRun`` or ``NotAllowed`` unless the user may do ``action``."""
    require_any(request, action)
    runs = Run.objects.select_related("workflow", "version")
    run: Run | None = runs.filter(pk=as_uuid(run_id, "run")).first()
    if run is None or is_hidden(request.user, run.workflow, action, "view_run"):
        raise UnknownRun(f"no run has the id {run_id}")
    require(request.user, action, run.workflow)
    return run


def find_task(request: Request, task_id: str, action: str | None) -> Task:
    """Return the task of a route. Raises ``UnknownTask`` or ``NotAllowed`` unless the user may do ``action``.

    Without ``action`` the task is an approval, and the user must be allowed to decide on it.
    """
    if action is not None:
        require_any(request, action)
    tasks = Task.objects.select_related("run__workflow", "run__version")
    task: Task | None = tasks.filter(pk=as_uuid(task_id, "task")).first()
    asked = None if task is None else action or action_to_decide(task)
    if task is None or asked is None or is_hidden(request.user, task.run.workflow, asked, "view_task"):
        raise UnknownTask(f"no task has the id {task_id}")
    require(request.user, asked, task.run.workflow)
    return task


def answer_run(request: Request, run: Run, code: int = status.HTTP_200_OK) -> Response:
    """Answer with the run as JSON, with its payload if the user may see payloads."""
    sees = sees_payload(request, run.workflow)
    shown = run_as_json(run, with_payload=sees, shown_parents=shown_parents([run], Answers(request.user)))
    return Response(shown, status=code)


def answer_task(request: Request, task: Task) -> Response:
    """Answer with the task as JSON, with its result if the user may see payloads."""
    return Response(task_as_json(task, with_payload=sees_payload(request, task.run.workflow)))
