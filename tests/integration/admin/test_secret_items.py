"""Secrets that the payload's schema marks stay hidden in the items that a map takes from the payload."""

from __future__ import annotations

import html
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import child, make_workflow, mapped, step
from tests.integration.admin.pages import address, text
from tests.integration.engine import driver
from tests.testapp import tasks  # noqa: F401 - their code is loaded here

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "ITEMSEC222"
ROW = {"type": "object", "properties": {"pw2": {"type": "string", "format": "password"}}}
SCHEMA = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": ROW},
        "rows": {"type": "array", "items": {"type": "array", "items": ROW}},
        "one": {"type": "string", "writeOnly": True},
    },
}
PAYLOAD = {
    "items": [{"pw2": "OTHERSEC1", "n": "first-open"}, {"pw2": SECRET, "n": "second-open"}],
    "rows": [[], [{"pw2": SECRET}, {"n": "second-open"}]],
    "one": SECRET,
}
USES = {"dbpw": "${{ item.pw2 }}", "within": "by ${{ item.pw2 }}", "all": "${{ item }}", "n": "${{ item.n }}"}
PARTS = ("item", "arguments")


def begun(over="payload.items", *body, payload=PAYLOAD, schema=SCHEMA, before=(), results=None, index=1):
    """A run in which the first task for item ``index`` of the map M has been claimed."""
    body = body or (step("ONE", task="GIVEN", kwargs=USES),)
    run = driver.start(*before, mapped("M", *body, over=over), payload=payload, schema=schema)
    for name, result in (results or {}).items():
        driver.succeed(run, name, result)
    driver.expand(run, "M")
    driver.claim(run, body[0].id, index=index)
    return run


def everything(client, run):
    """What all pages and files say of the tasks of a run, as text."""
    found = []
    for task in run.tasks.all():
        for page in ("task_change", "task_live"):
            found.append(text(client.get(address(page, task.pk))))
        for part in PARTS if task.map_index >= 0 else ():
            response = client.get(address("task_download", task.pk, part))
            found.append(b"".join(response).decode() if response.streaming else response.content.decode())
        api = client.get(f"/director/tasks/{task.pk}/")
        found.append(api.content.decode())
    found.append(text(client.get(address("run_change", run.pk))))
    told = StringIO()
    call_command("showrun", str(run.pk), stdout=told)
    found.append(told.getvalue())
    return html.unescape("\n".join(found))


def test_an_item_is_masked_as_the_payload_is(operator):
    said = everything(operator, begun())
    assert SECRET not in said
    assert "OTHERSEC1" not in said
    assert "second-open" in said
    assert '"pw2": "********"' in said


@pytest.mark.parametrize(
    "over",
    [
        "[payload.items[1], payload.items[1]]",
        "payload.rows",
        "payload.rows[1] or payload.items",
        "[payload.one, lower(payload.one)]",
        "range(len(payload.one) + 90210, 90250)",
        "[[payload.one], [[payload.one]]]",
        "[tasks.A.result, payload.items[1]]",
    ],
)
def test_what_an_expression_makes_of_secrets_is_hidden_in_items(operator, over):
    uses = step("ONE", task="GIVEN", kwargs={"dbpw": "${{ item }}", "within": "by ${{ item }}"})
    before, results = (("A",), {"A": [{"n": "of-a"}]}) if "tasks.A" in str(over) else ((), {})
    said = everything(operator, begun(over, uses, before=before, results=results))
    for secret in (SECRET, SECRET.lower(), "OTHERSEC1", "90221"):
        assert secret not in said


def test_an_order_that_secrets_decide_hides_the_items(operator):
    over = "payload.one == 'ITEMSEC222' and [payload.items[1], payload.items[0]] or payload.items"
    said = everything(operator, begun(over))
    assert SECRET not in said
    assert "OTHERSEC1" not in said


def test_later_tasks_of_an_item_hide_it_too(operator):
    body = (step("FIRST"), step("ONE", task="GIVEN", kwargs=USES))
    run = driver.start(mapped("M", *body), payload=PAYLOAD, schema=SCHEMA)
    driver.expand(run, "M")
    driver.succeed(run, "FIRST", "done", index=1)
    driver.claim(run, "ONE", index=1)
    said = everything(operator, run)
    assert SECRET not in said
    assert "second-open" in said


def test_items_that_a_task_returned_are_masked_by_their_keys(operator):
    items = [{}, {"pw2": "open-pw2", "password": SECRET, "n": "second-open"}]
    said = everything(operator, begun("tasks.A.result", before=("A",), results={"A": items}))
    assert SECRET not in said
    assert "open-pw2" in said


def test_items_of_results_and_of_the_payload_together(operator):
    results = {"A": [{"n": "of-a", "pw2": "open-pw2", "password": "KEYSEC333"}]}
    over = "[payload.items[1], tasks.A.result[0]]"
    said = everything(operator, begun(over, before=("A",), results=results))
    assert "open-pw2" in said
    assert SECRET not in said
    assert "KEYSEC333" not in said


def test_items_of_a_child_run_whose_payload_comes_from_its_parent(operator):
    make_workflow(
        driver.definition("shop.CHILD", mapped("M", step("ONE", task="GIVEN", kwargs=USES)), schema=SCHEMA)
    )
    given = {"items": "${{ payload.items }}"}
    run = driver.start(child("SUB", "shop.CHILD", payload=given), payload=PAYLOAD, schema=SCHEMA)
    driver.drain(run)
    below = driver.child_of(run, "SUB")
    driver.expand(below, "M")
    driver.claim(below, "ONE", index=1)
    said = everything(operator, run) + everything(operator, below)
    assert SECRET not in said
    assert "second-open" in said


def test_an_expression_that_fails_quotes_nothing_of_an_item(operator):
    uses = step("ONE", task="GIVEN", kwargs={"x": "${{ payload.items[0][lower(item.pw2)] }}"})
    run = begun("payload.items", uses)
    said = everything(operator, run)
    assert SECRET.lower() not in said


def test_it_takes_no_query_to_mask_an_item(operator):
    counts = []
    for schema in (None, SCHEMA):
        run = begun(schema=schema)
        url = address("task_change", run.tasks.get(step="ONE", map_index=1).pk)
        operator.get(url)
        with CaptureQueriesContext(connection) as captured:
            operator.get(url)
        counts.append(len(captured))
    assert counts[0] == counts[1]
