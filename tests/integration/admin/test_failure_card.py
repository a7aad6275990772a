import re
from datetime import timedelta

import pytest
from django.utils import timezone

from django_director.models import Run, Task, TaskLog
from tests import factories
from tests.integration.admin.pages import address, order, text

pytestmark = pytest.mark.django_db

TRACEBACK = (
    'Traceback (most recent call last):\n  File "/srv/shop/tasks.py", line 88, in load\n    connect("4111")\n'
)


def failed(workflow=None, error="OSError: refused by 10.0.0.7", **fields):
    tasks = {"FETCH": "success", "STOCK": "failed", "PRICE": "success", "SHIP": "upstream_failed"}
    run = factories.make_run(workflow or order(), "failed", tasks, **fields)
    Run.objects.filter(pk=run.pk).update(error=f"STOCK: {error}")
    stock = Task.objects.filter(run=run, step="STOCK")
    stock.update(error=error, traceback=TRACEBACK)
    TaskLog.objects.create(task=stock.get(), sequence=1, attempt=1, text="connecting for card 4222\n")
    return run


def page(client, run):
    return text(client.get(address("run_change", run.pk)))


def test_it_tells_what_failed_why_and_what_to_do(operator):
    workflow = order()
    at = timezone.now() - timedelta(hours=2)
    factories.make_run(workflow, "success", created_at=at, started_at=at, finished_at=at)
    run = failed(workflow)
    failed(workflow, "OSError: refused by 10.0.0.9")
    failed(workflow, "KeyError: sku")
    shown = page(operator, run)
    stock = run.tasks.get(step="STOCK")
    assert "Failed at STOCK: OSError: refused by 10.0.0.7" in shown
    assert "shop/tasks.py:88, load" in shown
    assert "connecting for card 4222" in shown
    assert "same error in 1 other run of the last 24 hours" in shown
    assert "1 step never ran" in shown
    assert re.search(r"last success</a>\s*<time[^>]*>2 h ago", shown)
    assert f'href="{address("task_change", stock.pk)}"' in shown.split('class="director-failure"')[1]
    assert address("task_rerun", stock.pk) in shown
    assert address("task_skip", stock.pk) in shown


def test_the_last_success_names_another_version(operator):
    factories.make_run(order(), "success")
    assert "last success with version 1" in page(operator, failed(order()))


def test_a_workflow_that_never_succeeded(operator):
    assert "never succeeded" in page(operator, failed())


def test_several_failures_are_grouped_by_message_each_with_its_link(operator):
    names = [f"t{number}" for number in range(8)]
    workflow = factories.make_workflow(factories.definition("a.B", factories.group("G", *names)))
    run = factories.make_run(workflow, "failed", dict.fromkeys(names, "failed"), error="t0: OSError: no 1")
    for number, task in enumerate(run.tasks.order_by("position")):
        error = "KeyError: sku" if number == 7 else f"OSError: no {number}"
        Task.objects.filter(pk=task.pk).update(error=error)
    shown = page(operator, run).split('class="director-failure"')[1].split("</section>")[0]
    for number in range(5):
        assert f"OSError: no {number}" in shown, "each says its own"
    assert "and 2 more" in shown
    assert "KeyError: sku" in shown


def test_without_permission_for_tasks_nothing_of_their_pages_is_shown(client_of):
    client = client_of("view_workflow", "view_run", "view_payload", "retry_run")
    shown = page(client, run := failed())
    assert "Failed at STOCK: OSError" in shown
    for hidden in ("4111", "4222", "shop/tasks.py", address("task_rerun", run.tasks.get(step="STOCK").pk)):
        assert hidden not in shown, hidden


def test_without_permission_for_payloads_no_text_of_the_code_is_shown(client_of):
    client = client_of("view_workflow", "view_run", "view_task")
    shown = page(client, failed(error="OSError: card 4333"))
    assert "Failed at STOCK: OSError" in shown
    for secret in ("4111", "4222", "4333", "tasks.py"):
        assert secret not in shown
    assert "Rerun from here" not in shown


def test_without_permission_for_tasks_there_are_no_links_to_them(client_of):
    run = failed()
    shown = page(client_of("view_workflow", "view_run", "view_payload"), run)
    assert "Failed at STOCK" in shown
    assert address("task_change", run.tasks.get(step="STOCK").pk) not in shown


@pytest.mark.parametrize("status", ["success", "canceled", "running"])
def test_runs_that_have_not_failed_have_none(status, operator):
    assert 'class="director-failure"' not in page(operator, factories.make_run(order(), status))


def test_a_run_that_failed_without_a_failed_task(operator):
    run = factories.make_run(order(), "failed", error="timed out after 3 s")
    shown = page(operator, run)
    assert "Failed: timed out after 3 s" in shown
