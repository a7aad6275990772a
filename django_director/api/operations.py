"""What is done to runs and tasks: ``POST runs/{id}/{verb}/`` and ``POST tasks/{id}/{verb}/``."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from django_director import engine
from django_director.access.authorization import require
from django_director.common.json_values import same
from django_director.masking.values import refuse_mask, restore
from django_director.models import Run
from django_director.presentation.actions import ACTIONS

from .rows import answer_run, answer_task, find_run, find_task
from .serializers import CancelRequest, DecisionRequest, NoOptions, RelaunchRequest, SkipRequest
from .views import VIA, DirectorView, actor, body, idempotency_key, sees_payload

BODIES: Final[dict[str, type[Serializer[Any]]]] = {
    "cancel": CancelRequest,
    "skip": SkipRequest,
    "approve": DecisionRequest,
    "reject": DecisionRequest,
}
"""By verb: what the body may hold, which the operation is given; of the others nothing."""


class RunOperation(DirectorView):
    """``POST runs/{id}/{verb}/``: the run as it is now."""

    verb: ClassVar[str] = ""

    def post(self, request: Request, run_id: str) -> Response:
        action = ACTIONS[self.verb]
        run = find_run(request, run_id, str(action.permission))
        given = body(request, BODIES.get(self.verb, NoOptions))
        return answer_run(request, action.operation(run, user=actor(request), via=VIA, **given))


class TaskOperation(DirectorView):
    """``POST tasks/{id}/{verb}/``: the task as it is now."""

    verb: ClassVar[str] = ""

    def post(self, request: Request, task_id: str) -> Response:
        action = ACTIONS[self.verb]
        task = find_task(request, task_id, action.permission)
        given = body(request, BODIES.get(self.verb, NoOptions))
        return answer_task(request, action.operation(task, user=actor(request), via=VIA, **given))


class RunRelaunch(DirectorView):
    """``POST runs/{id}/relaunch/``: 201 with a new run, 200 with that of the idempotency key."""

    takes_key = True

    def post(self, request: Request, run_id: str) -> Response:
        action = ACTIONS["relaunch"]
        old = find_run(request, run_id, str(action.permission))
        given = body(request, RelaunchRequest)
        given["payload"] = _other_payload(request, old, **given)
        key = idempotency_key(request)
        run = action.operation(old, user=actor(request), via=VIA, idempotency_key=key, **given)
        return answer_run(request, run, status.HTTP_201_CREATED if run.created else status.HTTP_200_OK)


def _other_payload(request: Request, old: Run, *, payload: object, version: str, **_: object) -> object:
    """The payload of a relaunch when it is not that of the old run, with values for its ``********``.

    Who may only repeat could else start anything. Who may not see payloads learns nothing of the old one: neither
    by what is accepted as the same, nor by giving its hidden values to a run of another payload.
    """
    if payload is None:
        return None
    if not sees_payload(request, old.workflow):
        require(request.user, "run", old.workflow)
        refuse_mask(payload, old.version.graph.definition.schema)
        return payload
    chosen = engine.relaunch_version(old, version)
    if same(restore(payload, old.payload, engine.shown_payload(old, chosen)), old.payload):
        return None
    require(request.user, "run", old.workflow)
    return engine.with_hidden(old, payload, chosen)
