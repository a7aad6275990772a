"""What steers runs and tasks says what it takes, in place of failing in a query."""

from __future__ import annotations

from inspect import signature

import pytest

from django_director import engine
from django_director.exceptions import Misuse
from tests.factories import definition, make_run, make_workflow

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
