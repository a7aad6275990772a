"""The query strings of the admin's lists: what a list declares filters it, everything else is refused."""

from collections.abc import Iterator
from itertools import product

import pytest
from django.contrib import admin
from django.db import models
from django.test import RequestFactory

from django_director.models import Run, Task, Workflow
from tests import factories
from tests.factories import VIEW
from tests.integration.admin.pages import address, order

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

MODELS = (Workflow, Run, Task)
HOSTILE = (
    *("", "x", "a\0b", "[", "(a+)+$", "null", "true", '{"a": 1}', "é"),
    *("9" * 30, "-1", "nan", "9999999-01-01", "2026-02-30", "' OR 1=1 --", "%", "x" * 5000, "²", "٣"),
)
FILTERS = {
    Workflow: {"is_active__exact"},
    Run: {"place", "status__exact", "trigger__exact", "created_at__gte", "created_at__lt", "workflow__id__exact"},
    Task: {"status__exact", "decision", "is_hook__exact", "run__workflow__id__exact"},
}


def changelist(model):
    return address(f"{model._meta.model_name}_changelist")


def lookups_of(field) -> Iterator[str]:
    yield ""
    if isinstance(field, models.Field):
        for name in field.get_lookups():
            yield f"__{name}"
    if isinstance(field, models.JSONField):
        yield from ("__password", "__password__startswith", "__0", "__password__regex")
    if isinstance(field, models.DateTimeField):
        yield from ("__year", "__year__gt", "__date", "__hour__lt")


def local_lookups(model) -> Iterator[str]:
    for field in model._meta.get_fields():
        name = field.name
        for lookup in lookups_of(field):
            yield f"{name}{lookup}"
        if getattr(field, "attname", name) != name:
            yield field.attname


def all_lookups(model, depth: int = 2) -> Iterator[str]:
    yield from local_lookups(model)
    if depth:
        for field in model._meta.get_fields():
            if field.is_relation:
                for lookup in all_lookups(field.related_model, depth - 1):
                    yield f"{field.name}__{lookup}"


def declared(model_admin, model, request) -> set[str]:
    found = model_admin.declared_filters(request)
    assert FILTERS[model] <= found
    return found


def request_of(user):
    request = RequestFactory().get("/")
    request.user = user
    return request


@pytest.fixture
def rows():
    run = factories.make_run(
        order(),
        "failed",
        {"FETCH": "success", "STOCK": "failed"},
        payload={"password": "Pa55"},
        error="Pa55",
        comment="Pa55",
        idempotency_key="Pa55",
    )
    run.tasks.filter(step="FETCH").update(result={"password": "Pa55"}, error="Pa55", traceback="Pa55")
    return run


@pytest.mark.parametrize("model", MODELS)
def test_only_what_a_list_declares_may_filter_it(model, viewer):
    """By every look-up of every field, and of those that two relations lead to."""
    model_admin = admin.site.get_model_admin(model)
    request = request_of(viewer.user)
    mine = declared(model_admin, model, request)
    assert all(model_admin.lookup_allowed(name, "1", request) for name in mine)
    names = set(all_lookups(model))
    assert len(names) > 1000
    # Each asks for all filters anew; every tenth is enough, for one rule answers them all.
    assert not [name for name in sorted(names - mine)[::10] if model_admin.lookup_allowed(name, "1", request)]
    assert not any(
        column in name for name in mine for column in ("payload", "result", "error", "traceback", "key")
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_filter_that_is_not_declared_is_a_bad_request(model, viewer, rows):
    model_admin = admin.site.get_model_admin(model)
    mine = declared(model_admin, model, request_of(viewer.user))
    for name in sorted(set(local_lookups(model)) - mine):
        for value in ("P", "\0"):
            assert viewer.get(changelist(model), {name: value}).status_code == 400, name


@pytest.mark.parametrize("model", MODELS)
def test_a_masked_value_can_not_be_guessed(model, viewer, rows):
    for path in ("payload__password__startswith", "run__payload__password__startswith", "runs__error__contains"):
        right, wrong = (viewer.get(changelist(model), {path: value}) for value in ("P", "Q"))
        assert right.status_code == wrong.status_code == 400
        assert "cl" not in (right.context or {})


@pytest.mark.parametrize(
    "third", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("model", MODELS)
def test_hostile_values_of_what_a_list_takes_break_nothing(model, third, client_of, rows):
    """Each of its parameters with a third of the values; together the thirds are all pairs."""
    client = client_of(*VIEW, raise_request_exception=False)
    mine = declared(admin.site.get_model_admin(model), model, request_of(client.user))
    names = sorted(mine | {"q", "o", "p", "all", "e", "_popup", "_to_field", "_facets"})
    for (row, name), (column, value) in product(enumerate(names), enumerate(HOSTILE)):
        if (row + column) % 3 != third:
            continue
        response = client.get(changelist(model), {name: value})
        assert response.status_code in (200, 302, 400), (name, value)


def test_the_filters_themselves_work(viewer, rows):
    for name, value in (("trigger__exact", "manual"), ("workflow__id__exact", rows.workflow_id)):
        response = viewer.get(changelist(Run), {name: value})
        assert [run.pk for run in response.context["cl"].result_list] == [rows.pk]
    assert not viewer.get(changelist(Run), {"trigger__exact": "api"}).context["cl"].result_list


def test_a_subclass_may_declare_more(viewer, rf):
    model_admin = admin.site.get_model_admin(Run)
    more = type("More", (type(model_admin),), {"list_filter": (*model_admin.list_filter, "user_name")})
    request = request_of(viewer.user)
    assert more(Run, admin.site).lookup_allowed("user_name", "ann", request)
    assert not model_admin.lookup_allowed("user_name", "ann", request)
