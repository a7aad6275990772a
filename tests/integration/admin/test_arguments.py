"""The page of a task shows what the task was called with."""

from __future__ import annotations

import html
import json
import re

import pytest
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director.models import Run
from tests.factories import child, group, make_workflow, mapped, step, wait
from tests.integration.admin.pages import Page, address, text
from tests.integration.engine import driver
from tests.testapp import tasks  # noqa: F401 - their code is loaded here

pytestmark = pytest.mark.django_db(transaction=True)

ARGUMENT = re.compile(
    r"<dt><code><bdi>(.*?)</bdi></code>(?: <span[^>]*>(.*?)</span>)?</dt><dd>(?:<pre[^>]*>(.*?)</pre>)?", re.DOTALL
)
HOSTILE = "</pre><script>alert(1)</script>"


def source_of(client, run, name, index=-1):
    task = run.tasks.get(step=name, map_index=index)
    response = client.get(address("task_change", task.pk))
    assert response.status_code == 200
    return text(response)


def shown(client, run, name, index=-1):
    """What the page says of each argument: its value, and where it comes from."""
    source = source_of(client, run, name, index)
    found = ARGUMENT.findall(source.split('id="arguments"')[1].split("</section>")[0])
    return {html.unescape(key): (html.unescape(value), origin) for key, origin, value in found}


def started(*before, kwargs=None, task="GIVEN", **options):
    """A run whose last step has been claimed; the results of the steps before it are given by id."""
    results = dict(before)
    run = driver.start(*results, step("LAST", task=task, kwargs=kwargs or {}), **options)
    for name, result in results.items():
        driver.succeed(run, name, result)
    driver.claim(run, "LAST")
    return run


def test_expressions_are_shown_evaluated(operator):
    given = {"url": "${{ tasks.A.result.url }}", "text": "order ${{ payload.order }}", "plain": 7}
    run = started(("A", {"url": "a.png"}), kwargs=given, payload={"order": 5})
    arguments = shown(operator, run, "LAST")
    assert arguments["url"] == ('"a.png"', "")
    assert arguments["text"] == ('"order 5"', "")
    assert arguments["plain"] == ("7", "")
    assert arguments["*args"] == ('{\n  "url": "a.png"\n}', "the result of what is before it")
    assert arguments["payload"] == ("", "the payload of the run, see below")
    assert arguments["workflow_id"] == (f'"{run.pk}"', "")
    assert "given in the workflow file" not in source_of(operator, run, "LAST")


def test_before_it_starts_the_page_shows_what_the_file_gives(operator):
    run = driver.start("A", step("B", task="GIVEN", kwargs={"text": "${{ payload.order }}"}))
    source = source_of(operator, run, "B")
    assert "given in the workflow file" in source
    assert "${{ payload.order }}" in source
    assert 'id="arguments"' not in source


def test_a_skipped_task_was_not_called(operator):
    run = driver.start(step("A", task="GIVEN", when=False, kwargs={"x": 1}))
    driver.drain(run)
    assert run.tasks.get().status == "skipped"
    assert 'id="arguments"' not in source_of(operator, run, "A")


def test_an_expression_that_fails_is_shown_as_its_error(operator):
    run = started(("A", {}), kwargs={"x": "${{ tasks.A.result.missing }}"})
    section = source_of(operator, run, "LAST").split('id="arguments"')[1].split("</section>")[0]
    assert "director-error" in section
    assert "missing" in section


def test_a_call_that_can_not_be_made_is_shown_as_its_error(operator):
    run = started(task="tests.demand", kwargs={})
    section = source_of(operator, run, "LAST").split('id="arguments"')[1].split("</section>")[0]
    assert "it requires the argument `wanted`, and nothing gives it" in html.unescape(section)


@pytest.fixture(autouse=True)
def demand():
    @current_app.task(name="tests.demand")
    def demand(wanted):
        """Takes one argument."""

    yield
    current_app.tasks.pop("tests.demand")


def test_a_task_whose_code_is_not_loaded(operator):
    run = started(("A", [1]), task="elsewhere.task", kwargs={"x": "${{ 1 + 1 }}"})
    assert shown(operator, run, "LAST") == {
        "from before": ("[\n  1\n]", "the result of what is before it"),
        "x": ("2", ""),
    }
    assert "which parameter gets what is not known" in source_of(operator, run, "LAST")


