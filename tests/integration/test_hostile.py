"""Values, texts and names that mean harm: refused in the same words on every database, or shown as text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from django.test import Client
from rest_framework.test import APIClient

from django_director import task, testing
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from tests import factories
from tests.integration.admin.pages import Page, address, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

API = "/director/api"
MANY = 1_000_000


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


RESULTS = {
    "a set": ({1, 2}, "a value of type set is not JSON at $"),
    "bytes": ([b"x"], "a value of type bytes is not JSON at $[0]"),
    "an object": ({"a": object()}, "a value of type object is not JSON at $.a"),
    "10 MB": ("x" * 10_485_760, "it has 10,485,762 bytes as JSON, the limit is 262,144"),
    "NUL": ({"a": "\0"}, "a string holds a NUL character at $.a"),
    "a NUL in a key": ({"\0": 1}, "a string holds a NUL character at $"),
    "a lone surrogate": (["\ud83d"], "a string holds half a surrogate pair at $[0]"),
    "NaN": (float("nan"), "the number nan is not JSON at $"),
    "infinity": ({"a": [float("inf")]}, "the number inf is not JSON at $.a[0]"),
    "10^400": (10**400, "an integer in it needs more than 64 bits; return it as a string"),
    "10^5000": (10**5000, "an integer needs more than 64 bits; return it as a string at $"),
    "depth 900": (nested(900), "it is nested deeper than 30 levels"),
    "depth 100,000": (nested(100_000), "it is nested deeper than 30 levels"),
}
"""What a task returns, and what its error says: written out, so that it is the same on every database."""

PAYLOADS = {
    "10 MB": '"' + "x" * 10_485_760 + '"',
    "NUL": '{"a": "\\u0000"}',
    "a NUL in a key": '{"\\u0000": 1}',
    "a lone surrogate": '["\\ud83d"]',
    "NaN": "[NaN]",
    "infinity": "-Infinity",
    "1e999": "1e999",
    "10^400": "1" + "0" * 400,
    "10^5000": "1" + "0" * 5000,
    "depth 900": "[" * 900 + "]" * 900,
    "depth 100,000": "[" * 100_000 + "]" * 100_000,
}

ERRORS = {
    "NUL": ("a\0b", "ValueError: a\N{REPLACEMENT CHARACTER}b"),
    "a lone surrogate": ("a\ud83db", "ValueError: a?b"),
    "beyond the basic plane": ("\N{PILE OF POO}", "ValueError: \N{PILE OF POO}"),
}
"""Messages of exceptions: what can't be stored in them is replaced."""


