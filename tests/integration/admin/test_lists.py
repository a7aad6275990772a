import html
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from django_director.admin import filters, task_filters
from django_director.admin.base import BoundedPaginator
from django_director.definitions import Schedule
from django_director.models import Run, Task
from django_director.presentation import search
from django_director.sync import versions
from tests import factories
from tests.integration.admin.pages import address, order, text

pytestmark = pytest.mark.django_db


def queries(client, url):
    with CaptureQueriesContext(
        connection,
    ) as caught:
        assert client.get(url).status_code == 200
    return [query["sql"] for query in caught.captured_queries]


def listed(client, **parameters):
    response = client.get(address("run_changelist"), parameters)
    assert response.status_code == 200
    return {run.pk for run in response.context["cl"].result_list}


@pytest.mark.parametrize("page", ["run_changelist", "task_changelist", "workflow_changelist"])
def test_the_number_of_queries_does_not_grow_with_the_rows(page, operator):
    workflow = order()
    factories.make_run(workflow, "failed", {"FETCH": "success", "STOCK": "failed"}, user=operator.user)
    factories.make_run(workflow, "success", user=operator.user)
    queries(operator, address(page))
    few = len(queries(operator, address(page)))
    for number in range(49):
        factories.make_run(order(f"shop.N{number}"), "success", user=operator.user)
    assert len(queries(operator, address(page))) == few


def test_no_payload_is_read_for_a_list(operator):
    factories.make_run(payload={"order": 7})
    for sql in queries(operator, address("run_changelist")):
        assert '"payload"' not in sql
        assert "`payload`" not in sql


def test_a_run_in_the_list(operator):
    run = factories.make_run(
        order(), "failed", {"FETCH": "success", "STOCK": "failed", "PRICE": "success"}, user=operator.user
    )
    page = text(operator.get(address("run_changelist")))
    for shown in ("shop.ORDER", str(run.pk)[:13], "failed", "1.5 s", "3 / 4", "olga", "manual"):
        assert shown in page


def test_paused_and_canceling_runs_are_shown_as_such(operator):
    factories.make_run(stop="cancel")
    assert "canceling" in text(operator.get(address("run_changelist")))


def test_search(operator):
    given = {"comment": "for Ms Grün", "idempotency_key": "order-7", "user": operator.user}
    one = factories.make_run(order("shop.ORDER"), **given)
    other = factories.make_run(order("shop.ORDERS"), idempotency_key="order-77")
    assert listed(operator) == {one.pk, other.pk}
    assert listed(operator, q=str(one.pk)) == {one.pk}
    assert listed(operator, q=one.pk.hex[:20]) == {one.pk} or one.pk.hex[:20] == other.pk.hex[:20]
    assert listed(operator, q="shop.ORDERS") == {other.pk}
    assert listed(operator, q="op.ord") == {one.pk, other.pk}
    assert listed(operator, q="order-7") == {one.pk}
    assert listed(operator, q="ms gr") == listed(operator, q="grün for") == {one.pk}
    assert listed(operator, q=operator.user.username) == {one.pk}
    assert listed(operator, q="nothing like that") == set()
    assert listed(operator, q="%") == set()


def test_words_of_an_error_find_its_runs_for_those_who_may_read_it(operator, viewer):
    run = factories.make_run(order(), "failed", error="STOCK: ValueError: no such card 4111")
    factories.make_run(order(), "failed", error="STOCK: ValueError: x")
    assert listed(operator, q="SUCH card") == listed(operator, q="card valueerror") == {run.pk}
    assert listed(operator, q="card elsewhere") == set()
    assert listed(operator, q="card%4111") == set()
    assert listed(viewer, q="such card") == set()


def test_an_item_is_found_as_pages_name_it(operator):
    definition = factories.definition("img.SIZE", factories.mapped("ALL", "ONE"), "END")
    run = factories.make_run(factories.make_workflow(definition))
    items = [factories.make_task(run, 2, "success", map_index=index) for index in range(3)]
    found = operator.get(address("task_changelist"), {"q": "ONE[1]"}).context["cl"].result_list
    assert [task.pk for task in found] == [items[1].pk]
    for text_of_none in ("ONE[3]", "ALL[1]", "NONE[1]", "ONE[]", "ONE[99999999999999999999]"):
        assert not operator.get(address("task_changelist"), {"q": text_of_none}).context["cl"].result_list


