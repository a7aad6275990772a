"""The views through which users steer runs and tasks: ``POST runs/{id}/{verb}/``, ``POST tasks/{id}/{verb}/``."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from django_director.presentation.actions import ACTIONS
from django_director.presentation.relaunch_payloads import changed_payload

from .rows import answer_run, answer_task, find_run, find_task
from .serializers import CancelRequest, DecisionRequest, NoOptions, RelaunchRequest, SkipRequest
from .views import VIA, DirectorView, actor, body, idempotency_key, sees_payload

BODIES: Final[dict[str, type[Serializer[Any]]]] = {
    "cancel": CancelRequest,
    "skip": SkipRequest,
    "approve": DecisionRequest,
    "reject": DecisionRequest,
}
"""The serializer of the body by verb; its values go to the operation. With other verbs the body is empty."""


class RunOperation(DirectorView):
    """``POST runs/{id}/{verb}/``: answers with the run as it is afterwards."""

    verb: ClassVar[str] = ""

    def post(self, request: Request, run_id: str) -> Response:
        action = ACTIONS[self.verb]
        run = find_run(request, run_id, str(action.permission))
        given = body(request, BODIES.get(self.verb, NoOptions))
        return answer_run(request, action.operation(run, user=actor(request), via=VIA, **given))


class TaskOperation(DirectorView):
    """``POST tasks/{id}/{verb}/``: answers with the task as it is afterwards."""

    verb: ClassVar[str] = ""

    def post(self, request: Request, task_id: str) -> Response:
        action = ACTIONS[self.verb]
        task = find_task(request, task_id, action.permission)
        given = body(request, BODIES.get(self.verb, NoOptions))
        return answer_task(request, action.operation(task, user=actor(request), via=VIA, **given))


class RunRelaunch(DirectorView):
    """``POST runs/{id}/relaunch/``: answers 201 with a new run, or 200 with the run of the idempotency key."""

    takes_key = True

    def post(self, request: Request, run_id: str) -> Response:
        action = ACTIONS["relaunch"]
        old = find_run(request, run_id, str(action.permission))
        given = body(request, RelaunchRequest)
        sees = given["payload"] is not None and sees_payload(request, old.workflow)
        given["payload"] = changed_payload(
            old, given["payload"], given["version"], user=request.user, sees_payload=sees
        )
        key = idempotency_key(request)
        run = action.operation(old, user=actor(request), via=VIA, idempotency_key=key, **given)
        return answer_run(request, run, status.HTTP_201_CREATED if run.created else status.HTTP_200_OK)
