import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from django_director.db.functions import Now
from django_director.models import Lease, Run, Task, Worker
from django_director.schedules import beat_rows
from django_director.status import TaskStatus
from tests import factories
from tests.integration.admin.pages import Page, address, order, text

pytestmark = pytest.mark.django_db


def overview(client):
    response = client.get(reverse("admin:app_list", args=["django_director"]))
    assert response.status_code == 200
    return text(response)


def failed(error, workflow=None, ago=60, **fields):
    at = timezone.now() - timedelta(seconds=ago)
    times = {"created_at": at, "started_at": at, "finished_at": at}
    return factories.make_run(workflow or order(), "failed", error=error, **times, **fields)


NOBODY = "No worker takes tasks from queue “heavy”"
CURE = "start one: celery -A … worker -Q heavy"


def well():
    Worker.objects.create(key=1, name="celery@one", started_at=Now(), seen_at=Now(), queues=["celery"])
    Lease.objects.create(name="supervisor", holder="celery@one", until=Now() + timedelta(minutes=1), beat_at=Now())


def test_all_is_well(operator):
    well()
    page = overview(operator)
    assert "All is well: nothing has failed in the last 24 hours." in page
    assert "1 worker" in page
    assert "Waits for you" not in page
    assert f'<a href="{address("workflow_changelist")}">Choose a workflow and run it</a>' in page


def test_what_failed_is_grouped_by_cause_with_since_when_and_the_last_success(operator):
    workflow = order()
    at = timezone.now() - timedelta(hours=3)
    factories.make_run(workflow, "success", created_at=at, started_at=at, finished_at=at)
    for number in range(3):
        failed(f"STOCK: ConnectionError: 503 from 10.0.0.{number}", workflow, ago=600 * (number + 1))
    page = overview(operator)
    assert "3 runs have failed in the last 24 hours" in page
    assert page.count("<strong><bdi>STOCK</bdi></strong>") == 1
    assert "503 from 10.0.0.0" in page, "the newest speaks for all"
    assert re.search(r"since\s+<time[^>]+>30 min ago", page)
    assert re.search(r"last success\s+<time[^>]+>3 h ago", page)
    assert "Retry all 3…" in page


def test_runs_of_one_cause_are_told_apart(operator):
    workflow = order()
    named = failed("STOCK: OSError: x", workflow, comment="for order 4711")
    other = failed("STOCK: OSError: x", workflow)
    page = overview(operator)
    for run, name in ((named, "for order 4711"), (other, str(other.pk)[:13])):
        assert f'href="{address("run_change", run.pk)}"><bdi>{name}</bdi></a>' in page


def test_a_workflow_whose_successes_are_old_has_a_usual_duration(operator):
    workflow = order()
    at = timezone.now() - timedelta(days=90)
    factories.make_run(workflow, "success", created_at=at, started_at=at, finished_at=at + timedelta(seconds=90))
    for _ in range(25):
        failed("STOCK: OSError: x", workflow)
    factories.make_run(workflow)
    assert "of usually 1 min 30 s" in overview(operator)


def test_yesterday_and_child_runs_do_not_count(operator):
    well()
    failed("A: old", ago=25 * 3600)
    parent = factories.make_run(order("shop.PARENT"))
    failed("A: child", parent_task=parent.tasks.first())
    assert "All is well" in overview(operator)


def test_links_lead_to_the_runs_that_are_meant(operator):
    workflow = order()
    meant = [failed(f"STOCK: OSError: {n}", workflow) for n in range(2)]
    failed("STOCK: KeyError: x", workflow)
    page = overview(operator)
    (link,) = set(re.findall(r'href="([^"]*cause=[^"]*)"[^>]*>2 runs', page))
    listed = operator.get(link.replace("&amp;", "&")).context["cl"].result_list
    assert {run.pk for run in listed} == {run.pk for run in meant}
    (bar,) = set(re.findall(r'<a href="([^"]*ended=[^"]*)"[^>]*><title>[^<]*3 failed', page))
    assert len(operator.get(bar.replace("&amp;", "&")).context["cl"].result_list) == 3


def test_what_waits_is_decided_in_place_and_leads_back(client_of):
    client = client_of(*factories.VIEW, "approve_task")
    asked = waiting()
    page = overview(client)
    assert "Ship it?" in page
    here = reverse("admin:app_list", args=["django_director"])
    data = {"asked": asked.sequence, "comment": "fine", "next": here}
    response = client.post(address("task_approve", asked.pk), data)
    assert response.headers["Location"] == here
    asked.refresh_from_db()
    assert asked.status == TaskStatus.SUCCESS


