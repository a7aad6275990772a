"""Running tasks whose workers are gone, and queues that no worker serves, on the pages of runs and tasks."""

import base64

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director.db.functions import later
from django_director.models import Run, Task, Worker
from tests import factories
from tests.integration.admin.pages import address, order, text

pytestmark = pytest.mark.django_db

KEY, NAME = 7, "shop1@vm"
GONE = "Its worker shop1@vm gives no sign: it starts again when a worker runs"
INTERRUPTED = "The worker gives no sign: the run goes on when a worker runs"
LINK = "Workers and queues"
CURE = "start one: celery -A … worker -Q reports"


def worker(seen=0.0, key=KEY, name=NAME, **fields):
    times = {"started_at": later(-3600), "seen_at": later(-seen)}
    return Worker.objects.create(key=key, name=name, **times, **{"queues": ["celery"]} | fields)


def running(renewed=48.0, **fields):
    """A task that worker 7 has claimed, and whose lease was renewed some seconds ago."""
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "running"})
    values = {"worker": NAME, "worker_key": KEY, "lease_until": later(90 - renewed)} | fields
    Task.objects.filter(run=run, step="STOCK").update(**values)
    return run


def page_of_task(client, run, step="STOCK"):
    return text(client.get(address("task_change", run.tasks.get(step=step).pk)))


def page_of_run(client, run, **parameters):
    return text(client.get(address("run_change", run.pk), parameters))


def test_a_task_whose_worker_is_silent_says_so_and_what_follows(viewer):
    worker(seen=48)
    run = running()
    page = page_of_task(viewer, run)
    assert f"<bdi>{GONE}</bdi>" in page
    assert ">48 s ago · " in page or ">49 s ago · " in page
    assert "data-since" not in page.split('data-part="head"')[1].split("</p>")[0], "it does not run"
    assert f'href="{address("system")}">{LINK}</a>' in page


def test_the_page_of_its_run_says_so_too(viewer):
    worker(seen=48)
    run = running()
    page = page_of_run(viewer, run)
    assert f"<bdi>Interrupted: STOCK. {INTERRUPTED}</bdi>" in page
    assert f'href="{address("system")}">{LINK}</a>' in page
    assert "its worker shop1@vm gives no sign" in page.split('id="tasks"')[1], "the step of it too"


@pytest.mark.parametrize(
    ("seen", "renewed", "watched", "is_gone"),
    [
        (0, 20, True, False),
        (2, 20, True, False),
        (48, 2, True, False),  # a lease that was renewed lately is a sign of life too
        (13, 20, True, True),
        (48, 20, False, False),  # of such a worker only leases tell
        (48, 91, False, True),
        (0, 91, True, True),
    ],
)
def test_the_pages_say_so_when_the_supervisor_would_take_the_task(seen, renewed, watched, is_gone, viewer):
    worker(seen=seen, is_watched=watched)
    run = running(renewed=renewed)
    assert (GONE in page_of_task(viewer, run)) is is_gone
    assert (INTERRUPTED in page_of_run(viewer, run)) is is_gone
    assert ("Runs on shop1@vm" in page_of_task(viewer, run)) is not is_gone
    assert ("Running: STOCK" in page_of_run(viewer, run)) is not is_gone


def test_without_a_row_of_the_worker_the_lease_tells(viewer):
    assert "Runs on" in page_of_task(viewer, running(worker_key=None))
    assert "gives no sign" in page_of_task(viewer, running(renewed=100, worker_key=None))


def test_after_too_many_losses_the_task_does_not_start_again(viewer):
    worker(seen=48)
    page = page_of_task(viewer, running(crashes=2))
    assert "it starts again" not in page
    assert (
        "Its worker shop1@vm gives no sign: it fails when a worker runs, as it has lost too many workers" in page
    )


def test_of_a_run_that_is_stopped_it_only_says_that_the_worker_is_silent(viewer):
    worker(seen=48)
    run = running()
    Run.objects.filter(pk=run.pk).update(stop="cancel")
    assert "<bdi>Its worker shop1@vm gives no sign</bdi>" in page_of_task(viewer, run)
    page = page_of_run(viewer, run)
    assert "Is being canceled" in page
    assert LINK in page


def test_as_long_as_one_task_is_at_work_the_run_is(viewer):
    worker(seen=48)
    run = running()
    values = factories.make_run(order(), tasks={"PRICE": "running"}).tasks.get(step="PRICE")
    columns = {name: getattr(values, name) for name in ("status", "lease_until", "claim", "started_at", "attempt")}
    Task.objects.filter(run=run, step="PRICE").update(**columns)
    assert "Running: STOCK, PRICE" in page_of_run(viewer, run)


def test_items_of_a_map_whose_worker_is_silent(viewer):
    workflow = factories.make_workflow(factories.definition("a.B", factories.mapped("SHIP", "PACK")))
    run = factories.make_run(workflow, tasks={"SHIP": "waiting"})
    for index in range(3):
        lease = {"lease_until": later(10), "worker": NAME, "worker_key": KEY}
        factories.make_task(run, 1, "running", map_index=index, **lease)
    worker(seen=48)
    assert f"Interrupted: SHIP: 0 of 3. {INTERRUPTED}" in page_of_run(viewer, run)
    Task.objects.filter(run=run, map_index__gte=0).update(
        status="queued", next_dispatch_at=later(0), queue="reports"
    )
    page = page_of_run(viewer, run)
    assert f"Waits for a worker: SHIP: 0 of 3. No worker serves queue “reports”: {CURE}" in page
    assert LINK in page


