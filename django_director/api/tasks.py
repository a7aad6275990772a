"""``tasks/``: one step of one run."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from django_director import engine
from django_director.access.authorization import require, to_decide
from django_director.exceptions import UnknownTask
from django_director.models import Task
from django_director.presentation.serializers import task_as_json

from .names import is_hidden
from .serializers import DecisionRequest, NoOptions, SkipRequest
from .views import VIA, DirectorView, actor, as_uuid, body, query, require_any, sees_payload


class TaskDetail(DirectorView):
    """``GET tasks/{id}/``."""

    def get(self, request: Request, task_id: str) -> Response:
        task = _task(request, task_id, "view_task")
        query(request, NoOptions)
        return _answer(request, task)


class TaskRerun(DirectorView):
    """``POST tasks/{id}/rerun/``: the task and everything downstream of it run again."""

    def post(self, request: Request, task_id: str) -> Response:
        task = _task(request, task_id, "retry")
        body(request, NoOptions)
        task = engine.rerun(task, user=actor(request), via=VIA)
        return _answer(request, task)


class TaskSkip(DirectorView):
    """``POST tasks/{id}/skip/``: the task counts as skipped, and everything downstream of it runs again."""

    def post(self, request: Request, task_id: str) -> Response:
        task = _task(request, task_id, "retry")
        data = body(request, SkipRequest)
        task = engine.skip(task, user=actor(request), via=VIA, comment=data["comment"])
        return _answer(request, task)


class TaskApprove(DirectorView):
    """``POST tasks/{id}/approve/``: the run goes on from this approval."""

    def post(self, request: Request, task_id: str) -> Response:
        task = _task(request, task_id, None)
        data = body(request, DecisionRequest)
        task = engine.approve(task, user=actor(request), via=VIA, comment=data["comment"])
        return _answer(request, task)


class TaskReject(DirectorView):
    """``POST tasks/{id}/reject/``: the approval fails."""

    def post(self, request: Request, task_id: str) -> Response:
        task = _task(request, task_id, None)
        data = body(request, DecisionRequest)
        task = engine.reject(task, user=actor(request), via=VIA, comment=data["comment"])
        return _answer(request, task)


def _task(request: Request, task_id: str, action: str | None) -> Task:
    """The task of a route, if the user may do ``action`` with its workflow; ``None``: decide on it."""
    if action is not None:
        require_any(request, action)
    tasks = Task.objects.select_related("run__workflow", "run__version")
    task: Task | None = tasks.filter(pk=as_uuid(task_id, "task")).first()
    asked = None if task is None else action or to_decide(task)
    if task is None or asked is None or is_hidden(request.user, task.run.workflow, asked, "view_task"):
        raise UnknownTask(f"no task has the id {task_id}")
    require(request.user, asked, task.run.workflow)
    return task


def _answer(request: Request, task: Task) -> Response:
    return Response(task_as_json(task, with_payload=sees_payload(request, task.run.workflow)))
