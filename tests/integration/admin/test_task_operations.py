"""Rerun from here and Skip on a task's page, and Relaunch with changes on a run's."""

import json
import re

import pytest
from django.contrib.admin.models import LogEntry

from django_director.admin.payload_form import field_key
from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import Page, address, messages, order, text
from tests.integration.admin.test_operations import failed_run

pytestmark = pytest.mark.django_db(transaction=True)


def task_of(run, step):
    return run.tasks.get(step=step)


def buttons(client, task):
    return set(Page(text(client.get(address("task_change", task.pk)))).buttons)


def test_rerun_runs_again_what_the_preview_says(operator):
    run = failed_run()
    task = task_of(run, "STOCK")
    preview = text(operator.get(address("task_rerun", task.pk)))
    assert not Page(preview).forbidden
    assert "1 task will run." in preview
    assert "For 1 more task it is decided anew whether it runs; as things stand it does not." in preview
    assert "2 tasks stay as they are." in preview
    assert "1 of what stays has failed or was canceled, so the run will fail again." in preview
    assert Run.objects.get().generation == 0
    page = operator.post(address("task_rerun", task.pk), follow=True)
    assert page.redirect_chain[-1][0] == address("task_change", task.pk)
    assert messages(page) == ["“STOCK” runs again, and then what comes after it."]
    assert dict(run.tasks.values_list("step", "status")) == {
        "FETCH": "success",
        "STOCK": "queued",
        "PRICE": "failed",
        "SHIP": "pending",
    }
    entries = LogEntry.objects.order_by("pk").values_list("object_id", "change_message")
    assert list(entries) == [(str(task.pk), "Rerun (admin)"), (str(run.pk), "STOCK: Rerun (admin)")]
    assert "Rerun (admin)" in text(operator.get(address("task_history", task.pk)))


@pytest.mark.parametrize("name", ["rerun", "skip"])
def test_what_began_on_the_page_of_the_run_ends_there(operator, name):
    run = failed_run()
    task, there = task_of(run, "PRICE"), address("run_change", run.pk)
    here = address(f"task_{name}", task.pk)
    assert f'action="{here}"><input type="hidden" name="next" value="{there}">' in text(operator.get(there))
    asked = text(operator.get(here, {"next": there}))
    assert f'<input type="hidden" name="next" value="{there}">' in asked
    assert f'class="closelink" href="{there}"' in asked
    assert operator.post(here, {"next": there}).headers["Location"] == there


def test_an_operation_leads_only_to_pages_of_this_site(operator):
    run = failed_run()
    task = task_of(run, "PRICE")
    response = operator.post(address("task_skip", task.pk), {"next": "https://evil.example/"})
    assert response.headers["Location"] == address("task_change", task.pk)
    assert "evil" not in text(operator.get(address("run_retry", run.pk), {"next": "//evil.example/"}))


def test_skip_asks_for_a_comment(operator):
    run = failed_run()
    task = task_of(run, "PRICE")
    preview = text(operator.get(address("task_skip", task.pk)))
    assert "“PRICE” counts as skipped: what comes after it gets nothing from it." in preview
    assert 'name="comment" maxlength="1000"' in preview
    page = operator.post(address("task_skip", task.pk), {"comment": " by <b>hand</b> "}, follow=True)
    assert messages(page) == ["“PRICE” is skipped; the run goes on with what comes after it."]
    task.refresh_from_db()
    assert (task.status, task.reason) == ("skipped", "skipped by olga: by <b>hand</b>")
    assert "<b>hand" not in text(page)
    assert task_of(run, "SHIP").status == "queued"


def test_buttons_follow_the_state(operator, viewer):
    run = failed_run()
    assert buttons(operator, task_of(run, "PRICE")) == {"rerun", "skip"}
    assert buttons(operator, task_of(run, "FETCH")) == {"rerun"}
    assert buttons(viewer, task_of(run, "PRICE")) == set()
    Run.objects.update(status="running", finished_at=None)
    assert buttons(operator, task_of(run, "PRICE")) == set()


