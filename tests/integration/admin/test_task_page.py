"""The page of a task: the sentence at its top, its attempts, what stands beside it, and its values as files."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from django_director.db.functions import Now
from django_director.definitions import Retry
from django_director.engine.outbox import first_sequence
from django_director.models import Attempt, Run, Task, Worker
from django_director.status import TaskStatus
from tests import factories
from tests.integration.admin.pages import Page, address, order, text

pytestmark = pytest.mark.django_db

HEADLINE = re.compile(r'class="director-verdict.*?<strong><bdi>(.*?)</bdi></strong>(.*?)</p>', re.DOTALL)


def headline(client, task):
    """The sentence, and the times behind it."""
    found = HEADLINE.search(text(client.get(address("task_change", task.pk))))
    return html.unescape(found[1]), re.sub(r"<[^>]*>", "", found[2])


def task_of(status, /, *, retry=None, **columns):
    """The only task of a run, with some values in its columns."""
    workflow = factories.make_workflow(factories.definition("shop.ONE", factories.step("PAY", retry=retry)))
    task = factories.make_run(workflow, tasks={"PAY": status}).tasks.get()
    Task.objects.filter(pk=task.pk).update(**columns)
    return task


def log(task, number, said, generation=0, **fields):
    sequence = first_sequence(generation) + number - 1
    return task.logs.create(sequence=sequence, attempt=number, generation=generation, text=f"{said}\n", **fields)


def test_one_sentence_says_what_a_task_does(operator):
    retry, soon = Retry(max=3), timezone.now() + timedelta(seconds=40)
    told = {"error": "TimeoutError: no answer", "failures": 1, "attempt": 1, "started_at": timezone.now()}
    waits = task_of("pending", retry=retry, status=TaskStatus.WAITING, not_before=soon, **told)
    said, when = headline(operator, waits)
    assert said == "Attempt 2 of 4 follows, after TimeoutError: no answer"
    assert when.startswith("in 3")
    assert headline(operator, task_of("running", worker="celery@a"))[0] == "Runs on celery@a"
    again = task_of("running", retry=retry, worker="celery@a", attempt=2)
    assert headline(operator, again)[0] == "Attempt 2 of 4 runs on celery@a"
    assert headline(operator, task_of("failed", error="ValueError: x\nmore"))[0] == "Failed: ValueError: x"
    assert headline(operator, task_of("failed", retry=retry, attempt=4, error="E: x"))[0] == (
        "Failed at attempt 4 of 4: E: x"
    )
    assert headline(operator, task_of("success", retry=retry, attempt=2))[0] == "Succeeded at attempt 2 of 4"
    # Lost workers count as attempts, and not as the retries that the file allows.
    assert headline(operator, task_of("success", retry=Retry(max=1), attempt=3))[0] == "Succeeded at attempt 3"
    Worker.objects.create(key=1, name="celery@a", started_at=Now(), seen_at=Now(), queues=["heavy"])
    assert headline(operator, task_of("queued", queue="heavy"))[0] == "Waits for a worker in the queue heavy"
    assert headline(operator, task_of("pending"))[0] == "Waits for the steps before it"
    assert headline(operator, task_of("upstream_failed"))[0] == "Never ran, as what it waits for has failed"
    assert headline(operator, task_of("skipped", reason="skipped by ann"))[0] == "Skipped by ann"


def test_the_sentence_tells_only_who_may_know(viewer):
    task = task_of("failed", error="ValueError: s3cret")
    assert headline(viewer, task)[0] == "Failed: ValueError"


def test_progress_is_a_bar_with_its_message(operator, viewer):
    task = task_of("running", progress={"done": 37, "total": 50, "message": "shelf <B7>"})
    page = text(operator.get(address("task_change", task.pk)))
    assert '<progress max="50" value="37"' in page
    assert "37 of 50" in page
    assert "shelf &lt;B7&gt;" in page
    assert "shelf" not in text(viewer.get(address("task_change", task.pk)))
    Task.objects.filter(pk=task.pk).update(progress={"done": 1234.5, "total": None, "message": ""})
    page = text(operator.get(address("task_change", task.pk)))
    assert "1,234.5" in page
    assert "<progress" not in page


def test_attempts_before_and_after_a_retry_of_the_run_are_told_apart(operator):
    task = task_of("success", attempt=1, sequence=first_sequence(1), worker="celery@new")
    Run.objects.filter(pk=task.run_id).update(generation=1)
    old = {"worker": "celery@old", "error": "ValueError: old", "finished_at": timezone.now()}
    Attempt.objects.create(task=task, number=1, outcome="failed", traceback="old traceback", **old)
    log(task, 1, "the old line")
    log(task, 1, "the new line", generation=1)
    page = text(operator.get(address("task_change", task.pk)))
    assert "Attempt 1 (retry 1 of the run)" in page
    for shown, hidden in (("the new line", "the old line"), ("celery@new", "celery@old")):
        assert shown in page
        assert hidden not in page
    before = text(operator.get(address("task_change", task.pk), {"attempt": "0.1"}))
    for shown in ("ValueError: old", "old traceback", "the old line", "celery@old"):
        assert shown in before
    assert "the new line" not in before
    for nonsense in ("9.9", "x", "\x00", "1" * 500):
        assert "the new line" in text(operator.get(address("task_change", task.pk), {"attempt": nonsense}))


def test_the_error_of_an_earlier_attempt_is_not_that_of_the_running_one(operator):
    task = task_of("running", attempt=2, error="ValueError: first", traceback="first traceback")
    page = text(operator.get(address("task_change", task.pk)))
    assert "ValueError: first" not in page
    assert "first traceback" not in page


def test_lines_of_ones_own_code_come_first_and_escape_codes_do_nothing(operator):
    traceback = (
        'Traceback (most recent call last):\n  File "/x/site-packages/celery/app.py", line 1, in f\n    g()\n'
        '  File "/srv/shop/pay.py", line 7, in pay\n    charge(card)\nValueError: x\n'
    )
    task = task_of("failed", traceback=traceback, error="ValueError: x", sequence=1)
    log(task, 1, "\x1b[31mred\x1b[0m \u202etxt.exe")
    page = text(operator.get(address("task_change", task.pk)))
    frames = page.split('class="director-frames"')[1].split("</ol>")[0]
    assert "shop/pay.py:7, pay" in frames
    assert "charge(card)" in frames
    assert "celery" not in frames
    assert "red �txt.exe" in page
    assert "\x1b" not in page


def test_the_page_says_why_lines_are_missing(operator):
    task = task_of("success", sequence=1)
    path = address("task_change", task.pk)
    assert "It has logged nothing." in text(operator.get(path))
    row = log(task, 1, "WARNING shop: low", level=30)
    assert "lines from WARNING on only" in text(operator.get(path))
    task.logs.filter(pk=row.pk).update(level=20)
    assert "lines from WARNING on only" not in text(operator.get(path))


def test_what_follows_is_linked_with_its_status(operator):
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "failed"})
    page = text(operator.get(address("task_change", run.tasks.get(step="FETCH").pk)))
    behind = page.split("Then come")[1].split("</section>")[0]
    assert behind.count("<li>") == 2
    for step in ("STOCK", "PRICE"):
        assert address("task_change", run.tasks.get(step=step).pk) in behind
    assert "director-failed" in behind


def test_values_are_files_for_those_who_may_see_them(operator, viewer):
    long = {"rows": list(range(20_000)), "password": "s3cret"}
    task = task_of("success", result=long, sequence=1)
    Run.objects.filter(pk=task.run_id).update(payload={"a": 1, "token": "s3cret"})
    log(task, 1, "\x1b[31mred\x1b[0m")
    page = text(operator.get(address("task_change", task.pk)))
    path = address("task_download", task.pk, "result")
    assert path in page
    response = operator.get(path)
    assert response["Content-Disposition"] == f'attachment; filename="{task.pk}-result.json"'
    assert json.loads(response.content) == {"rows": list(range(20_000)), "password": "********"}
    assert json.loads(operator.get(address("task_download", task.pk, "payload")).content)["token"] == "********"
    assert text(operator.get(address("task_download", task.pk, "log"))) == "red\n"
    for part in ("payload", "arguments", "item", "result", "error", "traceback", "log", "nonsense"):
        assert viewer.get(address("task_download", task.pk, part)).status_code == 403
    assert operator.get(address("task_download", task.pk, "nonsense")).status_code == 404
    assert operator.post(path).status_code == 405


def test_a_failed_task_has_one_main_button(operator):
    task = task_of("failed")
    Run.objects.filter(pk=task.run_id).update(status="failed", finished_at=timezone.now())
    source = text(operator.get(address("task_change", task.pk)))
    assert re.findall(r'class="button( director-second)?">(\w+)', source) == [
        ("", "Rerun"),
        (" director-second", "Skip"),
    ]
    assert Page(source).forbidden == []