def seen_in_full(user, action, workflow=None):
    return action != "view_payload" or workflow is None or workflow.name == "other.FLOW"


def test_by_rules_of_its_own_a_site_searches_only_errors_that_a_user_may_read(settings, client_of):
    settings.DIRECTOR = {"AUTHORIZE": f"{__name__}.seen_in_full"}
    factories.make_run(order(), "failed", error="STOCK: ValueError: card 4111")
    run = factories.make_run(order("other.FLOW"), "failed", error="STOCK: ValueError: card 4111")
    assert listed(client_of(), q="4111") == {run.pk}


def test_only_the_newest_errors_and_comments_are_searched(operator, monkeypatch):
    monkeypatch.setattr(search, "ERRORS_SEARCHED", 1)
    monkeypatch.setattr(search, "COMMENTS_SEARCHED", 1)
    factories.make_run(order(), "failed", error="A: the old one", comment="by the old hand")
    newest = factories.make_run(order(), "failed", error="A: the new one", comment="by the new hand")
    assert listed(operator, q="one") == listed(operator, q="hand") == {newest.pk}
    assert listed(operator, q="the old") == set()


def test_a_user_and_a_key_are_found_however_many_comments_have_the_word(operator, monkeypatch):
    monkeypatch.setattr(search, "MATCHES", 3)
    of_user = factories.make_run(user_name="anna")
    with_key = factories.make_run(idempotency_key="anna")
    for _ in range(4):
        factories.make_run(comment="for anna")
    assert {of_user.pk, with_key.pk} < listed(operator, q="anna")


def test_a_prefix_of_an_id_finds_its_runs(operator):
    one = factories.make_run()
    assert listed(operator, q=str(one.pk)[:8]) == {one.pk}
    assert listed(operator, q="0123abcd") == set()


def test_filters(operator):
    failed = factories.make_run(order(), "failed", trigger="api")
    running = factories.make_run(order("other.FLOW"))
    assert listed(operator, status__exact="failed") == {failed.pk}
    paused = factories.make_run(failed.workflow, "running", paused_at=timezone.now())
    assert listed(operator, status__exact="paused") == {paused.pk}
    assert paused.pk not in listed(operator, status__exact="running")
    assert listed(operator, trigger__exact="api") == {failed.pk}
    assert listed(operator, workflow__id__exact=running.workflow_id) == {running.pk}


def test_runs_of_a_user_and_of_some_days(operator):
    mine = factories.make_run(order(), user=operator.user)
    old = factories.make_run(order(), created_at=timezone.now() - timedelta(days=40))
    assert listed(operator, user=operator.user.username) == {mine.pk}
    assert listed(operator, user="nobody") == set()
    day = (timezone.now() - timedelta(days=30)).date().isoformat()
    assert listed(operator, created_at__gte=day) == {mine.pk}
    assert listed(operator, created_at__gte="", created_at__lt=day) == {old.pk}
    page = text(operator.get(address("run_changelist"), {"created_at__gte": day, "status__exact": "running"}))
    assert '<input type="hidden" name="status__exact" value="running">' in page
    assert f'<input type="date" name="created_at__gte" value="{day}">' in page


def test_runs_that_wait_for_the_user_or_for_another_attempt(client_of):
    client = client_of(*factories.VIEW, "approve_task")
    flow = factories.make_workflow(factories.definition("shop.SIGN", factories.approval("SIGN")))
    parent, child = factories.make_run(order()), factories.make_run(flow)
    Run.objects.filter(pk=child.pk).update(parent_task=parent.tasks.first())
    now = timezone.now()
    child.tasks.update(status="waiting", asked_at=now, sequence=1, started_at=now)
    again = factories.make_run(order(), tasks={"FETCH": "waiting"})
    again.tasks.filter(step="FETCH").update(not_before=now, failures=1)
    factories.make_run(order(), tasks={"FETCH": "waiting"})
    assert listed(client, waits="you") == {parent.pk}
    assert listed(client, waits="you", place="all") == {parent.pk, child.pk}
    assert listed(client, retrying="1") == {again.pk}
    assert listed(client_of(*factories.VIEW, name="bob"), waits="you") == set()


