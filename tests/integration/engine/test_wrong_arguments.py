"""What steers runs and tasks says what it takes, in place of failing in a query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from typing import Any

import pytest
from django.db import connection

from django_director import engine
from django_director.exceptions import Conflict, Misuse
from django_director.models import Run, WorkflowVersion
from tests.factories import definition, make_run, make_workflow

from .interleaving import needs_several_writers, own_connection

pytestmark = pytest.mark.django_db(transaction=True)

ON_RUNS = (
    engine.cancel,
    engine.pause,
    engine.resume,
    engine.retry,
    engine.relaunch,
    engine.preview_retry,
    engine.preview_relaunch,
)
ON_TASKS = (
    engine.rerun,
    engine.skip,
    engine.approve,
    engine.reject,
    engine.check_waits,
    engine.preview_rerun,
    engine.preview_skip,
)


@pytest.mark.parametrize("verb", ON_RUNS, ids=lambda verb: verb.__name__)
def test_what_steers_runs_says_what_it_takes(verb):
    run = make_run(make_workflow(definition("test.FLOW", "A")))
    name = verb.__name__.removeprefix("preview_")
    for wrong, words in [
        (str(run.pk), "a str: Run.objects.get(pk=…)"),
        (run.pk, "a UUID: Run.objects.get(pk=…)"),
        (7, "an int: Run.objects.get(pk=…)"),
        (None, "None: Run.objects.get(pk=…)"),
        (run.tasks.get(), "a Task: its run is `task.run`"),
    ]:
        with pytest.raises(Misuse) as caught:
            verb(wrong)
        assert str(caught.value) == f"{name}() takes a Run, not {words}"


@pytest.mark.parametrize("verb", ON_TASKS, ids=lambda verb: verb.__name__)
def test_what_steers_tasks_says_what_it_takes(verb):
    run = make_run(make_workflow(definition("test.FLOW", "A")))
    name = verb.__name__.removeprefix("preview_")
    for wrong, words in [
        (str(run.tasks.get().pk), "a str: Task.objects.get(pk=…)"),
        (run, "a Run: run.tasks.get(step=…)"),
    ]:
        with pytest.raises(Misuse) as caught:
            verb(wrong)
        assert str(caught.value) == f"{name}() takes a Task, not {words}"


@pytest.mark.parametrize(
    "verb",
    [verb for verb in (*ON_RUNS, *ON_TASKS) if "user" in signature(verb).parameters],
    ids=lambda v: v.__name__,
)
@pytest.mark.parametrize("user", ["root", 7])
def test_who_steers_is_a_user(verb, user):
    run = make_run(make_workflow(definition("test.FLOW", "A")), status="failed", tasks={"A": "failed"})
    with pytest.raises(Misuse, match=rf"^{verb.__name__}\(\): user must be a user, or None, not {user!r}$"):
        verb(run if verb in ON_RUNS else run.tasks.get(), user=user)
    run.refresh_from_db()
    assert run.status == "failed"


@pytest.mark.parametrize("relaunch", [engine.relaunch, engine.preview_relaunch])
@pytest.mark.parametrize("version", ["x", None, 2, ["same"]])
def test_a_relaunch_says_which_versions_there_are(relaunch, version):
    run = make_run(make_workflow(definition("test.FLOW", "A")), status="failed", tasks={"A": "failed"})
    with pytest.raises(Misuse, match=r"^version must be “current” or “same”, not "):
        relaunch(run, version=version)
    assert Run.objects.count() == 1


@pytest.mark.parametrize("relaunch", [engine.relaunch, engine.preview_relaunch])
def test_a_deleted_run_is_not_relaunched(relaunch):
    run = make_run(make_workflow(definition("test.FLOW", "A")), status="failed", tasks={"A": "failed"})
    Run.objects.filter(pk=run.pk).delete()
    with pytest.raises(Conflict, match=f"^run {run.pk} is not there any more$"):
        relaunch(run)


@needs_several_writers
def test_a_run_that_is_deleted_during_its_relaunch_is_a_conflict():
    run = make_run(make_workflow(definition("test.FLOW", "A")), status="failed", tasks={"A": "failed"})
    deleted = []

    def delete_first(execute: Any, sql: str, *more: Any) -> Any:
        if "django_director_run" in sql and "INSERT" in sql and not deleted:
            deleted.append(run.pk)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(own_connection, Run.objects.filter(pk=run.pk).delete).result()
        return execute(sql, *more)

    with (
        connection.execute_wrapper(delete_first),
        pytest.raises(Conflict, match=f"^run {run.pk} is not there any more$"),
    ):
        engine.relaunch(run)
    assert deleted


def test_a_workflow_that_was_deleted_is_not_started():
    workflow = make_workflow(definition("test.FLOW", "A"))
    type(workflow).objects.update(current_version=None)
    WorkflowVersion.objects.all().delete()
    type(workflow).objects.filter(pk=workflow.pk).delete()
    with pytest.raises(Conflict, match=r"^the workflow “test\.FLOW” is not there any more$"):
        engine.start(workflow)
