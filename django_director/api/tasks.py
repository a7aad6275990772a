"""``tasks/``: one step of one run."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from django_director import engine
from django_director.authorization import require, to_decide
from django_director.exceptions import UnknownTask
from django_director.history import record, said
from django_director.models import Task
from django_director.representation import task_as_json

from .serializers import DecisionRequest
from .views import DirectorView, actor, as_uuid, body, sees_payload


class TaskDetail(DirectorView):
    """``GET tasks/{id}/``."""

    def get(self, request: Request, task_id: str) -> Response:
        task = _task(task_id)
        require(request.user, "view_task", task.run.workflow)
        return _answer(request, task)


class TaskApprove(DirectorView):
    """``POST tasks/{id}/approve/``: the run goes on from this approval."""

    def post(self, request: Request, task_id: str) -> Response:
        task = _task(task_id)
        require(request.user, to_decide(task), task.run.workflow)
        data = body(request, DecisionRequest)
        task = engine.approve(task, user=actor(request), comment=data["comment"])
        record(request.user, task, f"{said('Approved', data['comment'])} (API)")
        return _answer(request, task)


class TaskReject(DirectorView):
    """``POST tasks/{id}/reject/``: the approval fails."""

    def post(self, request: Request, task_id: str) -> Response:
        task = _task(task_id)
        require(request.user, to_decide(task), task.run.workflow)
        data = body(request, DecisionRequest)
        task = engine.reject(task, user=actor(request), comment=data["comment"])
        record(request.user, task, f"{said('Rejected', data['comment'])} (API)")
        return _answer(request, task)


def _task(task_id: str) -> Task:
    tasks = Task.objects.select_related("run__workflow", "run__version")
    task: Task | None = tasks.filter(pk=as_uuid(task_id, "task")).first()
    if task is None:
        raise UnknownTask(f"no task has the id {task_id}")
    return task


def _answer(request: Request, task: Task) -> Response:
    return Response(task_as_json(task, with_payload=sees_payload(request, task.run.workflow)))
