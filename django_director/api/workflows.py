"""The views that show workflows and start runs: ``workflows/…``."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from django_director import engine
from django_director.access.authorization import allowed_rows, is_allowed, require
from django_director.models import Run, Workflow
from django_director.presentation.actions import ACTIONS
from django_director.presentation.serializers import run_as_json
from django_director.presentation.workflow_serializers import workflows_as_json
from django_director.status import Trigger

from . import names
from .serializers import NoOptions, StartRequest
from .views import VIA, DirectorView, actor, body, idempotency_key, query, require_any, sees_payload


class WorkflowList(DirectorView):
    """``GET workflows/``: answers with all workflows, without pages: there are only as many as in the files."""

    def get(self, request: Request) -> Response:
        workflows = allowed_rows(request.user, "view_workflow", Workflow.objects.all())
        query(request, NoOptions)
        return Response(_as_json_for(request, list(workflows)))


class WorkflowDetail(DirectorView):
    """``GET workflows/{name}/``: answers with one workflow."""

    def get(self, request: Request, name: str) -> Response:
        workflow = _find_workflow(request, name, "view_workflow")
        query(request, NoOptions)
        return Response(_as_json_for(request, [workflow])[0])


class WorkflowRuns(DirectorView):
    """``POST workflows/{name}/runs/``: answers 201 with a new run, or 200 with the run of the idempotency key."""

    takes_key = True

    def post(self, request: Request, name: str) -> Response:
        workflow = _find_workflow(request, name, str(ACTIONS["start"].permission))
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


def _find_workflow(request: Request, name: str, action: str) -> Workflow:
    """Return the workflow of a route. Raises an error if the user may not do ``action`` with it."""
    require_any(request, action)
    workflow = names.find_workflow(request.user, name, action, "view_workflow")
    require(request.user, action, workflow)
    return workflow


def _as_json_for(request: Request, workflows: list[Workflow]) -> list[dict[str, Any]]:
    """Return workflows as JSON, without the last runs that the user may not see."""
    shown = workflows_as_json(workflows)
    for workflow, data in zip(workflows, shown, strict=True):
        if not is_allowed(request.user, "view_run", workflow):
            data["last_run"] = None
    return shown
