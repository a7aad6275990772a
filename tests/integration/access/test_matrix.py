"""Users, permissions, addresses and methods, from the URL configuration: a new route can't be forgotten.

Each route of the admin and of the API has a line in ``NEEDS``: what it asks for, by method. Staff with
each subset of permissions that matters call all of them; nobody sees a secret without permission, and nothing is a
500.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from django_director.access.authorization import PERMISSIONS
from django_director.models import Attempt, Run, Task
from django_director.schedules import beat_rows
from tests import factories
from tests.factories import approval, definition, make_workflow

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

NOBODY: frozenset[str] = frozenset()
SIGNED_IN: frozenset[str] = frozenset({""})
"""What needs no permission."""
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
SECRETS = ("PAYLOAD-S3CRET", "RESULT-S3CRET", "TRACEBACK-S3CRET", "ERROR-S3CRET", "LOG-S3CRET", "ITEM-S3CRET")
MASKED_SECRET = "MASKED-S3CRET"
ALL = sorted({codename for codenames in PERMISSIONS.values() for codename in codenames})


def needs(*permissions: str) -> frozenset[str]:
    return frozenset(permissions)


def _admin(model: str, view: str, operations: dict[str, frozenset[str]]) -> dict[str, dict[str, frozenset[str]]]:
    prefix = f"admin/django_director/{model}"
    seen = {"get": needs(view)}
    found = {f"{prefix}/": {**seen, "post": needs(view)}, f"{prefix}/<path:object_id>/change/": seen}
    found |= {f"{prefix}/<path:object_id>/history/": {**seen, "post": needs(view)}}
    found |= {f"{prefix}/<path:object_id>/": {"get": SIGNED_IN, "post": SIGNED_IN}}
    # Forms of Django's own that nobody may use.
    found |= {f"{prefix}/{each}/": {} for each in ("add", "<path:object_id>/delete")}
    return found | {
        f"{prefix}/{path}/": {"get": needs(view) | more, "post": needs(view) | more}
        for path, more in operations.items()
    }


def _api(routes: dict[str, dict[str, frozenset[str]]]) -> dict[str, dict[str, frozenset[str]]]:
    return {f"director/api/{path}{slash}": by for path, by in routes.items() for slash in ("/", "")}


SEES_TASKS = needs("view_run", "view_task")
RETRY, CANCEL, APPROVE = needs("retry_run"), needs("cancel_run"), needs("approve_task")
SCHEDULE = needs("view_workflow", "change_workflow", "run_workflow")
NEEDS = {
    **_admin("workflow", "view_workflow", {"<int:pk>/run": needs("run_workflow")}),
    **{
        f"admin/django_director/workflow/<int:pk>/schedules/{path}/": {"get": SCHEDULE, "post": SCHEDULE}
        for path in ("add", "<int:row>", "<int:row>/delete")
    },
    "admin/django_director/workflow/<int:pk>/schedules/<int:row>/switch/": {"post": SCHEDULE},
    **_admin(
        "run",
        "view_run",
        {
            **{f"<uuid:run_id>/{name}": CANCEL for name in ("cancel", "cancel_by_force", "pause", "resume")},
            **{f"<uuid:run_id>/{name}": RETRY for name in ("retry", "relaunch")},
            "<uuid:run_id>/relaunch_with_changes": needs("retry_run", "run_workflow", "view_payload"),
            "many/cancel": CANCEL,
            **{f"many/{name}": RETRY for name in ("retry", "relaunch")},
        },
    ),
    "admin/django_director/run/<uuid:pk>/live/": {"get": needs("view_run")},
    "admin/django_director/run/live/": {"get": needs("view_run")},
    "admin/django_director/task/<uuid:pk>/live/": {"get": needs("view_task")},
    "admin/django_director/task/live/": {"get": needs("view_task")},
    "admin/django_director/workflow/live/": {"get": needs("view_workflow")},
    "admin/django_director/run/<uuid:run_id>/payload/": {"get": needs("view_run", "view_payload")},
    "admin/django_director/run/<uuid:run_id>/result/": {"get": needs("view_run", "view_payload")},
    "admin/django_director/run/<uuid:run_id>/log/": {"get": needs("view_run", "view_task", "view_payload")},
    "admin/django_director/run/overview/": {"get": needs("view_run")},
    "admin/django_director/task/<uuid:task_id>/download/<str:part>/": {"get": needs("view_task", "view_payload")},
    "admin/django_director/run/system/": {"get": needs("view_run")},
    **{
        f"admin/django_director/{page}/graph/{form}/": {"get": permissions}
        for page, permissions in (("run/<uuid:run_id>", SEES_TASKS), ("workflow/<int:pk>", needs("view_workflow")))
        for form in ("svg", "dot", "mermaid")
    },
    **_admin(
        "task",
        "view_task",
        {
            **{f"<uuid:task_id>/{name}": RETRY for name in ("rerun", "skip")},
            **{f"<uuid:task_id>/{name}": APPROVE for name in ("approve", "reject")},
        },
    ),
    **_api(
        {
            "ping": {"get": SIGNED_IN},
            "health": {"get": SIGNED_IN},
            "workflows": {"get": needs("view_workflow")},
            "workflows/<str:name>": {"get": needs("view_workflow")},
            "workflows/<str:name>/runs": {"post": needs("run_workflow")},
            "runs": {"get": needs("view_run")},
            "runs/<str:run_id>": {"get": needs("view_run")},
            "runs/<str:run_id>/tasks": {"get": needs("view_task")},
            "runs/<str:run_id>/graph": {"get": needs("view_task")},
            **{f"runs/<str:run_id>/{name}": {"post": CANCEL} for name in ("cancel", "pause", "resume")},
            **{f"runs/<str:run_id>/{name}": {"post": RETRY} for name in ("retry", "relaunch")},
            "tasks/<str:task_id>": {"get": needs("view_task")},
            **{f"tasks/<str:task_id>/{name}": {"post": RETRY} for name in ("rerun", "skip")},
            **{f"tasks/<str:task_id>/{name}": {"post": APPROVE} for name in ("approve", "reject")},
        }
    ),
}
CALLED = {route: by for route, by in NEEDS.items() if route.endswith("/")}
#: What is open to everybody.
PROBES = {"director/api/ping/", "director/api/health/"}
#: What any route answers that is none: the rest below the API.
NO_ROUTE = "director/api/"


def routes(patterns: Any = None, prefix: str = "") -> list[str]:
    found = []
    for each in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(each.pattern)
        found += routes(each.url_patterns, path) if isinstance(each, URLResolver) else [path]
    return [path for path in found if re.match(r"admin/django_director/|director/", path)]


@pytest.fixture
def rows():
    workflow = make_workflow(definition("shop.ORDER", "A", approval("ASK")))
    run = factories.make_run(
        workflow,
        "failed",
        {"A": "failed"},
        payload={"open": "PAYLOAD-S3CRET", "password": MASKED_SECRET},
        error="A: ValueError: ERROR-S3CRET",
    )
    task = run.tasks.get(step="A")
    values = {"result": {"open": "RESULT-S3CRET", "token": MASKED_SECRET}, "item": {"a": "ITEM-S3CRET"}}
    Task.objects.filter(pk=task.pk).update(
        error="ValueError: ERROR-S3CRET", traceback="TRACEBACK-S3CRET", **values
    )
    task.logs.create(sequence=1, attempt=1, text="LOG-S3CRET\n")
    texts = {"error": "KeyError: ERROR-S3CRET", "traceback": "TRACEBACK-S3CRET"}
    Attempt.objects.create(task=task, number=1, outcome="failed", finished_at=run.created_at, **texts)
    every = IntervalSchedule.objects.create(every=60, period="seconds")
    named = {"name": "shop.ORDER", "payload": {"open": "PAYLOAD-S3CRET", "password": MASKED_SECRET}}
    row = PeriodicTask(name="by hand", task=beat_rows.TASK, interval=every, kwargs=json.dumps(named))
    row.save()
    return {"run": run, "task": task, "workflow": workflow, "row": row}


def address(route: str, rows: dict[str, Any]) -> str:
    model = next((name for name in ("workflow", "run", "task") if f"/{name}/" in route), "")
    values = {"<path:object_id>": str(rows[model].pk) if model else "", "<str:name>": "shop.ORDER"}
    values |= {"<uuid:run_id>": str(rows["run"].pk), "<str:run_id>": str(rows["run"].pk)}
    values |= {"<uuid:task_id>": str(rows["task"].pk), "<str:task_id>": str(rows["task"].pk)}
    values |= {"<int:pk>": str(rows["workflow"].pk), "<int:row>": str(rows["row"].pk)}
    values |= {"<uuid:pk>": str(rows[model].pk) if model else "", "<str:part>": "traceback"}
    for name, value in values.items():
        route = route.replace(name, value)
    assert "<" not in route, route
    return f"/{route}"


def client_of(number: int, permissions: frozenset[str], *, is_staff: bool = True) -> Client:
    client = Client(raise_request_exception=False)
    user = factories.make_user(f"user-{number}", *permissions)
    user.is_staff = is_staff
    user.save(update_fields=["is_staff"])
    client.force_login(user)
    return client


def call(client: Client, method: str, path: str) -> Any:
    return getattr(client, method)(path, {} if method in ("get", "head") else "{}", **_json(method))


def _json(method: str) -> dict[str, str]:
    return {} if method in ("get", "head") else {"content_type": "application/json"}


def test_every_route_has_a_line():
    assert set(routes()) - {NO_ROUTE} == set(NEEDS)


def test_an_address_of_the_api_has_one_view_with_a_slash_and_without(rows):
    """So the tests below call one of the two."""
    for route in set(NEEDS) - set(CALLED):
        with_slash, without = (resolve(address(each, rows)) for each in (f"{route}/", route))
        assert (with_slash.func, with_slash.kwargs) == (without.func, without.kwargs)


SUBSETS = [
    NOBODY,
    *(frozenset({one}) for one in ALL),
    *(frozenset(ALL) - {one} for one in ALL),
    *(frozenset(pair) for pair in combinations(("view_workflow", "view_run", "view_task"), 2)),
    *({*view, more} for view in [("view_workflow", "view_run", "view_task")] for more in ALL),
    frozenset(ALL),
]


def _case(number: int) -> Any:
    """One permission at a time, none, and all are tried by ``make test``; the others take as long again twice."""
    is_quick = len(SUBSETS[number]) <= 1 or number == len(SUBSETS) - 1
    return pytest.param(number, marks=() if is_quick else pytest.mark.slow)


@pytest.mark.parametrize("number", [_case(number) for number in range(len(SUBSETS))])
def test_staff_with_any_permissions(number, rows):
    permissions = frozenset(SUBSETS[number])
    client = client_of(number, permissions)
    for route, by_method in CALLED.items():
        path = address(route, rows)
        for method in METHODS:
            response = call(client, method, path)
            text = response.content.decode() if not response.streaming else ""
            where = f"{method} {route} with {sorted(permissions)}: {response.status_code}"
            # No supervisor works here, and that is what it says.
            assert response.status_code < 500 or (response.status_code == 503 and "health" in route), where
            assert MASKED_SECRET not in text, where
            if "view_payload" not in permissions:
                assert not [secret for secret in SECRETS if secret in text], where
            needed = by_method.get(method)
            if needed is None:
                # Django's own pages take every method as a GET; others say that they do not.
                may_get = by_method.get("get", frozenset("?")) <= permissions | SIGNED_IN
                assert response.status_code in (302, 403, 404, 405) or may_get or method == "options", where
            elif needed - permissions - SIGNED_IN:
                assert response.status_code == 403, where
            else:
                assert response.status_code not in (401, 403, 405), where


@pytest.mark.parametrize("is_staff", [False, None])
def test_others_come_nowhere(is_staff, rows):
    """Who is not of the staff does not come into the admin, and nobody without signing in into the API."""
    client = Client(raise_request_exception=False)
    if is_staff is not None:
        client = client_of(0, frozenset(ALL), is_staff=False)
    for route in CALLED:
        if route.startswith("director/") and is_staff is not None:
            continue
        for method in METHODS if route not in PROBES else ():
            response = call(client, method, address(route, rows))
            expected = (302,) if route.startswith("admin/") else (401, 403)
            assert response.status_code in expected, (method, route, response.status_code)
            assert not [secret for secret in SECRETS if secret in response.content.decode()]
    assert Run.objects.count() == 1


def test_a_reader_with_every_permission_sees_them(rows):
    """Else the matrix would hold for want of secrets."""
    client = client_of(1, frozenset(ALL))
    pages = [f"/admin/django_director/task/{rows['task'].pk}/change/", f"/director/api/runs/{rows['run'].pk}/"]
    pages += [f"/director/api/tasks/{rows['task'].pk}/"]
    text = "".join(client.get(page).content.decode() for page in pages)
    assert not [secret for secret in set(SECRETS) - {"ITEM-S3CRET", "RESULT-S3CRET"} if secret not in text]
    assert json.loads(client.get(pages[2]).content)["result"]["open"] == "RESULT-S3CRET"