def test_whoever_decides_sees_whose_run_it_is_and_what_happens_else(client_of):
    asked = waiting()
    Task.objects.filter(pk=asked.pk).update(deadline_at=timezone.now() + timedelta(hours=2, minutes=1))
    run = {"comment": "for Edward", "user_name": "eve", "payload": {"amount": 987_654_321}}
    Run.objects.filter(pk=asked.run_id).update(**run)
    client = client_of(*factories.VIEW, "view_payload", "approve_task")
    pages = overview(client), text(client.get(address("task_approve", asked.pk)))
    for page in pages:
        assert "“<bdi>for Edward</bdi>”" in page
        assert "started by eve" in page
        assert re.search(r"until [-\d ]*\d\d:\d\d, then rejected", page)
        assert "&quot;amount&quot;: 987654321" in page
    blind = client_of(*factories.VIEW, "approve_task", name="bob")
    for page in (overview(blind), text(blind.get(address("task_approve", asked.pk)))):
        assert "for Edward" in page
        assert "987654321" not in page


def test_what_waits_for_others_is_not_shown(operator):
    waiting()
    assert "Waits for you" not in overview(operator)


def waiting():
    workflow = factories.make_workflow(
        factories.definition("shop.SHIP", factories.approval("SIGN", prompt="Ship it?"))
    )
    run = factories.make_run(workflow)
    tasks = Task.objects.filter(run=run)
    tasks.update(status=TaskStatus.WAITING, asked_at=timezone.now(), sequence=1, started_at=timezone.now())
    return tasks.get()


def test_a_running_run_tells_what_it_does_and_whether_it_is_late(operator):
    workflow = order()
    at = timezone.now() - timedelta(hours=1)
    for _ in range(4):
        factories.make_run(
            workflow, "success", created_at=at, started_at=at, finished_at=at + timedelta(seconds=90)
        )
    begun = timezone.now() - timedelta(minutes=5)
    run = factories.make_run(workflow, tasks={"FETCH": "running"}, started_at=begun, created_at=begun)
    said = {"done": 37, "total": 50, "message": "shelf B7"}
    Task.objects.filter(run=run, step="FETCH").update(progress=said)
    page = overview(operator)
    assert "FETCH: 37/50 shelf B7" in page
    assert "of usually 1 min 30 s" in page
    assert ">late<" not in page, "four successes can't tell"
    factories.make_run(workflow, "success", created_at=at, started_at=at, finished_at=at + timedelta(seconds=90))
    assert ">late<" in overview(operator)


@pytest.mark.parametrize("field", ["asked_at", "deadline_at"])
def test_a_run_that_waits_for_a_person_or_a_time_is_not_late(operator, field):
    workflow, at = order(), timezone.now() - timedelta(hours=1)
    for _ in range(5):
        factories.make_run(workflow, "success", created_at=at, started_at=at, finished_at=at)
    statuses = {"FETCH": "waiting", "STOCK": "queued"}
    run = factories.make_run(workflow, tasks=statuses, started_at=at, created_at=at)
    assert ">late<" in overview(operator)
    Task.objects.filter(run=run, step="STOCK").update(status="success", finished_at=at)
    Task.objects.filter(run=run, step="FETCH").update(**{field: timezone.now()})
    page = overview(operator)
    assert "of usually" in page
    assert ">late<" not in page


def test_a_run_that_waits_tells_for_what(operator):
    waiting()
    run = factories.make_run(order(), tasks={"FETCH": "queued"})
    Task.objects.filter(run=run, step="FETCH").update(queue="heavy")
    page = overview(operator)
    assert "SIGN waits for approval" in page
    assert "FETCH waits in queue heavy" in page


def test_a_queue_without_a_worker_is_told_at_once(operator):
    well()
    run = factories.make_run(order(), tasks={"FETCH": "queued"})
    Task.objects.filter(run=run, step="FETCH").update(queue="heavy")
    page = overview(operator)
    assert "All is well" not in page
    assert f"<bdi>{NOBODY}: 1 task waits; {CURE}</bdi>" in page, "the headline names the queue and the cure"
    assert page.count(NOBODY) == 1, "once is enough"
    assert "nobody serves it" in page
    long_ago = timezone.now() - timedelta(minutes=6)
    Task.objects.filter(run=run, step="FETCH").update(queued_at=long_ago)
    page = overview(operator)
    assert f"<bdi>{NOBODY}: 1 task waits, the oldest for 6 min; {CURE}</bdi>" in page
    assert page.count(NOBODY) == 1


def test_the_first_of_several_troubles_is_told_at_the_top_and_the_others_below(operator):
    well()
    for queue in ("heavy", "slow"):
        run = factories.make_run(order(), tasks={"FETCH": "queued"})
        Task.objects.filter(run=run, step="FETCH").update(queue=queue)
    page = overview(operator)
    assert f"<bdi>{NOBODY}: 1 task waits; {CURE}; and 1 more</bdi>" in page
    below = page.split('class="director-error" role="alert"')
    assert len(below) == 2
    assert "No worker takes tasks from queue “slow”: 1 task waits; start one" in below[1].split("</p>")[0]
    failed("STOCK: OSError: x")
    page = overview(operator)
    assert f"{CURE}; and 1 more · 1 run has failed in the last 24 hours</bdi>" in page
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=3))
    page = overview(operator)
    assert "No worker is alive" in page
    assert "No worker takes" not in page, "that is why"