def test_the_preview_says_what_stands_for_a_skipped_item(operator):
    steps = factories.mapped("ALL", "ONE", "TWO"), "END"
    run = factories.make_run(factories.make_workflow(factories.definition("img.SIZE", *steps)), "failed")
    run.tasks.filter(step="ALL").update(status="failed", map_count=2, finished_at=run.finished_at)
    first, _, _, last = [
        factories.make_task(run, position, status, map_index=index)
        for index, statuses in enumerate((("failed", "upstream_failed"), ("success", "failed")))
        for position, status in enumerate(statuses, 2)
    ]
    said = [text(operator.get(address("task_skip", task.pk))) for task in (first, last)]
    assert "“ONE[0]” counts as skipped: what comes after it gets nothing from it." in said[0]
    assert "“TWO[1]” counts as skipped: “null” stands in its place in the list of ALL." in said[1]


def test_what_the_state_does_not_allow_is_told_and_is_a_warning(operator):
    run = failed_run()
    task = task_of(run, "SHIP")
    refusal = "it would be upstream_failed again, as long as “PRICE” is failed; rerun that, or retry the run"
    preview = text(operator.get(address("task_rerun", task.pk)))
    assert refusal in preview
    assert 'type="submit"' not in preview.split('class="director-form"')[1].split("</form>")[0]
    page = operator.post(address("task_rerun", task.pk), follow=True)
    assert [message.level_tag for message in page.context["messages"]] == ["warning"]
    assert not LogEntry.objects.exists()


def test_each_asks_for_its_permission_and_the_csrf_token(viewer, client_of):
    task = task_of(failed_run(), "PRICE")
    strict = client_of("view_task", "retry_run", name="bob", enforce_csrf_checks=True)
    for name in ("rerun", "skip"):
        assert viewer.get(address(f"task_{name}", task.pk)).status_code == 403
        assert viewer.post(address(f"task_{name}", task.pk)).status_code == 403
        assert strict.post(address(f"task_{name}", task.pk)).status_code == 403
        assert strict.get(address(f"task_{name}", task.pk)).status_code == 200
    assert Run.objects.get().generation == 0


def test_groups_narrow_who_may(operator):
    task = task_of(failed_run(order(allowed_groups=("ops",))), "PRICE")
    assert operator.get(address("task_skip", task.pk)).status_code == 403
    assert operator.post(address("task_skip", task.pk)).status_code == 403


@pytest.mark.parametrize("name", ["rerun", "skip"])
def test_a_large_run_has_a_short_page(operator, name, django_assert_max_num_queries):
    steps = [f"S{number}" for number in range(1000)]
    flow = factories.make_workflow(factories.definition("big.FLOW", "A", factories.group("G", *steps), "Z"))
    task = task_of(
        factories.make_run(flow, "failed", dict.fromkeys([*steps, "Z"], "success") | {"A": "failed"}), "A"
    )
    with django_assert_max_num_queries(12):
        page = text(operator.get(address(f"task_{name}", task.pk)))
    assert page.count('<th scope="row" class="director-name"') == 200
    assert "more" in page


# Relaunch with changes

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "integer"},
        "note": {"type": "string"},
        "express": {"type": "boolean"},
        "items": {"type": "array"},
        "api_key": {"type": "string"},
    },
}
PAYLOAD = {"order": 7, "express": True, "items": [{"token": "t1"}], "api_key": "secret"}


def with_payload(payload, schema=SCHEMA):
    flow = factories.make_workflow(factories.definition("shop.PAY", "A", schema=schema))
    return factories.make_run(flow, "success", {"A": "success"}, payload=payload)


def submit(client, run, version="", **values):
    data = {
        field_key(name) if name not in ("payload", "comment") else name: value for name, value in values.items()
    }
    return client.post(address("run_relaunch_with_changes", run.pk) + version, data)


def test_it_begins_with_the_payload_without_its_secrets(operator):
    page = text(operator.get(address("run_relaunch_with_changes", with_payload(PAYLOAD).pk)))
    assert not Page(page).forbidden
    assert 'value="7"' in page
    assert re.search(rf'<input type="checkbox" name="{field_key("express")}"[^>]* checked', page)
    assert "secret" not in page
    assert "&quot;t1&quot;" not in page


