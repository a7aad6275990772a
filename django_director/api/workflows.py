"""``workflows/``: definitions, and the door through which runs start."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from django_director import engine
from django_director.access.authorization import is_allowed, require, visible
from django_director.models import Run, Workflow
from django_director.presentation.actions import ACTIONS
from django_director.presentation.serializers import run_as_json
from django_director.presentation.workflow_serializers import workflows_as_json
from django_director.status import Trigger

from . import names
from .serializers import NoOptions, StartRequest
from .views import VIA, DirectorView, actor, body, idempotency_key, query, require_any, sees_payload


class WorkflowList(DirectorView):
    """``GET workflows/``: all of them; as many as stand in the files."""

    def get(self, request: Request) -> Response:
        workflows = visible(request.user, "view_workflow", Workflow.objects.all())
        query(request, NoOptions)
        return Response(_seen_by(request, list(workflows)))


class WorkflowDetail(DirectorView):
    """``GET workflows/{name}/``."""

    def get(self, request: Request, name: str) -> Response:
        workflow = _workflow(request, name, "view_workflow")
        query(request, NoOptions)
        return Response(_seen_by(request, [workflow])[0])


class WorkflowRuns(DirectorView):
    """``POST workflows/{name}/runs/``: 201 with the new run, 200 with that of the idempotency key."""

    takes_key = True

    def post(self, request: Request, name: str) -> Response:
        workflow = _workflow(request, name, str(ACTIONS["start"].permission))
        data = body(request, StartRequest)
        run: Run = ACTIONS["start"].operation(
            workflow,
            data["payload"],
            comment=data["comment"],
            user=actor(request),
            idempotency_key=idempotency_key(request),
            trigger=Trigger.API,
            via=VIA,
        )
        counts = engine.counts_at_start(run) if run.created else None
        return Response(
            run_as_json(run, with_payload=sees_payload(request, workflow), counts=counts),
            status=status.HTTP_201_CREATED if run.created else status.HTTP_200_OK,
        )


def _workflow(request: Request, name: str, action: str) -> Workflow:
    """The workflow of a route, if the user may do ``action`` with it."""
    require_any(request, action)
    workflow = names.find(request.user, name, action, "view_workflow")
    require(request.user, action, workflow)
    return workflow


def _seen_by(request: Request, workflows: list[Workflow]) -> list[dict[str, Any]]:
    """Without the last run where the user may not see runs."""
    shown = workflows_as_json(workflows)
    for workflow, data in zip(workflows, shown, strict=True):
        if not is_allowed(request.user, "view_run", workflow):
            data["last_run"] = None
    return shown