def test_live_updates_tell_it_although_no_row_changes(viewer):
    worker(seen=0)
    run = running(renewed=20)
    task = run.tasks.get(step="STOCK")
    pages = (("run_live", run.pk, INTERRUPTED), ("task_live", task.pk, GONE))
    tags = {name: viewer.get(address(name, pk))["ETag"] for name, pk, _ in pages}
    for name, pk, _ in pages:
        assert viewer.get(address(name, pk), headers={"If-None-Match": tags[name]}).status_code == 304
    Worker.objects.update(seen_at=later(-13))
    for name, pk, told in pages:
        answer = viewer.get(address(name, pk), headers={"If-None-Match": tags[name]})
        assert (answer.status_code, told in text(answer)) == (200, True)


def test_the_list_of_tasks_says_so_too_and_its_live_updates(viewer):
    task = running(renewed=20).tasks.get(step="STOCK")
    worker(seen=0)
    rows = {"rows": base64.urlsafe_b64encode(task.pk.bytes).decode().rstrip("=")}
    answer = viewer.get(address("task_list_live"), rows)
    assert "gives no sign" not in text(answer)
    Worker.objects.update(seen_at=later(-13))
    known = {"If-None-Match": answer["ETag"]}
    assert "its worker shop1@vm gives no sign" in text(viewer.get(address("task_list_live"), rows, headers=known))
    assert "its worker shop1@vm gives no sign" in text(viewer.get(address("task_changelist")))


def test_live_updates_tell_the_end_of_a_lease(viewer):
    run = running(renewed=20)
    tag = viewer.get(address("run_live", run.pk))["ETag"]
    Task.objects.filter(run=run, step="STOCK").update(lease_until=later(-1))
    assert viewer.get(address("run_live", run.pk), headers={"If-None-Match": tag}).status_code == 200


def test_who_may_not_see_tasks_learns_nothing_of_them(client_of):
    worker(seen=48)
    run = running()
    page = page_of_run(client_of("view_run"), run)
    assert "<bdi>Running</bdi>" in page
    for hidden in (NAME, "STOCK", LINK):
        assert hidden not in page
    page = page_of_task(client_of("view_task", name="bob"), run)
    assert GONE in page
    assert LINK not in page, "the system page is for those who may see runs"


def waiting(queue="reports"):
    run = factories.make_run(order(), tasks={"FETCH": "queued"})
    Task.objects.filter(run=run, step="FETCH").update(queue=queue)
    return run


def test_a_run_in_a_queue_that_no_worker_serves_says_how_to_serve_it(viewer):
    worker()
    run = waiting()
    told = f"<bdi>Waits for a worker: FETCH. No worker serves queue “reports”: {CURE}</bdi>"
    assert told in page_of_run(viewer, run)
    assert f"<bdi>Waits in queue “reports”, which no worker serves: {CURE}</bdi>" in page_of_task(
        viewer, run, "FETCH"
    )
    assert LINK in page_of_task(viewer, run, "FETCH")
    tags = [viewer.get(address("run_live", run.pk))["ETag"]]
    worker(key=8, name="w2@vm", queues=["reports"])
    answer = viewer.get(address("run_live", run.pk), headers={"If-None-Match": tags[0]})
    assert "<bdi>Waits for a worker: FETCH</bdi>" in text(answer), "a live update tells that a worker came"
    tags.append(answer["ETag"])
    Worker.objects.filter(pk=8).update(queues=["stopped"])
    answer = viewer.get(address("run_live", run.pk), headers={"If-None-Match": tags[1]})
    assert told in text(answer), "and that it takes from another queue"


def test_a_message_that_can_not_be_sent_waits_for_no_worker(viewer):
    run = waiting()
    Task.objects.filter(run=run, step="FETCH").update(unsendable_since=later(0), reason="can't be sent")
    assert CURE not in page_of_run(viewer, run)
    assert CURE not in page_of_task(viewer, run, "FETCH")


def test_names_of_queues_are_for_those_who_see_tasks(client_of):
    run = waiting()
    page = page_of_run(client_of("view_run"), run)
    listed = text(client_of("view_run", name="bob").get(address("run_changelist")))
    assert "reports" not in page + listed
    assert LINK not in page


def test_the_list_of_runs_says_in_which_queue_a_run_waits(viewer):
    run, busy = waiting(), factories.make_run(order(), tasks={"FETCH": "running", "STOCK": "queued"})
    Task.objects.filter(run=busy, step="STOCK").update(queue="busy")
    page = text(viewer.get(address("run_changelist")))
    since = run.tasks.get(step="FETCH").queued_at
    assert f"in queue “reports” since {since:%Y-%m-%d %H:%M:%S}" in page
    assert "busy" not in page, "it does something"
    Run.objects.filter(pk=run.pk).update(paused_at=later(0))
    assert "in queue “reports”" not in text(viewer.get(address("run_changelist")))


def test_that_takes_one_query_for_all_runs_of_the_page(viewer):
    def count():
        with CaptureQueriesContext(connection) as caught:
            viewer.get(address("run_changelist"))
        return len(caught)

    factories.make_run(order(), tasks={"FETCH": "running"})
    count()
    without = count()
    for _ in range(5):
        waiting()
    assert count() == without + 1


def test_with_rules_of_its_own_a_list_names_the_queues_of_visible_tasks_only(client_of, settings):
    waiting("billing")
    settings.DIRECTOR = {**settings.DIRECTOR, "AUTHORIZE": f"{__name__}.no_tasks"}
    page = text(client_of(*factories.VIEW).get(address("run_changelist")))
    assert "shop.ORDER" in page
    assert "billing" not in page


def no_tasks(user, action, workflow):
    return action != "view_task"


def test_last_sign_is_the_later_of_lease_and_row(viewer):
    worker(seen=300)
    run = running(renewed=60)
    page = page_of_task(viewer, run)
    assert ">1 min ago · " in page