def test_a_filter_offers_a_bounded_number_of_workflows(operator, monkeypatch):
    monkeypatch.setattr(filters, "WORKFLOWS_OFFERED", 1)
    for name in ("a.FIRST", "b.SECOND"):
        run = factories.make_run(order(name))
    page = text(operator.get(address("run_changelist"), {"workflow__id__exact": run.workflow_id}))
    assert "<strong><bdi>b.SECOND</bdi></strong>" in page
    assert page.count("workflow__id__exact=") >= 2


@pytest.mark.parametrize(("status", "column"), [("queued", "next_dispatch_at"), ("running", "lease_until")])
def test_active_tasks_are_listed_with_the_condition_of_their_index(operator, status, column):
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "queued", "PRICE": "running"})
    url = f"{address('task_changelist')}?status__exact={status}"
    rows = [sql for sql in queries(operator, url) if "FROM" in sql and "django_director_task" in sql]
    assert rows
    assert all(f"{column}{connection.ops.quote_name('x')[0]} IS NOT NULL" in sql for sql in rows)
    found = operator.get(url).context["cl"].result_list
    assert {task.pk for task in found} == {run.tasks.get(status=status).pk}


def test_a_wrong_filter_is_no_error_page(operator):
    factories.make_run()
    for parameters in ({"status__exact": "nonsense"}, {"q": "\x00"}, {"p": "99999"}, {"o": "abc"}):
        assert operator.get(address("run_changelist"), parameters, follow=True).status_code == 200


def test_the_last_runs_of_a_workflow_are_a_strip(operator):
    workflow = order()
    for status in ("failed", *["success"] * 19, "canceled"):
        factories.make_run(workflow, status)
    factories.make_run(order("other.FLOW"), "running")
    page = text(operator.get(address("workflow_changelist")))
    strips = [part.partition("</td>")[0] for part in page.split('<span class="director-strip">')[1:]]
    assert [strip.count("<a ") for strip in strips] == [1, 20]
    assert strips[1].count('class="director-success"') == 19
    assert "director-failed" not in strips[1]
    assert strips[1].rindex("director-canceled") > strips[1].rindex("director-success")


def test_a_workflow_in_the_list(operator):
    workflow = factories.make_workflow(
        factories.definition("shop.ORDER", description="Ships <b>orders</b>\nand more")
    )
    ago = timezone.now() - timedelta(hours=3)
    for number, status in enumerate(("success", "success", "canceled", "failed", "failed")):
        taken = {"started_at": ago, "finished_at": ago + timedelta(seconds=60 * (number + 1))}
        factories.make_run(workflow, status, **taken)
    page = text(operator.get(address("workflow_changelist")))
    assert "Ships &lt;b&gt;orders&lt;/b&gt;" in page
    for shown in ("50 %", "2 failures in a row", "1 min 30 s", "95 % within 1 min 57 s", "last success"):
        assert shown in page, shown
    heights = [
        float(height) for height in re.findall(r'<rect x="1" y="[\d.]+" width="\d+" height="([\d.]+)"', page)
    ]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_the_list_of_workflows_takes_twelve_queries_at_most(operator, admin_client):
    for number in range(3):
        factories.make_run(order(f"shop.N{number}"), "success")
    queries(admin_client, address("workflow_changelist"))
    assert len(queries(admin_client, address("workflow_changelist"))) <= 12


