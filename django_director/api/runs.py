"""``runs/``: executions, and what can be done with them."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.db.models import Q
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from django_director import engine
from django_director.access.authorization import require, visible
from django_director.common.json_values import same
from django_director.engine.history import record
from django_director.exceptions import UnknownRun
from django_director.masking.values import refuse_mask, restore
from django_director.models import Run
from django_director.models.querysets import RunQuerySet
from django_director.presentation.lookups import filter_by_status, id_span
from django_director.presentation.serializers import run_as_json, runs_as_json, tasks_as_json

from .graph import graph_as_json
from .names import is_hidden
from .pagination import PARAMETERS, Keyset
from .serializers import CancelRequest, NoOptions, RelaunchRequest, RunFilters
from .views import DirectorView, actor, as_uuid, body, idempotency_key, query, require_any, sees_payload

BY_RUN: Final = Keyset(("-id",))
BY_TASK: Final = Keyset(("position", "map_index", "generation"))
"""The order of the file: hooks stand behind the last task."""


class RunList(DirectorView):
    """``GET runs/``: newest first, without payloads and results."""

    def get(self, request: Request) -> Response:
        runs = visible(request.user, "view_run", Run.objects.for_listing(), "workflow")
        runs = filtered(runs, query(request, RunFilters, PARAMETERS))
        sees = partial(sees_payload, request)
        return BY_RUN.respond(request, runs, partial(runs_as_json, sees_payload=sees))


class RunDetail(DirectorView):
    """``GET runs/{id}/``."""

    def get(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "view_run")
        query(request, NoOptions)
        return _answer(request, run)


class RunTasks(DirectorView):
    """``GET runs/{id}/tasks/``: in the order of the file."""

    def get(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "view_task")
        query(request, NoOptions, PARAMETERS)
        with_payload = sees_payload(request, run.workflow)
        tasks = run.tasks.all() if with_payload else run.tasks.for_listing()
        return BY_TASK.respond(request, tasks, partial(tasks_as_json, run, with_payload=with_payload))


class RunGraph(DirectorView):
    """``GET runs/{id}/graph/``."""

    def get(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "view_task")
        query(request, NoOptions)
        return Response(graph_as_json(run))


class RunCancel(DirectorView):
    """``POST runs/{id}/cancel/``; ``{"force": true}`` ends running tasks too."""

    def post(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "cancel")
        data = body(request, CancelRequest)
        run = engine.cancel(run, user=actor(request), force=data["force"])
        record(request.user, run, "Canceled (API)")
        return _answer(request, run)


class RunPause(DirectorView):
    """``POST runs/{id}/pause/``: nothing of it starts until it is resumed."""

    def post(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "cancel")
        body(request, NoOptions)
        run = engine.pause(run, user=actor(request))
        record(request.user, run, "Paused (API)")
        return _answer(request, run)


class RunResume(DirectorView):
    """``POST runs/{id}/resume/``."""

    def post(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "cancel")
        body(request, NoOptions)
        run = engine.resume(run, user=actor(request))
        record(request.user, run, "Resumed (API)")
        return _answer(request, run)


class RunRetry(DirectorView):
    """``POST runs/{id}/retry/``: the failed tasks and everything downstream of them run again."""

    def post(self, request: Request, run_id: str) -> Response:
        run = _run(request, run_id, "retry")
        body(request, NoOptions)
        run = engine.retry(run, user=actor(request))
        record(request.user, run, "Retried (API)")
        return _answer(request, run)


class RunRelaunch(DirectorView):
    """``POST runs/{id}/relaunch/``: 201 with a new run, 200 with that of the idempotency key."""

    takes_key = True

    def post(self, request: Request, run_id: str) -> Response:
        old = _run(request, run_id, "retry")
        data = body(request, RelaunchRequest)
        data["payload"] = _other_payload(request, old, **data)
        run = engine.relaunch(old, user=actor(request), idempotency_key=idempotency_key(request), **data)
        if not run.created:
            return _answer(request, run)
        record(request.user, run, f"Relaunched from {old.pk} (API)")
        return _answer(request, run, status.HTTP_201_CREATED)


def _other_payload(request: Request, old: Run, *, payload: Any, version: str, **_: Any) -> Any:
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


def filtered(runs: RunQuerySet, filters: dict[str, Any]) -> RunQuerySet:
    """Those that fit all of the ``RunFilters`` given.

    Child runs only where a filter may mean them: their parent, a workflow, a trigger or a search.
    """
    if "parent_run" in filters:
        runs = runs.filter(parent_task__run=filters["parent_run"])
    elif not filters.keys() & {"workflow", "trigger", "search"}:
        runs = runs.roots()
    if "workflow" in filters:
        runs = runs.filter(workflow__name=filters["workflow"])
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
    return runs.filter(_matches(filters["search"])) if "search" in filters else runs


def _matches(text: str) -> Q:
    where = Q(workflow__name__icontains=text) | Q(comment__icontains=text) | Q(idempotency_key=text)
    where |= Q(user_name=text)
    span = id_span(text)
    return where | Q(pk__range=span) if span else where


def _run(request: Request, run_id: str, action: str) -> Run:
    """The run of a route, if the user may do ``action`` with it."""
    require_any(request, action)
    runs = Run.objects.select_related("workflow", "version")
    run: Run | None = runs.filter(pk=as_uuid(run_id, "run")).first()
    if run is None or is_hidden(request.user, run.workflow, action, "view_run"):
        raise UnknownRun(f"no run has the id {run_id}")
    require(request.user, action, run.workflow)
    return run


def _answer(request: Request, run: Run, code: int = status.HTTP_200_OK) -> Response:
    return Response(run_as_json(run, with_payload=sees_payload(request, run.workflow)), status=code)