def test_secrets_stay_hidden_whatever_an_expression_makes_of_them(operator):
    given = {
        "plain": "${{ payload.password }}",
        "within": "Bearer ${{ payload.password }}",
        "derived": "${{ payload.password == 'hunter2' }}",
        "broken": "${{ tasks.A.result.token + 1 }}",
        "api_key": "literal-key",
        "nested": {"order": "${{ payload.order }}", "key": "${{ tasks.A.result.token }}"},
    }
    payload = {"password": "hunter2", "order": 5}
    run = started(("A", {"token": 987654321}), kwargs=given, payload=payload)
    source = source_of(operator, run, "LAST")
    for secret in ("hunter2", "987654321", "987654322", "literal-key", "true"):
        assert secret not in source.split('id="arguments"')[1]
    del given["broken"]
    run = started(("A", {"token": 987654321}), kwargs=given, payload=payload)
    arguments = shown(operator, run, "LAST")
    masked = ('"********"', "")
    assert [arguments[name] for name in ("plain", "within", "derived", "api_key")] == [masked] * 4
    assert json.loads(arguments["nested"][0]) == {"order": 5, "key": "********"}


def test_who_may_not_see_the_payload_sees_no_arguments(viewer):
    run = started(kwargs={"x": "abracadabra"})
    assert "abracadabra" not in source_of(viewer, run, "LAST")


def test_values_are_escaped_and_cut(operator):
    run = started(kwargs={"x": HOSTILE, "y": "z" * 50_000})
    source = source_of(operator, run, "LAST")
    assert Page(source).forbidden == []
    assert HOSTILE not in source
    assert "further characters are not shown" in source
    assert len(source) < 60_000


def test_very_many_results_are_not_put_together(operator):
    names = [f"t{number}" for number in range(201)]
    run = driver.start(group("G", *names), step("LAST", task="GIVEN"))
    for name in names:
        driver.succeed(run, name, "abracadabra")
    driver.claim(run, "LAST")
    source = source_of(operator, run, "LAST")
    assert "abracadabra" not in source
    assert "the results of too many tasks" in source


def test_an_item_of_a_map(operator):
    body = (step("ONE", task="GIVEN"), step("TWO", task="GIVEN", kwargs={"n": "${{ index }}"}))
    run = driver.start(mapped("M", *body), payload={"items": ["a.png", "b.png"]})
    driver.expand(run, "M")
    driver.succeed(run, "ONE", "result of b", index=1)
    driver.claim(run, "TWO", index=1)
    assert shown(operator, run, "ONE", 1)["*args"] == ('"b.png"', "the item of the map")
    second = shown(operator, run, "TWO", 1)
    assert second["*args"] == ('"result of b"', "the result of what is before it")
    assert second["n"] == ("1", "")
    for name in ("ONE", "TWO"):
        source = source_of(operator, run, name, 1)
        assert "number 1 of the map, counted from 0" in source
        assert "b.png" in html.unescape(source)


def test_the_payload_that_a_step_gives_its_child_run(operator):
    make_workflow("shop.CHILD")
    run = driver.start("A", child("SUB", "shop.CHILD", payload={"total": "${{ tasks.A.result }}"}))
    driver.succeed(run, "A", 19)
    driver.claim(run, "SUB")
    source = source_of(operator, run, "SUB")
    assert "Payload of the child run" in source
    assert "&quot;total&quot;: 19" in source.split('id="arguments"')[1]


def test_a_hook(operator):
    hooks = {"failure": (step("hooks.failure", task="GIVEN", kwargs={"how": "${{ run.status }}"}),)}
    run = driver.start("A", hooks=hooks)
    driver.fail(run, "A")
    driver.claim(run, "hooks.failure")
    assert Run.objects.get().status == "failed"
    assert shown(operator, run, "hooks.failure")["how"] == ('"failed"', "")


def test_other_steps_have_no_arguments(operator):
    run = driver.start(wait("W", 60))
    driver.claim(run, "W")
    assert 'id="arguments"' not in source_of(operator, run, "W")


def test_the_page_has_a_bounded_number_of_queries(operator):
    names = [f"t{number}" for number in range(50)]
    given = {"all": "${{ tasks.G.result }}", "how": "${{ tasks.t0.status }} ${{ run.workflow }}"}
    run = driver.start(group("G", *names), step("LAST", task="GIVEN", kwargs=given))
    for name in names:
        driver.succeed(run, name, name)
    driver.claim(run, "LAST")
    url = address("task_change", run.tasks.get(step="LAST").pk)
    operator.get(url)
    with CaptureQueriesContext(connection) as captured:
        operator.get(url)
    assert len(captured) <= 12