def test_a_schedule_is_switched_in_the_list_which_keeps_its_filters(client_of):
    every = factories.definition("shop.ORDER", schedules=(Schedule(kind="interval", value="60"),))
    versions.store([every])
    client = client_of("view_workflow", "change_workflow", "run_workflow")
    url = address("workflow_changelist") + "?is_active__exact=1"
    (button,) = re.findall(r'formaction="([^"]+)" name="to" value="off"', text(client.get(url)))
    answer = client.post(html.unescape(button), {"to": "off"})
    assert answer.url == url
    assert not PeriodicTask.objects.get().enabled
    assert 'value="on"' in text(client.get(url))
    assert "formaction" not in text(client_of("view_workflow", name="bob").get(url))


def test_tasks_are_found_by_run_step_and_name(operator):
    run = factories.make_run(order())
    factories.make_run(factories.make_workflow(factories.definition("a.B", "OTHER")))
    for term in (str(run.pk), "STOCK"):
        rows = operator.get(address("task_changelist"), {"q": term}).context["cl"].result_list
        assert {task.run_id for task in rows} == {run.pk}, term


def test_failed_tasks_of_a_workflow_are_looked_for_among_the_newest(operator, monkeypatch):
    wanted = factories.make_run(order(), tasks={"FETCH": "failed"})
    chosen = {"status__exact": "failed", "run__workflow__id__exact": wanted.workflow_id}

    def found():
        response = operator.get(address("task_changelist"), chosen)
        assert "Looked for among the newest" in text(response)
        return {task.run_id for task in response.context["cl"].result_list}

    assert found() == {wanted.pk}
    monkeypatch.setattr(task_filters, "SEARCHED", 1)
    assert found() == {wanted.pk}
    factories.make_run(order("other.FLOW"), tasks={"FETCH": "failed"})
    assert found() == set()


def test_the_paginator_counts_no_further_than_its_limit(monkeypatch):
    for _ in range(3):
        factories.make_run()
    monkeypatch.setattr(BoundedPaginator, "limit", 2)
    assert BoundedPaginator(Run.objects.order_by("pk"), 1).count == 2
    assert Paginator(Run.objects.order_by("pk"), 1).count == 3


@pytest.mark.parametrize(("runs", "said"), [(2, "2 runs"), (3, "more than 2 runs")])
def test_a_list_that_is_longer_than_what_is_counted_says_so(operator, monkeypatch, runs, said):
    monkeypatch.setattr(BoundedPaginator, "limit", 2)
    workflow = order()
    for _ in range(runs):
        factories.make_run(workflow)
    assert re.search(rf"\n{said}\n", text(operator.get(address("run_changelist"))))
    found = text(operator.get(address("run_changelist"), {"q": workflow.name}))
    assert f"{said.replace(' runs', ' results')} (" in found


@pytest.mark.parametrize("separated", [False, True])
def test_numbers_in_lists_are_whole_whatever_the_settings(operator, settings, monkeypatch, separated):
    settings.USE_THOUSAND_SEPARATOR = separated
    monkeypatch.setattr(BoundedPaginator, "limit", 1)
    for _ in range(2):
        factories.make_run()
    assert ("more than 1 runs" in text(operator.get(address("run_changelist")))) is not separated


def test_the_newest_tasks_come_first(operator):
    workflow = order()
    runs = [factories.make_run(workflow) for _ in range(3)]
    listed = [task.run_id for task in operator.get(address("task_changelist")).context["cl"].result_list]
    assert list(dict.fromkeys(listed)) == [run.pk for run in reversed(runs)]
    # By a click on the column: the oldest first, then the newest.
    columns = operator.get(address("task_changelist")).context["cl"].list_display
    number = columns.index("run_id_short")
    for sign, expected in (("", runs), ("-", runs[::-1])):
        page = operator.get(address("task_changelist"), {"o": f"{sign}{number}"})
        listed = [task.run_id for task in page.context["cl"].result_list]
        assert list(dict.fromkeys(listed)) == [run.pk for run in expected]


