"""Runs that wait for a slot on the admin's pages."""

import pytest

from django_director import engine
from django_director.definitions import Concurrency
from tests import factories
from tests.integration.admin.pages import address, text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def runs():
    limit = Concurrency(key="payload.order")
    factories.make_workflow(factories.definition("shop.ORDER", "A", concurrency=limit))
    return [engine.start("shop.ORDER", {"order": 7}) for _ in range(3)]


def test_the_page_of_a_pending_run_leads_to_the_one_before(viewer, runs):
    first, second, _ = runs
    page = text(viewer.get(address("run_change", second.pk)))
    link = f'<a href="{address("run_change", first.pk)}">{first.pk}</a>'
    assert f">waits for a slot of its key, behind run {link}</p>" in page
    assert "Concurrency key" not in page
    assert 'data-field="waiting" class="help" hidden>' in text(viewer.get(address("run_change", first.pk)))


def test_the_key_is_for_those_who_see_the_payload(operator, runs):
    page = text(operator.get(address("run_change", runs[1].pk)))
    assert "<dt>Concurrency key</dt><dd><bdi>7</bdi></dd>" in page


def test_the_list_says_it_beside_the_status(viewer, runs):
    page = text(viewer.get(address("run_changelist")))
    for before in runs[:2]:
        assert f"waits for a slot of its key, behind run {before.pk}" in page


def test_the_live_state_has_it_until_the_run_begins(viewer, runs):
    first, second, _ = runs
    url = address("run_live", second.pk)
    known = viewer.get(url)["ETag"]
    assert "waits for a slot of its key, behind run" in text(viewer.get(url))
    engine.cancel(first)
    state = viewer.get(url, headers={"If-None-Match": known})
    assert "waits for a slot" not in text(state)
    assert "director-verdict director-running" in text(state)


def test_a_skipped_run_says_why(viewer):
    limit = Concurrency(on_conflict="skip")
    factories.make_workflow(factories.definition("shop.ORDER", "A", concurrency=limit))
    first, second = [engine.start("shop.ORDER") for _ in range(2)]
    assert f"skipped: run {first.pk} had not ended" in text(viewer.get(address("run_change", second.pk)))