@pytest.fixture
def silent() -> Iterator[None]:
    """No log is captured: half a surrogate pair can't travel from a process of pytest-xdist to the next."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@task(name="hostile.RESULT")
def hostile_result(*args: object, **kwargs: object) -> object:
    return RESULTS[kwargs["payload"]["kind"]][0]  # type: ignore[index]


@task(name="hostile.ERROR")
def hostile_error(*args: object, **kwargs: object) -> None:
    kind = kwargs["payload"]["kind"]  # type: ignore[index]
    raise ValueError("x" * 10 * MANY if kind == "10 MB" else ERRORS[kind][0])


@task(name="hostile.GIVE")
def give(*args: object, **kwargs: object) -> object:
    return kwargs["payload"]["value"]  # type: ignore[index]


def run(*tasks: str, payload: object) -> Run:
    factories.make_workflow(factories.definition("hostile.FLOW", *tasks))
    return testing.run_workflow("hostile.FLOW", payload)


def api() -> APIClient:
    client = APIClient()
    client.force_authenticate(factories.make_admin())
    return client


@pytest.mark.fault(25)
@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_that_no_database_may_hold_fails_its_task_once(kind):
    finished = run("hostile.RESULT", "NOOP", payload={"kind": kind})
    failed = finished.tasks.get(step="hostile.RESULT")
    assert (finished.status, failed.status) == (RunStatus.FAILED, TaskStatus.FAILED)
    assert (failed.attempt, failed.failures, failed.crashes) == (1, 1, 0)
    assert f"the task's result can't be stored: {RESULTS[kind][1]}" in failed.error
    assert len(failed.error) < 300
    assert failed.result is None
    assert finished.tasks.get(step="NOOP").status == TaskStatus.UPSTREAM_FAILED


@pytest.mark.fault(25)
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_that_no_database_may_hold_is_told_nevertheless(silent: None, kind):
    finished = run("hostile.ERROR", payload={"kind": kind})
    failed = finished.tasks.get()
    assert failed.failures == 1
    assert failed.error == ERRORS[kind][1]
    assert failed.traceback.rstrip().endswith(ERRORS[kind][1])


@pytest.mark.fault(25)
def test_an_error_of_ten_megabytes_is_cut():
    failed = run("hostile.ERROR", payload={"kind": "10 MB"}).tasks.get()
    assert failed.failures == 1
    assert failed.error.startswith("ValueError: xxx")
    assert len(failed.error) <= 10_000
    assert len(failed.traceback) < 70_000


@pytest.mark.fault(25)
@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_that_no_database_may_hold_is_refused(kind):
    factories.make_workflow(factories.definition("hostile.FLOW", "NOOP"))
    body = f'{{"payload": {PAYLOADS[kind]}}}'
    response = api().post(f"{API}/workflows/hostile.FLOW/runs/", body, content_type="application/json")
    # Only what is too large has a status of its own in HTTP.
    assert response.status_code == (413 if kind == "10 MB" else 400), response.content[:500]
    assert 10 < len(response.json()["detail"]) < 500
    assert not Run.objects.exists()


EVIL = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
RIGHT_TO_LEFT = "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe"
NAME = f"{RIGHT_TO_LEFT}<script>alert(1)</script>"
LONG = "y" * MANY


class Markup(Page):
    """What a browser makes of a page: its elements, and the text that turns its neighbours around."""

    #: Their text has no neighbours: each is isolated, or has lines of its own.
    ISOLATED = frozenset({"bdi", "title", "option", "textarea", "pre", "text", "script"})

    def __init__(self, source: str) -> None:
        self.open: list[str] = []
        self.opened = False
        self.astray: list[str] = []
        super().__init__(source)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        self.opened = tag == "div"
        if tag not in {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.opened = False
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        # A block isolates what begins it, as far as the override is concerned: it ends with its block.
        if "\N{RIGHT-TO-LEFT OVERRIDE}" in data and not self.opened and not self.ISOLATED & set(self.open):
            self.astray.append(data.strip()[:80])
        self.opened = False


@pytest.fixture
def hostile_run() -> Run:
    """A run whose every text is hostile or far too long; what a task returns has gone through the engine."""
    workflow = factories.make_workflow(
        factories.definition(
            "hostile.FLOW",
            factories.step(NAME, task="hostile.GIVE"),
            factories.step("E", task="ECHO"),
            description=EVIL + LONG,
            source=EVIL + LONG,
        )
    )
    payload = {"value": {EVIL: EVIL, "to left": RIGHT_TO_LEFT, "long": "z" * 40_000}, "long": LONG}
    finished = testing.run_workflow(workflow.name, payload, comment=EVIL + RIGHT_TO_LEFT)
    first = finished.tasks.get(step=NAME)
    assert first.result == payload["value"]
    # The payload comes back from ECHO, which is more than a result may be.
    assert (finished.status, finished.tasks.get(step="E").failures) == (RunStatus.FAILED, 1)
    Run.objects.filter(pk=finished.pk).update(error=EVIL + RIGHT_TO_LEFT + LONG)
    Task.objects.filter(pk=first.pk).update(
        error=EVIL + RIGHT_TO_LEFT + LONG, traceback=EVIL + LONG, reason=EVIL[:60], worker=NAME, queue=NAME
    )
    return finished


@pytest.mark.fault(29)
def test_hostile_texts_are_text_and_cut_on_every_page(hostile_run):
    client = Client()
    client.force_login(factories.make_admin())
    first = hostile_run.tasks.get(step=NAME)
    for url in (
        *(address(f"{model}_changelist") for model in ("run", "task", "workflow")),
        *(address(f"run_{page}", hostile_run.pk) for page in ("change", "retry", "relaunch", "history")),
        address("task_change", first.pk),
        address("workflow_change", hostile_run.workflow_id),
        address("workflow_run", hostile_run.workflow_id),
    ):
        response = client.get(url)
        assert response.status_code == 200, url
        page = text(response)
        assert "alert(1)</script>" not in page, url
        assert "<img src=x" not in page, url
        markup = Markup(page)
        assert markup.forbidden == [], url
        assert markup.astray == [], url
        assert len(page) < 400_000, url


@pytest.mark.fault(29)
def test_hostile_texts_come_through_the_api_as_json(hostile_run):
    client = api()
    first = hostile_run.tasks.get(step=NAME)
    for path in (
        *("workflows/", "workflows/hostile.FLOW/", "runs/", f"runs/{hostile_run.pk}/"),
        *(f"runs/{hostile_run.pk}/tasks/", f"runs/{hostile_run.pk}/graph/", f"tasks/{first.pk}/"),
    ):
        response = client.get(f"{API}/{path}")
        assert response.status_code == 200, path
        assert response["Content-Type"] == "application/json", path
        assert response["X-Content-Type-Options"] == "nosniff", path
        json.loads(response.content)
        # Django REST framework's own page for people who try the API in a browser.
        page = text(client.get(f"{API}/{path}", headers={"Accept": "text/html"}))
        assert "alert(1)</script>" not in page, path
        assert "<img src=x" not in page, path
    shown = client.get(f"{API}/tasks/{first.pk}/").json()
    assert (shown["step"], shown["result"]) == (NAME, first.result)
    assert "zzz" not in text(client.get(f"{API}/runs/")), "a list of runs carries no payload and no result"


@pytest.mark.fault(29)
def test_hostile_payloads_start_and_long_ones_are_refused_by_either_door():
    workflow = factories.make_workflow(factories.definition("hostile.FLOW", "ECHO"))
    payload = {EVIL: RIGHT_TO_LEFT}
    client = api()
    started = client.post(f"{API}/workflows/{workflow.name}/runs/", {"payload": payload}, format="json")
    assert (started.status_code, started.json()["payload"]) == (201, payload)
    browser = Client()
    browser.force_login(client.handler._force_user)
    submitted = browser.post(
        address("workflow_run", workflow.pk), {"payload": json.dumps(payload), "comment": EVIL}
    )
    assert submitted.status_code == 302
    assert Run.objects.filter(payload=payload).count() == 2
    too_long = json.dumps({"a": LONG, "b": "x" * 100_000})
    refused = client.post(
        f"{API}/workflows/{workflow.name}/runs/", f'{{"payload": {too_long}}}', content_type="application/json"
    )
    assert refused.status_code == 400
    shown = browser.post(address("workflow_run", workflow.pk), {"payload": too_long})
    assert shown.status_code == 400
    assert "the limit is 1,048,576" in text(shown)
    assert Run.objects.count() == 2