def test_the_system_page_tells_a_queue_without_a_worker_at_once_too(operator):
    well()
    run = factories.make_run(order(), tasks={"FETCH": "queued"})
    Task.objects.filter(run=run, step="FETCH").update(queue="heavy")
    page = text(operator.get(address("system")))
    assert f"{NOBODY}: 1 task waits; {CURE}" in page
    assert "All that runs need is alive" not in page


def test_runs_without_a_comment_are_told_apart_by_their_ids(operator):
    named = factories.make_run(order(), tasks={"FETCH": "running"}, comment="for order 4711")
    other = factories.make_run(order(), tasks={"FETCH": "running"})
    page = overview(operator).split('id="director-running"')[1].split("</section>")[0]
    assert "for order 4711" in page
    assert f">{str(other.pk)[:13]}<" in page
    assert f">{str(named.pk)[:13]}<" not in page


def test_a_served_queue_names_its_workers(operator):
    well()
    factories.make_run(order(), tasks={"FETCH": "queued"})
    assert "<bdi>celery@one</bdi>" in overview(operator)


def test_no_worker_is_alive(operator):
    well()
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=3))
    Lease.objects.all().delete()
    run = factories.make_run(order(), tasks={"FETCH": "queued"})
    long_ago = timezone.now() - timedelta(minutes=20)
    Task.objects.filter(run=run, step="FETCH").update(queue="heavy", queued_at=long_ago)
    page = overview(operator)
    assert re.search(
        r"<bdi>No worker is alive: the last, celery@one, was seen at [^;]*\d:\d\d; 1 task waits\.<", page
    )
    assert page.count('role="alert"') == 1, "no supervisor and no worker of the queue are the same trouble"
    assert "Start one: celery -A … worker" in page
    Worker.objects.all().delete()
    assert "<bdi>No worker is alive; 1 task waits.<" in overview(operator)
    page = text(operator.get(address("run_change", run.pk)))
    assert "Waits for a worker: FETCH" in page
    assert f'href="{address("system")}">Workers and queues<' in page


def test_the_next_schedules_lead_to_their_workflows(operator):
    workflow = order("shop.NIGHT")
    every = IntervalSchedule.objects.create(every=6000, period="seconds")
    for name in ("director: shop.NIGHT", "by <hand>"):
        kwargs = '{"name": "shop.NIGHT"}'
        PeriodicTask.objects.create(name=name, task=beat_rows.TASK, interval=every, kwargs=kwargs)
    page = overview(operator).split('id="director-next"')[1]
    assert page.count(f'<a href="{address("workflow_change", workflow.pk)}"><bdi>shop.NIGHT</bdi></a>') == 2
    assert "by &lt;hand&gt;" in page
    assert "director: " not in page


def test_what_was_retried_and_succeeded_is_told(operator):
    well()
    factories.make_run(order(), "success", generation=1)
    page = overview(operator)
    assert "1 run had failed, was retried and succeeded." in page
    assert "All is well" in page


def test_what_is_being_retried_is_not_yet_well(operator):
    well()
    factories.make_run(order(), "running", {"A": "queued"}, generation=1)
    page = overview(operator)
    assert "1 run is being retried; all else is well." in page
    assert "All is well" not in page


def test_parts_of_the_page_are_always_there_so_a_live_update_matches_them(operator):
    def count():
        return overview(operator).count("data-part")

    empty = count()
    waiting()
    failed("OSError: no")
    factories.make_run(tasks={"A": "queued"})
    assert count() == empty > 4


def test_runs_behind_newer_ones_are_counted_as_being_retried(operator):
    well()
    retried = [factories.make_run(tasks={"A": "running"}, generation=1) for _ in range(2)]
    for _ in range(12):
        factories.make_run(tasks={"A": "running"})
    assert len(retried) == 2
    assert "2 runs are being retried; all else is well." in overview(operator)


def test_a_paused_run_is_not_late_and_its_time_stands_still(operator):
    now = timezone.now()
    for _ in range(5):
        factories.make_run(workflow := order(), "success", started_at=now - timedelta(seconds=3), finished_at=now)
    begun = now - timedelta(hours=3)
    paused = begun + timedelta(minutes=1)
    factories.make_run(workflow, "running", {"FETCH": "running"}, started_at=begun, paused_at=paused)
    row = overview(operator).split('id="director-running"')[1].split("</section>")[0]
    assert "1 min" in row
    assert ">late<" not in row


