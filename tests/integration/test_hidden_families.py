"""What a run tells of its parent and of its child runs where a project hides these from a user."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from django.db import connection
from django.db.models import CharField, JSONField, TextField
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.access.authorization import by_permissions
from django_director.definitions import Concurrency
from django_director.engine.concurrency import admission
from django_director.exceptions import NotRoot
from django_director.models import Attempt, Run, Task, TaskLog
from django_director.presentation.serializers import runs_as_json
from tests import factories
from tests.factories import child, definition, make_workflow, step
from tests.integration.engine import driver

pytestmark = pytest.mark.django_db

API, ADMIN = "/director/api", "/admin/django_director"
PAST = "2026-01-01T00:00:00Z"
ALL = ("view_workflow", "view_run", "view_task", "view_payload", "run_workflow", "cancel_run", "retry_run")
SECRET = "quagga"
"""A word that only hidden runs write."""


def hides_billing(user, action, workflow=None):
    if not by_permissions(user, action, workflow):
        return False
    return workflow is None or not workflow.name.startswith("billing.") or user.username == "bill"


@pytest.fixture
def apart(settings):
    settings.DIRECTOR = {**settings.DIRECTOR, "AUTHORIZE": f"{__name__}.hides_billing"}


@pytest.fixture
def client_of():
    def make(name):
        client = Client()
        client.user = factories.make_user(name, *ALL)
        client.user.is_staff = True
        client.user.save()
        client.force_login(client.user)
        return client

    return make


@pytest.fixture
def ann(client_of):
    """May do everything with all workflows but those of billing, which are hidden from her."""
    return client_of("ann")


@pytest.fixture
def bill(client_of):
    """May do everything with all workflows."""
    return client_of("bill")


def take_up(run: Run, step_id: str) -> Run:
    """Let a worker start the child run of a step; return it."""
    driver.end(driver.claim(run, step_id), lambda claimed: None)
    return driver.child_of(run, step_id)


def started(name: str = "orders.PARENT", **fields: Any) -> Run:
    return driver.start(child("CHILD", "billing.FAIL", **fields), "AFTER", name=name)


def texts_of(runs: Any) -> str:
    """All that the rows of runs hold as text: what pages show, the search reads and hooks get."""
    rows: list[Any] = list(runs)
    for model, path in ((Task, "run"), (Attempt, "task__run"), (TaskLog, "task__run")):
        rows += model.objects.filter(**{f"{path}__in": runs})
    kinds = (CharField, TextField, JSONField)
    return "\n".join(
        str(getattr(row, field.attname))
        for row in rows
        for field in row._meta.concrete_fields
        if isinstance(field, kinds)
    )


def visible() -> Any:
    return Run.objects.exclude(workflow__name__startswith="billing.")


# From a child run up to its parent


def fails() -> None:
    make_workflow(definition("billing.FAIL", "FAIL_STEP"))
    driver.fail(take_up(started(), "CHILD"), "FAIL_STEP", f"ValueError: no such {SECRET}")


def is_canceled() -> None:
    make_workflow(definition("billing.FAIL", "FAIL_STEP"))
    made = take_up(started(), "CHILD")
    Run.objects.filter(pk=made.pk).update(stop="cancel", error=f"canceled: {SECRET} has taken its place")


def has_no_result() -> None:
    make_workflow(definition("billing.FAIL", "FAIL_STEP", result=f"tasks.FAIL_STEP.result.{SECRET}"))
    driver.succeed(take_up(started(), "CHILD"), "FAIL_STEP", {})


def does_not_fit() -> None:
    schema = {"type": "object", "properties": {"kind": {"enum": [SECRET]}}}
    make_workflow(definition("billing.FAIL", "FAIL_STEP", schema=schema))
    run = started(payload={"kind": "horse"})
    driver.end(driver.claim(run, "CHILD"), lambda claimed: None)


def has_left() -> None:
    make_workflow(definition(f"billing.FAIL{SECRET}"))
    driver.end(driver.claim(started(), "CHILD"), lambda claimed: None)


def has_a_failing_key() -> None:
    concurrency = Concurrency(key=f"payload.{SECRET}")
    make_workflow(definition("billing.FAIL", "FAIL_STEP", concurrency=concurrency))
    driver.end(driver.claim(started(), "CHILD"), lambda claimed: None)


def is_skipped() -> None:
    make_workflow(definition("billing.FAIL", "FAIL_STEP", concurrency=Concurrency()))
    made = take_up(started(), "CHILD")
    Run.objects.filter(pk=made.pk).update(stop="skip", error=f"skipped: {SECRET} had not ended")


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        (fails, "ChildFailed: run {run} of “billing.FAIL” failed"),
        (is_canceled, "ChildCanceled: run {run} of “billing.FAIL” was canceled"),
        (has_no_result, "InvalidResult: run {run} of “billing.FAIL” has no result"),
        (does_not_fit, "ChildNotStarted: “billing.FAIL” can't be started (InvalidPayload)"),
        (has_left, "ChildNotStarted: “billing.FAIL” can't be started (UnknownWorkflow)"),
        (has_a_failing_key, "ChildNotStarted: “billing.FAIL” can't be started (InvalidPayload)"),
        (is_skipped, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.usefixtures("apart")
def test_no_row_of_a_parent_has_a_text_of_its_child(happens, told):
    happens()
    driver.drain_all()
    task = Task.objects.get(run__workflow__name="orders.PARENT", step="CHILD")
    assert task.status == ("failed" if told else "skipped")
    assert task.error == told.format(run=task.child_run)
    if not told:
        assert task.reason == "skipped"
    assert SECRET not in texts_of(visible())


def test_a_child_that_may_not_go_on_names_no_other_run(apart):
    make_workflow(definition("billing.FAIL", "X", concurrency=Concurrency(on_conflict="skip")))
    run = started()
    made = take_up(run, "CHILD")
    admit()
    driver.fail(made, "X")
    driver.drain_all()
    holder = engine.start("billing.FAIL")
    admit()
    run.refresh_from_db()
    engine.retry(run)
    driver.end(driver.claim(run, "CHILD"), lambda claimed: None)
    assert run.tasks.get(step="CHILD").reason == "skipped"
    assert str(holder.pk) not in texts_of(visible())


def admit() -> None:
    Run.objects.filter(status="pending").update(next_admission_at=PAST)
    admission.admit_due()


def test_a_child_names_no_run_above_it_that_is_its_own_ancestor(apart):
    make_workflow(definition("orders.MIDDLE", child("BACK", "billing.ROOT")))
    run = driver.start(child("DOWN", "orders.MIDDLE"), name="billing.ROOT")
    middle = take_up(run, "DOWN")
    driver.end(driver.claim(middle, "BACK"), lambda claimed: None)
    error = middle.tasks.get().error
    assert error == "ChildNotStarted: “billing.ROOT” can't be started (DirectorError)"
    assert "would start itself" not in texts_of(visible())


def family() -> tuple[Run, Run, Run]:
    """A run that calls a run that calls a hidden one, which has failed; hooks got what the parent knows of it."""
    make_workflow(definition("billing.FAIL", "FAIL_STEP"))
    hook = step("TELL", kwargs={"why": "${{ run.error }}"})
    make_workflow(definition("orders.PARENT", child("CHILD", "billing.FAIL"), hooks={"failure": (hook,)}))
    root = driver.start(child("DOWN", "orders.PARENT"), name="orders.ROOT")
    parent = take_up(root, "DOWN")
    made = take_up(parent, "CHILD")
    driver.fail(made, "FAIL_STEP", f"ValueError: no such {SECRET}")
    driver.drain_all()
    for run in (root, parent, made):
        run.refresh_from_db()
        assert run.status == "failed"
    return root, parent, made


def places(*runs: Run) -> list[str]:
    """Every address at which something about these runs is read."""
    found = [f"{ADMIN}/{path}" for path in ("run/", "task/", "workflow/", "run/live/", "task/live/")]
    found += [f"{ADMIN}/run/{page}/" for page in ("overview", "system")]
    found += [f"{ADMIN}/run/?place={place}" for place in ("all", "children")]
    found += [f"{ADMIN}/run/?status__exact=failed", f"{ADMIN}/run/?trigger__exact=workflow", "/admin/"]
    found += [f"{API}/{path}" for path in ("runs/", "runs/?trigger=workflow", "workflows/", "health/")]
    for run in runs:
        pages = ("change", "live", "history", "payload", "result", "log", "retry", "pause", "resume", "cancel")
        found += [f"{ADMIN}/run/{run.pk}/{page}/" for page in (*pages, "relaunch", "relaunch_with_changes")]
        found += [f"{ADMIN}/run/{run.pk}/change/?tab={tab}" for tab in ("timeline", "log", "data", "events")]
        found += [f"{ADMIN}/run/{run.pk}/graph.{form}" for form in ("svg", "dot", "mmd")]
        found += [f"{ADMIN}/workflow/{run.workflow_id}/{page}/" for page in ("change", "run")]
        found += [f"{API}/runs/{run.pk}/{page}" for page in ("", "tasks/", "graph/")]
        found += [f"{API}/workflows/{run.workflow.name}/", f"{API}/runs/?parent_run={run.pk}"]
        for task in run.tasks.all():
            found += [f"{ADMIN}/task/{task.pk}/{page}/" for page in ("change", "live", "history", "rerun", "skip")]
            found += [f"{ADMIN}/task/{task.pk}/download/{part}/" for part in ("error", "traceback", "log")]
            found += [f"{ADMIN}/task/{task.pk}/download/{part}/" for part in ("payload", "arguments", "result")]
            found.append(f"{API}/tasks/{task.pk}/")
    return found


def read(client: Client, address: str) -> str:
    response = client.get(address)
    content = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[arg-type]
    return f"{response.status_code} {content.decode()}"


def test_no_place_shows_a_parents_reader_the_error_of_a_hidden_child(ann, apart):
    root, parent, made = family()
    read_by_ann = {address: read(ann, address) for address in places(root, parent)}
    assert [address for address, text in read_by_ann.items() if SECRET in text or "FAIL_STEP" in text] == []
    shown = [address for address, text in read_by_ann.items() if str(made.pk) in text]
    # The tests below are about something only if these pages were read.
    assert f"{ADMIN}/run/{parent.pk}/change/" in shown
    assert f"{API}/runs/{parent.pk}/" in shown
    assert f"run {made.pk} of “billing.FAIL” failed" in read_by_ann[f"{API}/runs/{parent.pk}/"]
    assert sum(text.startswith("200") for text in read_by_ann.values()) > len(read_by_ann) / 2


def test_no_search_finds_a_parent_by_words_of_a_hidden_child(ann, apart):
    _root, parent, _made = family()
    for words in (SECRET, "FAIL_STEP", f"ValueError {SECRET}"):
        page = ann.get(f"{ADMIN}/run/", {"q": words})
        assert not page.context["cl"].result_list, words
        assert ann.get(f"{API}/runs/", {"search": words}).json()["results"] == []
    found = ann.get(f"{API}/runs/", {"search": "ChildFailed billing.FAIL"}).json()["results"]
    assert str(parent.pk) in {run["id"] for run in found}


def test_who_may_see_the_child_reads_its_error_on_the_page_of_the_parent(ann, bill, apart):
    _root, parent, made = family()
    page = read(bill, f"{ADMIN}/run/{parent.pk}/change/")
    assert f"FAIL_STEP: ValueError: no such {SECRET}" in page
    with CaptureQueriesContext(
        connection,
    ) as by_bill:
        read(bill, f"{ADMIN}/run/{parent.pk}/change/")
    with CaptureQueriesContext(connection) as by_ann:
        read(ann, f"{ADMIN}/run/{parent.pk}/change/")
    assert len(by_bill) <= len(by_ann) + 1
    bill.user.user_permissions.remove(*bill.user.user_permissions.filter(codename="view_payload"))
    page = read(bill, f"{ADMIN}/run/{parent.pk}/change/")
    assert "FAIL_STEP: ValueError" in page
    assert SECRET not in page
    Run.objects.filter(pk=made.pk).update(error="")
    assert "FAIL_STEP" not in read(bill, f"{ADMIN}/run/{parent.pk}/change/")


def test_without_a_function_of_the_project_the_parent_has_the_error(bill):
    _root, parent, made = family()
    assert (
        parent.error
        == f"CHILD: ChildFailed: run {made.pk} of “billing.FAIL” failed: FAIL_STEP: ValueError: no such {SECRET}"
    )
    page = read(bill, f"{ADMIN}/run/{parent.pk}/change/")
    assert page.count(f"no such {SECRET}") == page.count(f"failed: FAIL_STEP: ValueError: no such {SECRET}")


# From a parent down to its child runs


@pytest.fixture
def below():
    """A hidden root, its child run, and the child run of that; both can be seen."""
    make_workflow(definition("orders.LEAF", "LAST"))
    make_workflow(definition("orders.MIDDLE", child("LEAF_STEP", "orders.LEAF"), "NEXT"))
    root = driver.start(child("HIDDEN_STEP", "orders.MIDDLE"), "AFTER", name="billing.ROOT")
    middle = take_up(root, "HIDDEN_STEP")
    return root, middle, take_up(middle, "LEAF_STEP")


def names_of(root: Run) -> tuple[str, ...]:
    tasks = [str(pk) for pk in root.tasks.values_list("pk", flat=True)]
    return "billing.ROOT", "HIDDEN_STEP", str(root.pk), *tasks


def test_no_place_names_the_hidden_parent_of_a_child_run(ann, apart, below):
    root, middle, leaf = below
    for is_over in (False, True):
        if is_over:
            driver.fail(leaf, "LAST")
            driver.drain_all()
        read_by_ann = {address: read(ann, address) for address in places(middle, leaf)}
        named = [(a, name) for a, text in read_by_ann.items() for name in names_of(root) if name in text]
        assert named == []
        assert str(middle.pk) in read_by_ann[f"{ADMIN}/run/{leaf.pk}/change/"]
    assert "Child run of</dt><dd>a run that you may not see" in read_by_ann[f"{ADMIN}/run/{middle.pk}/change/"]
    assert "is steered through its root" in read_by_ann[f"{ADMIN}/run/{middle.pk}/retry/"]


def test_no_answer_to_a_change_names_the_hidden_root(ann, bill, apart, below):
    root, middle, leaf = below
    for verb in ("pause", "resume", "retry"):
        for run in (middle, leaf):
            answer = ann.post(f"{API}/runs/{run.pk}/{verb}/")
            assert answer.status_code == 409
            assert answer.json()["detail"].endswith("is a child run, it is steered through its root")
            page = ann.post(f"{ADMIN}/run/{run.pk}/{verb}/", follow=True).content.decode()
            assert "is steered through its root" in page
            assert not any(name in page for name in names_of(root))
            assert str(root.pk) in bill.post(f"{API}/runs/{run.pk}/{verb}/").json()["detail"]
            page = bill.post(f"{ADMIN}/run/{run.pk}/{verb}/", follow=True).content.decode()
            assert f"steer its root, run {root.pk}" in page
    for verb in ("rerun", "skip"):
        task = middle.tasks.first()
        detail = ann.post(f"{API}/tasks/{task.pk}/{verb}/").json()["detail"]
        assert detail.endswith("is a child run, it is steered through its root")
        page = ann.post(f"{ADMIN}/task/{task.pk}/{verb}/", follow=True).content.decode()
        assert not any(name in page for name in names_of(root))
        assert str(root.pk) in bill.post(f"{API}/tasks/{task.pk}/{verb}/").json()["detail"]


def test_the_api_gives_the_parent_to_those_who_may_see_it(ann, bill, apart, below):
    _root, middle, leaf = below
    assert ann.get(f"{API}/runs/{middle.pk}/").json()["parent_task"] is None
    assert ann.get(f"{API}/runs/{middle.pk}/").json()["trigger"] == "workflow"
    assert ann.get(f"{API}/runs/{leaf.pk}/").json()["parent_task"] == str(leaf.parent_task_id)
    assert bill.get(f"{API}/runs/{middle.pk}/").json()["parent_task"] == str(middle.parent_task_id)
    for client, shown in ((ann, None), (bill, str(middle.parent_task_id))):
        rows = client.get(f"{API}/runs/", {"trigger": "workflow"}).json()["results"]
        parents = {run["id"]: run["parent_task"] for run in rows}
        assert parents == {str(middle.pk): shown, str(leaf.pk): str(leaf.parent_task_id)}
    assert ann.post(f"{API}/runs/{middle.pk}/cancel/").json()["parent_task"] is None


def test_a_hidden_parent_finds_no_child_run(ann, bill, apart, below):
    root, middle, leaf = below

    def found(client, **query):
        return {run["id"] for run in client.get(f"{API}/runs/", query).json()["results"]}

    assert found(ann, parent_run=root.pk) == set()
    assert found(bill, parent_run=root.pk) == {str(middle.pk)}
    assert found(ann, parent_run=middle.pk) == {str(leaf.pk)}
    for word in (root.pk, middle.parent_task_id, "billing.ROOT", "HIDDEN_STEP"):
        assert found(ann, search=word) == set()
        for kind in ("run", "task"):
            page = ann.get(f"{ADMIN}/{kind}/", {"q": word})
            assert not page.context["cl"].result_list


def test_a_list_of_child_runs_takes_one_query_for_their_parents(ann, apart, below):
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert ann.get(f"{API}/runs/", {"trigger": "workflow"}).status_code == 200
        return len(found)

    before = queries()
    for _ in range(3):
        take_up(driver.start(child("HIDDEN_STEP", "orders.MIDDLE"), name="billing.ROOT"), "HIDDEN_STEP")
    assert queries() == before


def test_a_run_that_takes_the_place_of_the_parent_is_not_named_below(apart):
    concurrency = Concurrency(on_conflict="cancel_running")
    make_workflow(definition("orders.MIDDLE", "X"))
    root = driver.start(child("HIDDEN_STEP", "orders.MIDDLE"), name="billing.ROOT", concurrency=concurrency)
    admit()
    middle = take_up(root, "HIDDEN_STEP")
    newer = engine.start("billing.ROOT")
    admit()
    driver.drain_all()
    assert middle.tasks.get().status == "canceled"
    assert middle.tasks.get().reason == "canceled"
    assert str(newer.pk) not in texts_of(visible())


def test_the_error_that_names_the_root_passes_between_processes():
    make_workflow(definition("orders.LEAF", "LAST"))
    root = driver.start(child("STEP", "orders.LEAF"), name="orders.ROOT")
    with pytest.raises(NotRoot) as caught:
        engine.pause(take_up(root, "STEP"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.plain, again.root) == (str(caught.value), caught.value.plain, root.pk)
    assert str(root.pk) not in again.plain


def test_a_serializer_without_a_list_of_parents_hides_none(below):
    shown = runs_as_json(Run.objects.for_listing(), sees_payload=lambda _: True)
    assert json.dumps(shown).count(str(below[1].parent_task_id)) == 1
