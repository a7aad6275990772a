"""The views that show runs and tasks: ``GET runs/…`` and ``GET tasks/…``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from rest_framework.request import Request
from rest_framework.response import Response

from django_director.access.answers import Answers
from django_director.access.authorization import allowed_rows
from django_director.access.families import shown_parents
from django_director.models import Run
from django_director.models.querysets import RunQuerySet
from django_director.models.users import User
from django_director.presentation import search
from django_director.presentation.lookups import filter_by_status
from django_director.presentation.serializers import Json, runs_as_json, tasks_as_json

from .graph import graph_as_json
from .pagination import PARAMETERS, Keyset
from .rows import answer_run, answer_task, find_run, find_task
from .serializers import NoOptions, RunFilters
from .views import DirectorView, query, sees_payload

BY_RUN: Final = Keyset(("-id",))
BY_TIME: Final = Keyset(("-created_at", "-id"))
"""The same order, by the index in which dates are found."""
BY_TASK: Final = Keyset(("position", "map_index", "generation"))
"""The order of the workflow file; hooks stand behind the last task."""


class RunList(DirectorView):
    """``GET runs/``: answers with the runs, newest first, without payloads and results."""

    def get(self, request: Request) -> Response:
        runs = allowed_rows(request.user, "view_run", Run.objects.for_listing(), "workflow")
        filters = query(request, RunFilters, PARAMETERS)
        order = BY_TIME if filters.keys() & {"created_after", "created_before"} else BY_RUN
        runs = filter_runs(runs, filters, request.user)
        return order.respond(request, runs, partial(_as_json_for, request))


class RunDetail(DirectorView):
    """``GET runs/{id}/``: answers with one run."""

    def get(self, request: Request, run_id: str) -> Response:
        run = find_run(request, run_id, "view_run")
        query(request, NoOptions)
        return answer_run(request, run)


class RunTasks(DirectorView):
    """``GET runs/{id}/tasks/``: answers with the tasks of a run, in the order of the workflow file."""

    def get(self, request: Request, run_id: str) -> Response:
        run = find_run(request, run_id, "view_task")
        query(request, NoOptions, PARAMETERS)
        with_payload = sees_payload(request, run.workflow)
        tasks = run.tasks.all() if with_payload else run.tasks.for_listing()
        return BY_TASK.respond(request, tasks, partial(tasks_as_json, run, with_payload=with_payload))


class RunGraph(DirectorView):
    """``GET runs/{id}/graph/``: answers with a run as nodes and edges."""

    def get(self, request: Request, run_id: str) -> Response:
        run = find_run(request, run_id, "view_task")
        query(request, NoOptions)
        return Response(graph_as_json(run))


class TaskDetail(DirectorView):
    """``GET tasks/{id}/``: answers with one task."""

    def get(self, request: Request, task_id: str) -> Response:
        task = find_task(request, task_id, "view_task")
        query(request, NoOptions)
        return answer_task(request, task)


def _as_json_for(request: Request, runs: Sequence[Run]) -> list[Json]:
    """Return runs as JSON, without the parents that the user may not see."""
    shown = shown_parents(runs, Answers(request.user))
    return runs_as_json(runs, sees_payload=partial(sees_payload, request), shown_parents=shown)


def filter_runs(runs: RunQuerySet, filters: dict[str, Any], user: User) -> RunQuerySet:
    """Return the runs that fit all the ``RunFilters`` given.

    Child runs are left out unless a filter may mean them: the parent run, a workflow, a trigger or a search.
    """
    if "parent_run" in filters:
        is_seen = Answers(user).where("view_run", "parent_task__run__workflow")
        runs = runs.filter(is_seen, parent_task__run=filters["parent_run"])
    elif not filters.keys() & {"workflow", "trigger", "search"}:
        runs = runs.roots()
    if "workflow" in filters:
        runs = runs.filter(workflow=filters["workflow"])
    if "status" in filters:
        runs = filter_by_status(runs, filters["status"])
    if "trigger" in filters:
        runs = runs.filter(trigger=filters["trigger"])
    if "user" in filters:
        runs = runs.filter(user_name=filters["user"])
    if "created_after" in filters:
        runs = runs.filter(created_at__gt=filters["created_after"])
    if "created_before" in filters:
        runs = runs.filter(created_at__lt=filters["created_before"])
    return search.find_runs(runs, filters["search"], Answers(user)) if "search" in filters else runs
