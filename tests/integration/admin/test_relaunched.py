"""What pages tell of a run that was relaunched: on its own page, before a retry, and on the overview."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from django_director import engine
from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import Page, address, messages, order, text
from tests.integration.admin.test_overview import failed, overview, well

pytestmark = pytest.mark.django_db


def relaunched(run, status="success", **fields):
    """A run that was relaunched from ``run``, ended by now unless it is active."""
    return factories.make_run(run.workflow, status, trigger="relaunch", relaunched_from=run, **fields)


def line(page):
    """What stands below the headline of a run of the runs that were relaunched from it, without its tags."""
    found = re.search(r'<p[^>]* data-field="relaunches">(.*?)</p>', page, re.DOTALL)
    return found and " ".join(re.sub(r"<[^>]*>", " ", found[1]).split())


def short(run):
    return str(run.pk)[:13]


# The page of the old run


def test_the_page_names_the_runs_that_were_relaunched_from_it(viewer):
    run = failed("STOCK: OSError: x")
    assert line(text(viewer.get(address("run_change", run.pk)))) is None
    first = relaunched(run, "failed", created_at=timezone.now() - timedelta(hours=2))
    second = relaunched(run, created_at=timezone.now() - timedelta(minutes=3))
    page = text(viewer.get(address("run_change", run.pk)))
    told = line(page)
    assert re.search(rf"^Relaunched 3 min ago · [\d:]+ as {short(second)} : success", told)
    assert re.search(rf"Relaunched 2 h ago · .* as {short(first)} : failed$", told)
    for new in (first, second):
        assert f'href="{address("run_change", new.pk)}"' in page
    assert line(text(viewer.get(address("run_change", second.pk)))) is None


def test_the_page_names_a_few_of_many(viewer):
    run = failed("STOCK: OSError: x")
    for _ in range(5):
        new = relaunched(run)
    told = line(text(viewer.get(address("run_change", run.pk))))
    assert told.count("Relaunched") == 3
    assert short(new) in told
    assert told.endswith("and more")


def test_once_a_relaunch_has_succeeded_no_button_stands_out(operator):
    def is_primary():
        page = text(operator.get(address("run_change", run.pk)))
        return 'class="button">Retry failed…' in page

    run = failed("STOCK: OSError: x")
    relaunched(run, "failed")
    assert is_primary()
    relaunched(run)
    assert not is_primary()


def test_a_relaunch_that_works_is_told_so(viewer):
    run = failed("STOCK: OSError: x")
    relaunched(run, "running", stop="cancel")
    assert "canceling" in line(text(viewer.get(address("run_change", run.pk))))


@pytest.mark.parametrize("way", ["relaunch", "relaunch_with_changes"])
def test_a_relaunch_stands_in_the_events_and_in_the_history_of_the_old_run(operator, way):
    run = factories.make_run(order(), "failed", {"STOCK": "failed"})
    operator.post(address(f"run_{way}", run.pk), {"payload": "{}", "comment": ""})
    new = Run.objects.get(relaunched_from=run)
    events = text(operator.get(address("run_change", run.pk), {"tab": "events"})).split('id="events"')[1]
    row = re.search(r"<tr>(?:(?!</tr>).)*Relaunched as.*?</tr>", events, re.DOTALL)[0]
    assert f'href="{address("run_change", new.pk)}"' in row
    assert "olga" in row
    assert "running" in row
    assert events.count("Relaunched as") == 1, "not once more from Django's history"
    assert f"Relaunched as {new.pk} (admin)" in text(operator.get(address("run_history", run.pk)))


def test_a_relaunch_of_nobody_stands_in_the_events_too(viewer):
    run = factories.make_run(order(), "failed", {"STOCK": "failed"})
    engine.relaunch(run)
    events = text(viewer.get(address("run_change", run.pk), {"tab": "events"})).split('id="events"')[1]
    assert "Relaunched as" in events


def test_what_the_history_tells_of_a_run_that_is_gone_stays_in_the_events(operator):
    run = factories.make_run(order(), "failed", {"STOCK": "failed"})
    new = engine.relaunch(run, user=operator.user)
    Run.objects.filter(pk=new.pk).delete()
    events = text(operator.get(address("run_change", run.pk), {"tab": "events"})).split('id="events"')[1]
    assert f"Relaunched as {new.pk}" in events


def test_hostile_names_stay_text(operator):
    evil = "<script>alert(1)</script>\u202e"
    run = failed("STOCK: OSError: x", order(evil))
    relaunched(run, user_name=evil)
    for query in ({}, {"tab": "events"}):
        page = text(operator.get(address("run_change", run.pk), query))
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert Page(page).forbidden == []


# Before a retry


def test_before_a_retry_the_page_warns(operator):
    run = factories.make_run(order(), "failed", {"STOCK": "failed"})
    assert "relaunched" not in text(operator.get(address("run_retry", run.pk)))
    new = relaunched(run)
    task = run.tasks.get(step="STOCK")
    for page, who in (("run_retry", "It"), ("task_rerun", "Its run"), ("task_skip", "Its run")):
        shown = text(operator.get(address(page, run.pk if page == "run_retry" else task.pk)))
        link = f'<a href="{address("run_change", new.pk)}"><code>{short(new)}</code></a>'
        assert f"{who} was relaunched as {link} (success): what has run there runs again here." in shown
    assert "was relaunched" not in text(operator.get(address("run_relaunch", run.pk)))


def test_before_a_retry_of_many_the_page_warns(operator):
    runs = [failed("STOCK: OSError: x", order("shop.ORDER")) for _ in range(3)]
    for _ in range(2):
        relaunched(runs[0], "failed")
    relaunched(runs[1], "running")
    data = {"action": "retry_runs", "_selected_action": [str(run.pk) for run in runs]}
    page = text(operator.post(address("run_changelist"), data))
    assert "2 of these runs were relaunched: what has run there runs again here." in page
    data = {"action": "relaunch_runs", "_selected_action": [str(run.pk) for run in runs]}
    assert "were relaunched" not in text(operator.post(address("run_changelist"), data))


# The overview


def test_a_failure_that_a_relaunch_has_repaired_does_not_count(operator):
    well()
    run = failed("STOCK: OSError: x")
    new = relaunched(run, "running")
    page = overview(operator)
    assert "1 run has failed in the last 24 hours" in page
    Run.objects.filter(pk=new.pk).update(status="success", finished_at=timezone.now())
    page = overview(operator)
    assert "All is well" in page
    assert "1 failed run was relaunched, and the new run succeeded." in page
    assert "Retry…" not in page


def test_of_a_cause_only_what_is_not_repaired_counts(operator):
    workflow = order()
    runs = [failed("STOCK: OSError: x", workflow) for _ in range(4)]
    repaired = runs[0]
    relaunched(repaired)
    relaunched(runs[1], "failed", error="PRICE: KeyError: y")
    page = overview(operator)
    assert "4 runs have failed in the last 24 hours" in page, "three of these, and the relaunch that failed"
    (link,) = set(re.findall(r'href="([^"]*cause=[^"]*)"[^>]*>3 runs', page))
    listed = operator.get(link.replace("&amp;", "&")).context["cl"].result_list
    assert {run.pk for run in listed} == {run.pk for run in runs[1:]}
    key = re.search(r"cause=(\w+)", link)[1]
    many = text(operator.get(address("run_many_retry"), {"cause": key}))
    assert str(runs[1].pk) in many
    assert str(repaired.pk) not in many


def test_the_numbers_lead_to_lists_with_as_many_runs(operator):
    workflow = order()
    runs = [failed("STOCK: OSError: x", workflow) for _ in range(5)]
    failed("STOCK: OSError: x", workflow, ago=25 * 3600)
    for run in runs[:2]:
        relaunched(run)
    relaunched(failed("STOCK: OSError: x", workflow, ago=25 * 3600))
    parent = factories.make_run(order("shop.PARENT"))
    relaunched(failed("STOCK: OSError: x", workflow, parent_task=parent.tasks.first()))
    page = overview(operator)
    for number, expected in ((r"3 runs", runs[2:]), (r"2 failed runs were relaunched", runs[:2])):
        (link,) = set(re.findall(rf'href="([^"]*repaired=[^"]*)"[^>]*>{number}', page))
        response = operator.get(link.replace("&amp;", "&"))
        assert {run.pk for run in response.context["cl"].result_list} == {run.pk for run in expected}
    (bar,) = set(re.findall(r'<a href="([^"]*ended=[^"]*)"[^>]*><title>[^<]*5 failed', page))
    assert len(operator.get(bar.replace("&amp;", "&")).context["cl"].result_list) == 5, "a bar tells the outcomes"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_relaunch_of_a_relaunch_repairs_too(operator, steps):
    well()
    run = failed("STOCK: OSError: x")
    for number in range(steps):
        run = relaunched(run, "success" if number == steps - 1 else "failed", error="")
    page = overview(operator)
    assert "All is well" in page
    assert f"{steps} failed run" in page


def test_what_fails_again_after_the_relaunch_has_succeeded_counts(operator):
    run = failed("STOCK: OSError: x", ago=3600)
    at = timezone.now() - timedelta(minutes=30)
    relaunched(run, created_at=at, started_at=at, finished_at=at)
    assert "1 failed run was relaunched" in overview(operator)
    Run.objects.filter(pk=run.pk).update(finished_at=timezone.now() - timedelta(minutes=5), generation=1)
    assert "1 run has failed in the last 24 hours" in overview(operator)


def test_a_filter_that_means_nothing_lists_all(operator):
    failed("STOCK: OSError: x")
    for value in ("", "maybe"):
        response = operator.get(address("run_changelist"), {"repaired": value})
        assert len(response.context["cl"].result_list) == 1


# A payload that does not fit any more


@pytest.fixture
def outgrown():
    """A run whose payload the current schema of its workflow does not accept."""
    run = factories.make_run(order(), "failed", payload={"order": "zebra", "extra": 1})
    properties = {"order": {"type": "integer"}, "customer": {"type": "string"}}
    schema = {"properties": properties, "required": ["customer"], "additionalProperties": False}
    order(schema=schema)
    return run


def test_a_payload_that_does_not_fit_any_more_is_explained_with_a_way_on(operator, outgrown):
    page = text(operator.get(address("run_relaunch", outgrown.pk)))
    assert "The payload of this run does not fit version 2 of the workflow:" in page
    for reason in ("“customer” is missing.", "$.order: Enter a whole number.", "&quot;extra&quot;"):
        assert reason in page
    assert "zebra" not in page
    assert f'<a href="{address("run_relaunch_with_changes", outgrown.pk)}">Relaunch with changes…</a>' in page
    assert 'type="submit"' not in page.split('class="director-form"')[1]


def test_those_who_may_not_see_payloads_learn_what_the_schema_names(client_of, outgrown):
    blind = client_of("view_run", "retry_run", "run_workflow", name="bob")
    page = text(blind.get(address("run_relaunch", outgrown.pk)))
    assert "&quot;customer&quot; is a required property" in page
    assert "$.order: it does not fit `type`" in page
    for hidden in ("zebra", "extra", "relaunch_with_changes"):
        assert hidden not in page
    assert messages(blind.post(address("run_relaunch", outgrown.pk), follow=True))


def test_a_workflow_that_has_left_the_files_can_not_be_relaunched_with_changes_either(operator):
    run = factories.make_run(order(), "failed")
    run.workflow.is_active = False
    run.workflow.save(update_fields=["is_active"])
    page = text(operator.get(address("run_relaunch", run.pk)))
    assert "can&#x27;t be started any more" in page
    assert "relaunch_with_changes" not in page
