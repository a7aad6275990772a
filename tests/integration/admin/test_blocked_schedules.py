"""The pages that tell of a schedule that can't start a run."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests import factories
from tests.factories import definition
from tests.integration.blocked import ALLOW, SCHEMA, be_well, fulfil, plan

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def well(monkeypatch: pytest.MonkeyPatch) -> None:
    be_well(monkeypatch)


def test_the_overview_tells_it_first(client_of: Any):
    fulfil()
    plan()
    shown = page(client_of(*factories.VIEW), "/admin/django_director/")
    assert "<bdi>Schedule “each10” of “orders.FULFIL” can&#x27;t start a run: the payload does not fit" in shown
    assert "All is well" not in shown


def test_its_queries_stay_few(client_of: Any):
    fulfil()
    plan()
    client = client_of(*factories.VIEW)

    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            page(client, "/admin/django_director/")
        return len(caught)

    count()
    few = count()
    for number in range(4):
        factories.make_workflow(definition(f"orders.N{number}", "A", schema=SCHEMA))
        plan(f"s{number}", workflow=f"orders.N{number}")
    count()
    assert count() == few <= 12


def test_what_is_hidden_stays_hidden(client_of: Any, settings: Any):
    settings.DIRECTOR = {"WORKFLOWS": [], "AUTHORIZE": ALLOW}
    fulfil()
    plan()
    client = client_of("view_run")
    for address in ("/admin/django_director/", "/admin/django_director/run/system/"):
        shown = page(client, address)
        assert "1 schedule can&#x27;t start a run" in shown
        assert not any(word in shown for word in ("each10", "FULFIL", "channel"))


def test_the_system_page(client_of: Any):
    fulfil()
    plan()
    shown = page(client_of("view_run"), "/admin/django_director/run/system/")
    assert "1 thing needs attention." in shown
    assert "Schedule “each10” of “orders.FULFIL” can&#x27;t start a run" in shown


def test_the_workflow_and_the_list(client_of: Any):
    workflow = fulfil()
    row = plan()
    client = client_of("view_workflow")
    reason = (
        "The payload does not fit the schema ($: &quot;channel&quot; is a required property); "
        "change its payload or the schema"
    )
    addresses = ("/admin/django_director/workflow/", f"/admin/django_director/workflow/{workflow.pk}/change/")
    for address in addresses:
        shown = page(client, address)
        assert reason in shown
        assert "can't start a run</span>" in unescape(shown)
    row.enabled = False
    row.save()
    assert not any("can't start" in unescape(page(client, address)) for address in addresses)


def page(client: Any, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    text: str = response.content.decode()
    return text