def test_nobody_adds_changes_or_deletes_rows(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root"))
    run = factories.make_run()
    rows = {"workflow": run.workflow_id, "run": run.pk, "task": run.tasks.first().pk}
    for model, pk in rows.items():
        assert client.get(address(f"{model}_add")).status_code == 403
        assert client.get(address(f"{model}_delete", pk)).status_code == 403
        assert client.post(address(f"{model}_change", pk), {"status": "success"}).status_code == 403
        page = client.get(address(f"{model}_changelist"))
        assert "delete_selected" not in text(page)


@pytest.mark.parametrize("model", ["workflow", "run", "task"])
def test_each_list_asks_for_its_permission(model, client_of):
    assert client_of(name="bob").get(address(f"{model}_changelist")).status_code == 403
    assert client_of(f"view_{model}").get(address(f"{model}_changelist")).status_code == 200


def only_other(user, action, workflow=None):
    return workflow is None or workflow.name == "other.FLOW"


def test_a_project_may_hide_workflows(settings, client_of):
    settings.DIRECTOR = {"AUTHORIZE": f"{__name__}.only_other"}
    hidden, shown = factories.make_run(order()), factories.make_run(order("other.FLOW"))
    client = client_of()
    assert listed(client) == {shown.pk}
    assert client.get(address("run_change", hidden.pk), follow=True).redirect_chain
    assert client.get(address("run_live", hidden.pk)).status_code == 404
    assert "shop.ORDER" not in text(client.get(address("workflow_changelist")))


def test_the_list_of_runs_tells_why_only_as_far_as_the_user_may_know(operator, viewer):
    factories.make_run(order(), "failed", error="STOCK: ValueError: card 4111", comment="for \u202eMia")
    seen = text(operator.get(address("run_changelist")))
    assert "STOCK: ValueError: card 4111" in seen
    assert "\u202e" not in seen
    page = text(viewer.get(address("run_changelist")))
    assert "STOCK: ValueError" in page
    assert "4111" not in page


def test_no_column_of_a_list_is_a_raw_field_that_may_be_hidden():
    # Django takes a model's field before a method of the admin that has its name.
    for model, hidden in (
        (Run, {"error", "payload", "comment"}),
        (Task, {"error", "reason", "traceback", "result"}),
    ):
        columns = set(admin.site._registry[model].get_list_display(None))
        assert not columns & hidden


@pytest.mark.parametrize("ended", ["zzz", "9999-12-31T23", "999999999999h", "0000-00-00T00", "\x00"])
def test_a_wrong_time_matches_nothing(ended, operator):
    factories.make_run(order(), "failed")
    response = operator.get(address("run_changelist"), {"ended": ended}, follow=True)
    assert response.status_code == 200
    if "\x00" not in ended:
        assert list(response.context["cl"].result_list) == []


def test_filters_stand_above_the_list_and_say_what_is_chosen(operator):
    factories.make_run(order(), "failed")
    page = text(operator.get(address("run_changelist"), {"status__exact": "failed"}))
    assert "<strong><bdi>failed</bdi></strong>" in page
    assert "Clear all filters" in page
    assert 'id="changelist-filter"' not in page
    assert "<h1>Runs</h1>" in page


@pytest.mark.parametrize("has_zones", [True, False])
def test_a_time_says_how_long_ago_it_was_and_in_full_when(operator, settings, has_zones):
    settings.USE_TZ, settings.TIME_ZONE = has_zones, "Europe/Paris"
    at = (timezone.now() - timedelta(minutes=3)).replace(microsecond=0)
    factories.make_run(order(), "success", started_at=at, created_at=at)
    local = timezone.localtime(at) if has_zones else timezone.make_aware(at)
    with timezone.override("Europe/Paris"):
        for page in ("run_changelist", "app_list"):
            where = reverse("admin:app_list", args=["django_director"]) if page == "app_list" else address(page)
            assert text(operator.get(where)).count("Europe/Paris") >= 1
        shown = text(operator.get(address("run_changelist")))
    assert (
        f'<time datetime="{local.isoformat()}" title="{local:%Y-%m-%d %H:%M:%S} Europe/Paris" data-ago>' in shown
    )
    assert "3 min ago · " in shown
    assert "Times are in the time zone Europe/Paris." in shown