def test_without_permission_for_payloads_no_text_of_the_code_is_shown(client_of):
    workflow = order()
    failed("STOCK: ValueError: card 4111", workflow)
    run = factories.make_run(workflow, tasks={"FETCH": "running"})
    said = {"done": 1, "total": 2, "message": "card 4222"}
    Task.objects.filter(run=run, step="FETCH").update(progress=said)
    page = overview(client_of(*factories.VIEW))
    assert "ValueError" in page
    assert "4111" not in page
    assert "4222" not in page
    assert "Retry…" not in page


def test_without_permission_for_tasks_no_step_that_runs_is_named(client_of):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    Task.objects.filter(run=run, step="FETCH").update(progress={"done": 1, "total": 3, "message": ""})
    waiting()
    page = overview(client_of("view_workflow", "view_run", "view_payload", "approve_task"))
    assert "Running now" in page
    for step in ("FETCH", "SIGN"):
        assert step not in page


def test_those_who_may_see_no_runs_see_the_list_of_models_only(client_of):
    failed("STOCK: ValueError: x")
    page = overview(client_of("view_workflow"))
    assert "director-overview" not in page
    assert "Workflows" in page
    assert client_of("view_workflow", name="bob").get(address("overview")).status_code == 403


def test_with_rules_of_its_own_a_site_shows_what_they_allow(client_of, settings):
    failed("STOCK: OSError: seen", order("shop.SEEN"))
    failed("STOCK: OSError: hidden", order("shop.HIDDEN"))
    settings.DIRECTOR = {**settings.DIRECTOR, "AUTHORIZE": f"{__name__}.only_seen"}
    page = overview(client_of(*factories.VIEW))
    assert "shop.SEEN" in page
    assert "HIDDEN" not in page
    assert "OSError: hidden" not in page


def test_with_rules_of_its_own_a_site_names_no_queues(client_of, settings):
    well()
    run = factories.make_run(order("shop.HIDDEN"), tasks={"FETCH": "queued"})
    at = timezone.now() - timedelta(minutes=10)
    Task.objects.filter(run=run, step="FETCH").update(queue="billing", queued_at=at)
    settings.DIRECTOR = {**settings.DIRECTOR, "AUTHORIZE": f"{__name__}.only_seen"}
    client = client_of(*factories.VIEW)
    page = overview(client)
    assert "billing" not in page
    assert "No worker takes tasks from one of the queues: 1 task waits, the oldest for 10 min" in page
    Task.objects.filter(run=run, step="FETCH").update(queued_at=timezone.now())
    page = overview(client)
    assert "billing" not in page
    assert (
        "No worker takes tasks from one of the queues: 1 task waits; start one: celery -A … worker -Q QUEUE"
        in page
    )


def test_rules_of_its_own_take_one_query_for_all_workflows(client_of, settings):
    settings.DIRECTOR = {**settings.DIRECTOR, "AUTHORIZE": f"{__name__}.only_seen"}
    client = client_of(*factories.VIEW)

    def count():
        with CaptureQueriesContext(connection) as caught:
            overview(client)
        return len(caught)

    failed("A: x", order("shop.N0"))
    factories.make_run(order("shop.N0"))
    few = count()
    for number in range(1, 6):
        failed(f"A: {chr(97 + number)}", order(f"shop.N{number}"))
        factories.make_run(order(f"shop.N{number}"))
    assert count() == few


def only_seen(user, action, workflow):
    return workflow is None or workflow.name != "shop.HIDDEN"


def test_hostile_texts_do_nothing(operator):
    failed("A: <script>alert(1)</script> \u202eexe", order("x<img src=x onerror=alert(1)>"))
    page = overview(operator)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert Page(page).forbidden == []


def test_the_number_of_queries_does_not_grow(operator):
    def count():
        overview(operator)
        with CaptureQueriesContext(connection) as caught:
            overview(operator)
        return len(caught)

    for number in range(2):
        failed("A: x", order(f"shop.N{number}"))
        factories.make_run(order(f"shop.N{number}"), tasks={"FETCH": "running"})
        waiting()
    few = count()
    for number in range(10):
        failed(f"A: {chr(97 + number)}", order(f"shop.N{number}"))
        factories.make_run(order(f"shop.N{number}"), tasks={"FETCH": "running"})
        waiting()
    assert count() == few
    assert few <= 12


def test_live_updates_are_the_overview_alone(operator):
    failed("STOCK: OSError: x")
    response = operator.get(address("overview"))
    assert response.status_code == 200
    assert text(response).count('id="director-overview"') == 1
    assert "<html" not in text(response)


def test_an_error_that_is_empty_or_long(operator):
    failed("")
    failed("A: " + "x" * 200_000)
    Run.objects.filter(error="").update(error="")
    assert "2 runs have failed" in overview(operator)
