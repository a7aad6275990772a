"""Several admin sites, below a path: what a page leads to stays in its own site."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import clear_url_caches, include, path, set_script_prefix

from django_director.admin.runs import RunAdmin
from django_director.admin.tasks import TaskAdmin
from django_director.admin.workflows import WorkflowAdmin
from django_director.models import Run, Task, Workflow
from scripts.screenshots import further_pages, situation, take
from tests import factories

from .pages import text

PREFIX = "/behind/a/proxy"
ADDRESS = re.compile(r'\b(?:href|action|formaction|data-live|src|value)="(/[^"]*)"')

operations = admin.AdminSite(name="operations")
for model, kind in ((Run, RunAdmin), (Task, TaskAdmin), (Workflow, WorkflowAdmin)):
    operations.register(model, kind)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("ops/", include([path("desk/", operations.urls)])),
    path("director/", include("django_director.urls")),
]


@pytest.fixture
def behind_a_proxy(settings):
    settings.ROOT_URLCONF = __name__
    settings.FORCE_SCRIPT_NAME = PREFIX
    clear_url_caches()
    # A server does this with each request, the test client does not.
    set_script_prefix(f"{PREFIX}/")
    yield
    set_script_prefix("/")
    clear_url_caches()


@pytest.mark.django_db
@pytest.mark.timeout(180)
def test_all_that_a_page_leads_to_stays_in_its_site(behind_a_proxy):
    made = situation.make()
    client = Client()
    client.force_login(factories.make_admin())
    pages = dict([*take.pages(made), *further_pages.further_pages(made)])
    at_home = re.compile(f"{PREFIX}/ops/desk/|{PREFIX}$|/static/")
    astray = {}
    for name, address in pages.items():
        wanted = address.replace("/admin/", "/ops/desk/", 1).removeprefix(PREFIX)
        response = client.get(wanted)
        assert response.status_code == 200, wanted
        found = {each for each in ADDRESS.findall(text(response)) if not at_home.match(each)}
        if found:
            astray[name] = sorted(found)
    assert astray == {}
    answer = client.post(f"/ops/desk/django_director/run/{made['failed'].pk}/retry/")
    assert answer.headers["Location"].startswith(f"{PREFIX}/ops/desk/django_director/run/")
