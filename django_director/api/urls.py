"""The routes below ``director/api/``.

They use ``<str:…>``: names may contain dots, and to a text that is no id the view answers with a 404 in JSON.
Clients may leave out the slash at the end: Django would answer with an HTML page, or redirect a POST without its
body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, transaction
from django.urls import path, re_path

from django_director.models import Run, Task
from django_director.presentation.actions import ACTIONS

from . import operations, probes, runs, workflows
from .views import NoRoute


def _run_view(verb: str) -> Callable[..., Any]:
    """Return the view of an operation on a run; a relaunch has a view of its own, because it starts a run."""
    is_start = verb == "relaunch"
    return operations.RunRelaunch.as_view() if is_start else operations.RunOperation.as_view(verb=verb)


def _without_transaction(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return a view for which ``ATOMIC_REQUESTS`` begins no transaction: it answers while a database is down."""
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


_named = [
    path("ping/", _without_transaction(probes.Ping.as_view()), name="api-ping"),
    path("health/", _without_transaction(probes.Health.as_view()), name="api-health"),
    path("workflows/", workflows.WorkflowList.as_view(), name="api-workflows"),
    path("workflows/<str:name>/", workflows.WorkflowDetail.as_view(), name="api-workflow"),
    path("workflows/<str:name>/runs/", workflows.WorkflowRuns.as_view(), name="api-workflow-runs"),
    path("runs/", runs.RunList.as_view(), name="api-runs"),
    path("runs/<str:run_id>/", runs.RunDetail.as_view(), name="api-run"),
    path("runs/<str:run_id>/tasks/", runs.RunTasks.as_view(), name="api-run-tasks"),
    path("runs/<str:run_id>/graph/", runs.RunGraph.as_view(), name="api-run-graph"),
    path("tasks/<str:task_id>/", runs.TaskDetail.as_view(), name="api-task"),
    *(
        path(f"runs/<str:run_id>/{verb}/", _run_view(verb), name=f"api-run-{verb}")
        for verb, action in ACTIONS.items()
        if action.of is Run
    ),
    *(
        path(
            f"tasks/<str:task_id>/{verb}/",
            operations.TaskOperation.as_view(verb=verb),
            name=f"api-task-{verb}",
        )
        for verb, action in ACTIONS.items()
        if action.of is Task
    ),
]

urlpatterns = [
    *_named,
    *(path(str(route.pattern).rstrip("/"), route.callback) for route in _named),
    re_path("", NoRoute.as_view()),
]
