"""The form that starts a run, in a real browser: errors first, entries added with and without JavaScript."""

import pytest

from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import address

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

SCHEMA = {
    "type": "object",
    "required": ["email", "lines"],
    "properties": {
        "email": {"type": "string", "format": "email"},
        "day": {"type": "string", "format": "date"},
        "word": {"type": "string", "format": "password"},
        "urgent": {"type": "boolean", "default": False},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string"}, "number": {"type": "integer", "minimum": 1}},
            },
        },
    },
}


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_a_run_is_started_after_its_errors_were_shown(java_script_enabled, open_page):
    workflow = factories.make_workflow(factories.definition("shop.ORDER", "PACK", "SHIP", schema=SCHEMA))
    url = address("workflow_run", workflow.pk)
    window = {"java_script_enabled": java_script_enabled, "viewport": {"width": 420, "height": 900}}
    page = open_page(url, expects="400", **window)
    page.get_by_label("email (required)").fill("ann")
    for sku in ("A-1", "B-2"):
        page.get_by_role("button", name="Add an entry to lines").click()
        page.get_by_label("sku (required)").last.fill(sku)
    page.get_by_label("number").last.fill("0")
    page.get_by_label("email (required)").press("Enter")

    summary = page.get_by_role("alert")
    assert "Please correct the 2 places that are marked below." in summary.inner_text()
    for label in ("email (required)", "number"):
        field = page.get_by_label(label).last
        assert field.get_attribute("aria-invalid") == "true"
        assert "errors" in field.locator("..").get_attribute("class")
    summary.get_by_role("link", name="email").click()
    assert page.get_by_label("email (required)").evaluate("field => field.matches(':target')")
    assert not Run.objects.exists()

    page.get_by_label("email (required)").fill("ann@example.com")
    page.get_by_label("number").last.fill("3")
    page.get_by_role("button", name="Remove lines, entry 1").click()
    page.get_by_label("day").fill("2026-01-31")
    page.get_by_label("urgent").check()
    page.get_by_label("word").fill("w0rd")
    page.get_by_role("button", name="Check").click()
    checked = page.get_by_role("region", name="Payload").inner_text()
    assert '"sku": "B-2"' in checked
    assert "w0rd" not in page.content()
    page.wait_for_load_state("load")
    surplus = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert surplus <= 0

    page.get_by_label("word").fill("w0rd")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/change/")
    lines = [{"sku": "B-2", "number": 3}]
    expected = {"email": "ann@example.com", "day": "2026-01-31", "word": "w0rd", "urgent": True, "lines": lines}
    assert Run.objects.get().payload == expected
