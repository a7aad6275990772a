"""People add, change, switch and delete schedules of a workflow in the admin."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import models
from django.db.models.signals import pre_save
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from django_director.admin.payload_form import field_key
from django_director.definitions import Schedule
from django_director.models import Workflow
from django_director.schedules import beat_rows
from django_director.sync import versions
from tests import factories
from tests.integration.admin.pages import address, messages, text

pytestmark = pytest.mark.django_db
SCHEDULE = ("view_workflow", "change_workflow", "run_workflow")
GIVEN = {
    "name": "nightly",
    "kind": "crontab",
    "crontab": "30 2 * * *",
    "timezone": "Europe/Paris",
    "payload": "{}",
}


@pytest.fixture
def workflow() -> Workflow:
    return factories.make_workflow("shop.ORDER")


@pytest.fixture
def planner(client_of: Any) -> Client:
    return client_of(*SCHEDULE, "view_payload", name="paula")


def filled(page: str, given: dict[str, str]) -> dict[str, str]:
    """What a browser sends: what a person has entered, and the hidden fields of the page."""
    hidden = dict(re.findall(r'<input type="hidden" name="(seen|previewed)" value="([^"]*)"', page))
    return given | hidden


def send(client: Client, url: str, given: dict[str, str]) -> Any:
    """Fill the form of a page in, look at the preview, and save."""
    preview = client.post(url, filled(text(client.get(url)), given))
    return client.post(url, filled(text(preview), given))


def add(client: Client, workflow: Workflow, **given: str) -> Any:
    return send(client, address("workflow_schedule_add", workflow.pk), GIVEN | given)


def made(name: str = "nightly") -> PeriodicTask:
    return PeriodicTask.objects.get(name=name)


def history() -> list[str]:
    return list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))


def test_a_schedule_is_added_when_its_next_times_were_seen(workflow: Workflow, planner: Client):
    url = address("workflow_schedule_add", workflow.pk)
    preview = planner.post(url, GIVEN)
    times = preview.context["times"]
    assert len(times) == 5
    # It is half past two in Paris, and half past midnight or half past one in UTC.
    assert all(" 02:30:" in local and re.search(r" 0[01]:30:", utc) for local, utc, _ in times)
    assert "Europe/Paris</th>" in text(preview)
    assert not PeriodicTask.objects.exists()
    answer = planner.post(url, filled(text(preview), GIVEN))
    assert answer.url == address("workflow_change", workflow.pk)
    row = made()
    assert (row.task, json.loads(row.kwargs)) == (beat_rows.TASK, {"name": "shop.ORDER", "payload": {}})
    assert (str(row.crontab.timezone), row.crontab.hour, row.enabled) == ("Europe/Paris", "2", True)
    assert history() == ["Schedule “nightly” added (admin)"]
    page = text(planner.get(address("workflow_change", workflow.pk)))
    assert "nightly" in page
    assert "the admin" in page


def test_a_changed_timing_is_previewed_anew(workflow: Workflow, planner: Client):
    url = address("workflow_schedule_add", workflow.pk)
    seen = filled(text(planner.post(url, GIVEN)), GIVEN)
    again = planner.post(url, seen | {"crontab": "* * * * *"})
    assert again.context["previewed"].startswith("crontab * * * * *")
    assert "You have changed when it is due" in text(again)
    assert "You have changed" not in text(planner.post(url, GIVEN))
    assert not PeriodicTask.objects.exists()


def test_an_interval_and_a_payload(workflow: Workflow, planner: Client):
    add(planner, workflow, kind="interval", interval="1h30m", payload='{"a": 1}')
    row = made()
    assert (row.interval.every, row.interval.period) == (5400, "seconds")
    assert json.loads(row.kwargs)["payload"] == {"a": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"crontab": ""}, "Write when it is due."),
        ({"crontab": "61 * * * *"}, "Minute: 61 is not between 0 and 59."),
        ({"crontab": "0 0 31 2 *"}, "Day 31 never comes in the months it names."),
        ({"crontab": "0 7 * *"}, "A crontab has 5 fields, this one has 4."),
        ({"kind": "interval", "interval": "soon"}, "Write a duration above 0"),
        ({"kind": "interval", "interval": "-1"}, "Write a duration above 0"),
        ({"kind": "interval", "interval": "nan"}, "Write a duration above 0"),
        ({"kind": "interval", "interval": "1e400"}, "Write a duration above 0"),
        ({"kind": "lunar"}, "Select a valid choice"),
        ({"timezone": "Europe/Pariss"}, "Did you mean “Europe/Paris”?"),
        ({"timezone": "../etc/passwd"}, "There is no time zone"),
        ({"payload": "{"}, "Not valid JSON"),
        ({"payload": '{"a": NaN}'}, "NaN is no JSON value"),
        ({"payload": "[" * 50_000}, "nested too deeply"),
        ({"payload": '{"password": "********"}'}, "stands for a value that is hidden"),
        ({"payload": '{"n": "x"}'}, "$.n"),
        ({"payload": '{"a": "\\ud800"}'}, "half a surrogate pair"),
        ({"payload": '{"a": "\\u0000"}'}, "NUL"),
        ({"payload": '{"a": 9223372036854775808}'}, "64 bits"),
        ({"payload": '{"a": ' + "[" * 35 + "]" * 35 + "}"}, "nested"),
        ({"payload": '{"a": 1, "a": 2}'}, "twice"),
        ({"name": "director: shop.ORDER"}, "are those of the workflow files"),
        ({"name": "taken"}, "A periodic task has this name already."),
        ({"name": "a\u202eb"}, "no control characters"),
        ({"name": "x" * 151}, "at most 150 characters"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_errors_are_told_beside_the_field(given: dict[str, str], said: str, planner: Client):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "password": {"type": "string"}}}
    workflow = factories.make_workflow(factories.definition("shop.ORDER", schema=schema))
    add(planner, workflow, name="taken")
    answer = planner.post(address("workflow_schedule_add", workflow.pk), GIVEN | given)
    assert answer.status_code == 400
    form = answer.context["form"]
    errors = [*form.errors.values(), *form.payload_form.errors.values()]
    assert said in "".join(each for found in errors for each in found), errors
    assert PeriodicTask.objects.count() == 1


def test_a_schedule_is_changed_and_keeps_its_secret(workflow: Workflow, planner: Client):
    add(planner, workflow, payload='{"password": "S3CRET", "a": 1}')
    url = address("workflow_schedule_change", workflow.pk, made().pk)
    page = text(planner.get(url))
    assert "S3CRET" not in page
    assert "30 2 * * *" in page
    given = GIVEN | {"crontab": "0 7 * * mon-fri", "payload": '{"password": "********", "a": 2}'}
    assert send(planner, url, given).status_code == 302
    assert json.loads(made().kwargs)["payload"] == {"password": "S3CRET", "a": 2}
    assert (made().crontab.hour, made().crontab.day_of_week) == ("7", "mon-fri")
    assert history()[-1] == "Schedule “nightly” changed (admin)"


ORDER = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer", "default": 3},
        "card": {"type": "string", "format": "password"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    },
    "required": ["amount"],
}
TIMES = {name: value for name, value in GIVEN.items() if name != "payload"}


@pytest.fixture
def described() -> Workflow:
    return factories.make_workflow(factories.definition("shop.ORDER", schema=ORDER))


def test_the_payload_is_entered_in_the_fields_of_the_schema(described: Workflow, planner: Client):
    url = address("workflow_schedule_add", described.pk)
    amount, card, lines = field_key("amount"), field_key("card"), f"rows-{field_key('lines')}"
    page = text(planner.get(url))
    assert re.search(rf'<input type="number" name="{amount}" value="3"', page)
    wrong = planner.post(url, TIMES | {amount: "many", "crontab": ""})
    assert wrong.status_code == 400
    assert "Enter a whole number." in text(wrong)
    assert "Write when it is due." in text(wrong)

    more = planner.post(url, TIMES | {amount: "4", card: "S3CRET", "add": lines, "crontab": ""})
    assert more.status_code == 200
    assert "Secrets are not shown again" in text(more)
    assert "Write when it is due." not in text(more), "a person is still at work"
    assert 'value="4"' in text(more)
    given = TIMES | {amount: "4", card: "S3CRET", lines: "0", field_key("lines", "0", "sku"): "A-1"}
    preview = text(planner.post(url, given))
    assert "S3CRET" not in preview
    assert "Secrets are not shown again" in preview
    assert send(planner, url, given).status_code == 302
    saved = {"amount": 4, "card": "S3CRET", "lines": [{"sku": "A-1"}]}
    assert json.loads(made().kwargs)["payload"] == saved

    url = address("workflow_schedule_change", described.pk, made().pk)
    page = text(planner.get(url))
    assert "S3CRET" not in page
    assert 'value="A-1"' in page
    assert "it keeps its value" in page
    kept = re.search(rf'name="{card}"[^>]*value="([^"]*)"', page)
    assert kept is not None
    assert send(planner, url, given | {card: kept[1], amount: "5"}).status_code == 302
    assert json.loads(made().kwargs)["payload"] == saved | {"amount": 5}


def test_of_two_people_at_once_the_second_is_told(workflow: Workflow, planner: Client):
    add(planner, workflow)
    row = made()
    url, delete = (address(f"workflow_schedule_{verb}", workflow.pk, row.pk) for verb in ("change", "delete"))
    mine, deleting = filled(text(planner.get(url)), GIVEN), filled(text(planner.get(delete)), {})
    send(planner, url, GIVEN | {"crontab": "0 9 * * *"})
    answer = planner.post(url, mine | {"previewed": "crontab 30 2 * * * Europe/Paris"})
    assert "somebody has changed the schedule" in text(answer).lower()
    assert planner.post(delete, deleting).status_code == 409
    assert made().crontab.hour == "9"
    assert planner.post(delete, filled(text(planner.get(delete)), {})).status_code == 302
    assert not PeriodicTask.objects.exists()
    for late in (planner.get(url, follow=True), planner.post(delete, deleting, follow=True)):
        assert "somebody has deleted it" in text(late)
    assert history()[-1] == "Schedule “nightly” deleted (admin)"


def test_schedules_of_the_files_are_only_switched(planner: Client):
    every = factories.definition("shop.ORDER", schedules=(Schedule(kind="interval", value="60"),))
    versions.store([every])
    workflow, row = Workflow.objects.get(), made("director: shop.ORDER")
    page = text(planner.get(address("workflow_change", workflow.pk)))
    assert "the workflow file" in page
    for verb in ("change", "delete"):
        url = address(f"workflow_schedule_{verb}", workflow.pk, row.pk)
        assert f'"{url}"' not in page
        assert planner.get(url).status_code == 404
    before = PeriodicTasks.last_change()
    url = address("workflow_schedule_switch", workflow.pk, row.pk)
    assert planner.get(url).status_code == 405
    answer = planner.post(url, {"to": "off"}, follow=True)
    assert messages(answer) == ["The schedule “director: shop.ORDER” is switched off."]
    assert not made("director: shop.ORDER").enabled
    assert PeriodicTasks.last_change() != before, "beat must read it again"
    assert not versions.store([every]).is_due, "a sync leaves the switch as it is"
    assert "already" in messages(planner.post(url, {"to": "off"}, follow=True))[0]
    planner.post(url, {"to": "on"})
    assert made("director: shop.ORDER").enabled
    assert planner.post(url, {"to": "maybe"}).status_code == 400
    assert history() == [f"Schedule “director: shop.ORDER” switched {to} (admin)" for to in ("off", "on")]


def test_a_workflow_that_has_left_the_files_is_not_switched_on(planner: Client):
    versions.store([factories.definition("shop.ORDER", schedules=(Schedule(kind="interval", value="60"),))])
    versions.store([])
    workflow, row = Workflow.objects.get(), made("director: shop.ORDER")
    assert not row.enabled
    url = address("workflow_schedule_switch", workflow.pk, row.pk)
    assert "has left the workflow files" in messages(planner.post(url, {"to": "on"}, follow=True))[0]
    assert not made("director: shop.ORDER").enabled
    assert planner.get(address("workflow_schedule_add", workflow.pk)).status_code == 404


def test_only_the_names_that_a_sync_makes_are_those_of_the_files(workflow: Workflow, planner: Client):
    add(planner, workflow)
    # Beat's own admin refuses no name.
    PeriodicTask.objects.filter(name="nightly").update(name="director: nightly copy")
    url = address("workflow_schedule_change", workflow.pk, made("director: nightly copy").pk)
    send(planner, url, GIVEN | {"crontab": "45 5 * * *"})
    assert made("director: nightly copy").crontab.hour == "5"


def test_a_name_that_somebody_takes_just_now_is_no_error_page(workflow: Workflow, planner: Client):
    def take(sender: Any, instance: PeriodicTask, **_: Any) -> None:
        pre_save.disconnect(take, sender=PeriodicTask)
        taken = PeriodicTask(name=instance.name, task="other", interval=IntervalSchedule.objects.create(every=9))
        models.Model.save_base(taken, force_insert=True)

    pre_save.connect(take, sender=PeriodicTask)
    try:
        response = add(planner, workflow)
    finally:
        pre_save.disconnect(take, sender=PeriodicTask)
    assert "There is a periodic task “nightly” already" in text(response)


def test_schedules_of_other_workflows_and_tasks_are_not_reached(workflow: Workflow, planner: Client):
    add(planner, workflow)
    other = factories.make_workflow("shop.OTHER")
    row = made()
    for verb in ("change", "delete", "switch"):
        assert (
            planner.post(address(f"workflow_schedule_{verb}", other.pk, row.pk), {"to": "off"}).status_code == 404
        )
    PeriodicTask.objects.update(task="celery.backend_cleanup")
    assert planner.post(address("workflow_schedule_switch", workflow.pk, row.pk), {"to": "off"}).status_code == 404
    assert made().enabled


@pytest.mark.parametrize("missing", ["change_workflow", "run_workflow"])
def test_without_permission_there_is_no_button_and_no_page(
    missing: str, workflow: Workflow, planner: Client, client_of: Any
):
    add(planner, workflow)
    client = client_of(*set(SCHEDULE) - {missing})
    page = text(client.get(address("workflow_change", workflow.pk)))
    assert "nightly" in page
    assert "schedules/" not in page
    assert client.get(address("workflow_schedule_add", workflow.pk)).status_code == 403


def test_a_user_who_may_not_see_payloads_changes_the_time_alone(
    workflow: Workflow, planner: Client, client_of: Any
):
    add(planner, workflow, payload='{"open": "PAYLOAD"}')
    url = address("workflow_schedule_change", workflow.pk, made().pk)
    client = client_of(*SCHEDULE)
    assert "PAYLOAD" not in text(client.get(url))
    send(client, url, GIVEN | {"crontab": "0 9 * * *", "payload": "{}"})
    assert json.loads(made().kwargs)["payload"] == {"open": "PAYLOAD"}
    assert made().crontab.hour == "9"


def test_a_group_of_the_workflow_counts(planner: Client):
    workflow = factories.make_workflow(factories.definition("shop.PAY", allowed_groups=("ops",)))
    assert planner.get(address("workflow_schedule_add", workflow.pk)).status_code == 403


def test_a_post_needs_the_token_of_the_page(workflow: Workflow, client_of: Any):
    client = client_of(*SCHEDULE, enforce_csrf_checks=True)
    assert client.post(address("workflow_schedule_add", workflow.pk), GIVEN).status_code == 403
