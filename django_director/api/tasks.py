"""``tasks/``: one step of one run."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from django_director.authorization import require
from django_director.exceptions import UnknownTask
from django_director.models import Task
from django_director.representation import task_as_json

from .views import DirectorView, as_uuid, sees_payload


class TaskDetail(DirectorView):
    """``GET tasks/{id}/``."""

    def get(self, request: Request, task_id: str) -> Response:
        tasks = Task.objects.select_related("run__workflow", "run__version")
        task = tasks.filter(pk=as_uuid(task_id, "task")).first()
        if task is None:
            raise UnknownTask(f"no task has the id {task_id}")
        workflow = task.run.workflow
        require(request.user, "view_task", workflow)
        return Response(task_as_json(task, with_payload=sees_payload(request, workflow)))