def test_what_was_not_touched_is_as_it_was_also_the_secrets(operator):
    run = with_payload(PAYLOAD)
    response = submit(
        operator,
        run,
        order="8",
        express="true",
        items='[{"token": "********"}]',
        api_key="********",
        comment="eight",
    )
    new = Run.objects.exclude(pk=run.pk).get()
    assert response["Location"] == address("run_change", new.pk)
    assert new.payload == PAYLOAD | {"order": 8}
    assert (new.comment, new.trigger, new.user, new.relaunched_from) == ("eight", "relaunch", operator.user, run)
    assert set(LogEntry.objects.values_list("object_id", "change_message")) == {
        (str(new.pk), f"Relaunched from {run.pk} (admin)"),
        (str(run.pk), f"Relaunched as {new.pk} (admin)"),
    }


def test_a_mask_that_stands_for_nothing_is_refused(operator):
    run = with_payload(PAYLOAD)
    response = submit(operator, run, order="8", items='[{"token": "********"}, {"token": "********"}]')
    assert response.status_code == 400
    assert "******** stands for a value that is hidden: give it anew" in text(response)
    assert Run.objects.count() == 1


@pytest.mark.parametrize("payload", [{"order": 7, "more": 1}, [1, 2], "text"])
def test_what_the_fields_can_not_show_is_one_text(operator, payload):
    run = with_payload(payload)
    page = operator.get(address("run_relaunch_with_changes", run.pk))
    assert list(page.context["form"].fields) == ["payload", "comment"]
    assert submit(operator, run, payload='{"order": 9}').status_code == 302
    assert Run.objects.exclude(pk=run.pk).get().payload == {"order": 9}


@pytest.mark.parametrize(("name", "value"), [("order", "seven"), ("note", ""), ("note", None), ("express", "yes")])
def test_a_field_that_can_not_show_its_value_takes_json(name, value, operator):
    run = with_payload({"api_key": "secret", name: value})
    form = operator.get(address("run_relaunch_with_changes", run.pk)).context["form"]
    assert len(form.fields) == len(SCHEMA["properties"]) + 1
    assert form[field_key(name)].initial == json.dumps(value)
    good = {"order": 7, "note": "now", "express": True}[name]
    response = submit(operator, run, api_key="********", **{name: json.dumps(good)})
    assert response.status_code == 302
    assert Run.objects.exclude(pk=run.pk).get().payload == {"api_key": "secret", name: good}


def test_errors_stand_beside_their_field(operator):
    run = with_payload(PAYLOAD)
    response = submit(operator, run, order="x")
    assert response.status_code == 400
    assert list(response.context["form"].errors) == [field_key("order")]
    assert Run.objects.count() == 1


def test_the_version_is_chosen_by_a_link(operator):
    run = with_payload({"order": 7})
    factories.make_workflow(factories.definition("shop.PAY", "A", "B", schema={"required": ["size"]}))
    run = Run.objects.get(pk=run.pk)
    page = text(operator.get(address("run_relaunch_with_changes", run.pk)))
    assert "2, the current one" in page
    assert "1, this run&#x27;s" in page or "1, this run's" in page
    response = submit(operator, run, payload='{"order": 7}')
    assert response.status_code == 400
    assert submit(operator, run, "?version=same", order="8").status_code == 302
    assert Run.objects.exclude(pk=run.pk).get().version.number == 1


def test_a_workflow_that_has_left_the_files_has_no_form(operator):
    run = with_payload({})
    run.workflow.is_active = False
    run.workflow.save(update_fields=["is_active"])
    page = text(operator.get(address("run_relaunch_with_changes", run.pk)))
    assert "has left the workflow files" in page
    assert "csrfmiddlewaretoken" not in page.split('id="content"')[1]
    assert submit(operator, run, order="8").status_code == 200
    assert Run.objects.count() == 1


def test_it_needs_the_permission_to_see_payloads(client_of):
    run = with_payload(PAYLOAD)
    blind = client_of("view_run", "retry_run", name="bob")
    assert blind.get(address("run_relaunch_with_changes", run.pk)).status_code == 403
    assert submit(blind, run, order="8").status_code == 403
    assert "relaunch_with_changes" not in text(blind.get(address("run_change", run.pk)))
