"""How far a run is: one meaning, and so one number, in the admin, the commands and the API."""

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import OutputWrapper
from django.urls import reverse

from django_director.management.map_progress import MapProgress
from django_director.management.progress import Progress
from django_director.presentation.serializers import run_as_json, runs_as_json
from tests import factories
from tests.integration.admin.pages import address, text

pytestmark = pytest.mark.django_db


def run_of_six(status, statuses):
    """A run of six steps in a row, with these statuses."""
    names = [f"S{number}" for number in range(len(statuses))]
    workflow = factories.make_workflow(factories.definition("shop.SIX", *names))
    return factories.make_run(workflow, status, dict(zip(names, statuses, strict=True)))


def mapped_run(status, own, items, **fields):
    """A, a map of the ``items`` with these statuses, and Z; a success hook has run after a success."""
    hooks = {"success": (factories.step("hooks.success", task="MAIL"),)}
    each = factories.mapped("EACH", over="payload.ids")
    workflow = factories.make_workflow(factories.definition("shop.MAP", "A", each, "Z", hooks=hooks))
    last = "success" if status == "success" else "canceled" if status == "canceled" else "pending"
    run = factories.make_run(workflow, status, {"A": "success", "EACH": own, "Z": last}, **fields)
    run.tasks.filter(step="EACH").update(map_count=len(items))
    for index, each_status in enumerate(items):
        factories.make_task(run, 3, each_status, map_index=index)
    if status == "success":
        factories.make_task(run, 4, "success")
    return run


RUNS = {
    "first step failed": (lambda: run_of_six("failed", ["failed", *["upstream_failed"] * 5]), 1, 6),
    "canceled": (lambda: run_of_six("canceled", [*["success"] * 2, "skipped", *["canceled"] * 3]), 3, 6),
    "running": (lambda: run_of_six("running", ["success", "running", *["pending"] * 4]), 1, 6),
    "map": (lambda: mapped_run("success", "success", ["success"] * 5), 7, 7),
    "map at work": (lambda: mapped_run("running", "waiting", ["success", "running", "pending"]), 2, 5),
    "map canceled": (lambda: mapped_run("canceled", "canceled", ["success", "canceled", "canceled"]), 2, 5),
}


@pytest.fixture(params=RUNS)
def known(request):
    make, done, total = RUNS[request.param]
    return make(), done, total


def printed(command, *args, **options):
    out = io.StringIO()
    call_command(command, *args, stdout=out, **options)
    return out.getvalue()


def test_the_admin_says_it(viewer, known):
    run, done, total = known
    page = viewer.get(address("run_change", run.pk))
    assert f'data-field="progress">{done} / {total}</span>' in text(page)
    assert f"{done} / {total}" in text(viewer.get(address("run_changelist")))
    if not run.is_finished:
        overview = viewer.get(reverse("admin:app_list", args=["django_director"]))
        assert f"</progress> {done}/{total}<" in text(overview)


def test_the_badges_add_up_to_it(viewer, known):
    run, done, total = known
    badges = {
        name: number for name, _, number in viewer.get(address("run_change", run.pk)).context["state"].filters
    }
    assert sum(badges.values()) == total
    assert sum(badges[status] for status in ("success", "failed", "skipped")) == done
    for status, number in badges.items():
        rows = text(viewer.get(address("run_change", run.pk), {"status": status})).count('data-task="')
        assert rows == number, status


def test_the_bar_has_the_same_parts(viewer, known):
    run, _done, total = known
    bar = text(viewer.get(address("run_change", run.pk))).split('class="director-segments"')[1].split("</svg>")[0]
    assert sum(int(part.split("</title>")[0].split()[0]) for part in bar.split("<title>")[1:]) == total


def test_the_commands_say_it(known):
    run, done, total = known
    row = next(line for line in printed("listruns").splitlines() if line.startswith(str(run.pk)))
    assert f"{done}/{total}" in row
    told = io.StringIO()
    told.isatty = lambda: True
    Progress(OutputWrapper(told)).update(run)
    assert f"{done}/{total} tasks" in told.getvalue()


def test_the_objects_say_it_beside_the_number_of_tasks_by_status(known):
    run, done, total = known
    one = run_as_json(run, with_payload=False)
    (listed,) = runs_as_json([run], sees_payload=lambda workflow: False)
    (as_printed,) = json.loads(printed("listruns", json=True))
    for data in (one, listed, as_printed):
        assert data["progress"] == {"done": done, "total": total}
        assert sum(data["task_counts"].values()) == run.tasks.steps().count()


def test_hooks_stand_apart(viewer):
    run = mapped_run("success", "success", ["success"])
    page = viewer.get(address("run_change", run.pk))
    assert page.context["hooks"][:2] == ("success", 1)
    shown = text(viewer.get(address("run_change", run.pk), {"status": "hooks"}))
    assert shown.count('data-task="') == 1
    assert "success hook" in shown
    assert viewer.get(address("run_change", run_of_six("success", ["success"] * 6).pk)).context["hooks"] is None


def test_a_canceled_map_says_the_same_everywhere(viewer):
    run = mapped_run("canceled", "canceled", ["success", "canceled", "canceled"])
    page = viewer.get(address("run_change", run.pk))
    (branch,) = [line.branch for line, _row in page.context["lines"] if line.kind == "open"]
    assert branch.summary == "1/3, 2 canceled"
    (box,) = [face for face in page.context["state"].faces if "EACH" in face.title]
    assert (box.status, box.note) == ("canceled", "1/3")
    own = viewer.get(address("task_change", run.tasks.get(step="EACH", map_index=-1).pk))
    assert own.context["map"]["tally"].text == "1 of 3"
    told = io.StringIO()
    MapProgress(OutputWrapper(told))._print(run, {1: 3})
    assert told.getvalue() == "EACH: 1 of 3 tasks are done\n"


@pytest.mark.parametrize(
    ("own", "items", "status"),
    [
        ("waiting", ["running", "pending"], "running"),
        ("waiting", ["queued", "pending"], "queued"),
        ("success", ["success", "failed"], "success"),
        ("failed", ["success", "failed"], "failed"),
    ],
)
def test_a_map_has_one_status_everywhere(viewer, own, items, status):
    """While its items are at work it is theirs; then its own: a failure may have been forgiven."""
    run = mapped_run("running", own, items)
    page = viewer.get(address("run_change", run.pk))
    (branch,) = [line.branch for line, _row in page.context["lines"] if line.kind == "open"]
    (box,) = [face for face in page.context["state"].faces if "EACH" in face.title]
    own_page = viewer.get(address("task_change", run.tasks.get(step="EACH", map_index=-1).pk))
    assert f'director-verdict director-{status}"' in text(own_page)
    assert {branch.status, box.status} == {status}
