"""Whole workflows in this process, through the tasks' own code: what celery-director's examples do, and more."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from celery import Task, current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import django_director
from django_director import engine, testing
from django_director.celery import DirectorTask
from django_director.definitions import Concurrency, Retry, TaskStep
from django_director.engine.concurrency import admission
from django_director.exceptions import Conflict, InvalidPayload
from django_director.models import Run
from django_director.models import Task as Row
from django_director.status import RunStatus, Stop, TaskStatus
from django_director.worker import local
from tests.factories import approval, chain, child, definition, group, make_workflow, mapped, step, wait

pytestmark = pytest.mark.django_db


def run(*tasks, payload=None, name="test.FLOW", **fields):
    make_workflow(definition(name, *tasks, **fields))
    return testing.run_workflow(name, payload)


def test_etl_chain():
    finished = run("EXTRACT", "TRANSFORM", "LOAD")
    assert finished.status == RunStatus.SUCCESS
    assert finished.result == 60
    assert finished.tasks.get(step="EXTRACT").result == {"rows": [1, 2, 3], "args": [None]}


def test_group_then_join():
    finished = run(
        group("RANDOMS", "RANDOM", step("RANDOM-2", task="RANDOM")), "ADD", payload={"start": 5, "end": 5}
    )
    assert finished.result == 10


def test_payload_and_workflow_id():
    finished = run("ECHO", payload={"a": 1})
    assert finished.result == {"args": [None], "payload": {"a": 1}, "workflow_id": str(finished.pk)}


@pytest.mark.parametrize("value", ["text", 7, [1, [2]], None, {"a": {"b": [None, True, 1.5]}}])
def test_return_values(value):
    finished = run("RETURN", "ECHO", payload={"value": value})
    assert finished.tasks.get(step="RETURN").result == value
    assert finished.result["args"] == [value]


@pytest.mark.fault(25)
def test_a_result_that_is_not_json_fails_its_task_once():
    finished = run("SET", "ECHO")
    failed = finished.tasks.get(step="SET")
    assert finished.status == RunStatus.FAILED
    assert "a value of type set is not JSON at $" in failed.error
    assert failed.failures == 1


def test_error_in_a_chain_and_in_a_group():
    finished = run("ERROR", "ECHO")
    assert finished.error == "ERROR: ValueError: as asked"
    assert "raise ValueError" in finished.tasks.get(step="ERROR").traceback
    assert finished.tasks.get(step="ECHO").status == TaskStatus.UPSTREAM_FAILED
    finished = run(group("G", "ERROR", chain("C", "NOOP", "ECHO")), "ADD")
    assert finished.status == RunStatus.FAILED
    assert finished.tasks.get(step="ECHO").status == TaskStatus.SUCCESS


def test_hooks():
    hooks = {
        "success": (TaskStep(id="hooks.success", task="HOOK"),),
        "failure": (TaskStep(id="hooks.failure", task="HOOK"),),
    }
    for name in ("NOOP", "ERROR"):
        finished = run(name, hooks=hooks)
        hook = finished.tasks.hooks().get()
        assert hook.status == TaskStatus.SUCCESS
        assert hook.result == f"hook of {finished.pk}"


def test_bound_tasks_and_their_retries():
    finished = run("BOUND", payload={"failures": 2})
    assert finished.result["retries"] == 2
    task = finished.tasks.get()
    assert (task.attempt, task.failures, task.attempts.count()) == (3, 2, 2)
    assert task.attempts.first().error == "ValueError: not yet"


def test_spent_retries_fail_with_the_error():
    finished = run("BOUND", payload={"failures": 9})
    assert finished.status == RunStatus.FAILED
    assert finished.tasks.get().error == "ValueError: not yet"
    assert finished.tasks.get().attempt == 4


def test_autoretry_for():
    assert run("AUTORETRY", payload={"failures": 2}).result == 2
    failed = run("AUTORETRY", payload={"failures": 3})
    assert failed.tasks.get().error == "ConnectionError: gone"


def test_signatures_bind_by_name():
    assert run("EXTRACT", "TRANSFORM", "TYPED").result == [20, 40, 60]
    assert run("EXTRACT", "TRANSFORM", step("TYPED", kwargs={"factor": 3})).result == [30, 60, 90]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EXIT", "the task called sys.exit(3)"),
        ("IGNORE", "can't raise Ignore"),
        ("REJECT", "can't raise Reject"),
        ("NO_SUCH_TASK", "does not know the task “NO_SUCH_TASK”"),
    ],
)
def test_what_a_task_must_not_do_is_told(name, text):
    finished = run(name, "ECHO")
    assert finished.status == RunStatus.FAILED
    assert text in finished.tasks.get(step=name).error


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["OPEN_TRANSACTION", "CLOSE_CONNECTION"])
def test_a_broken_connection_does_not_lose_the_outcome(name):
    finished = run(name, "ECHO")
    assert finished.status == RunStatus.SUCCESS


def test_progress_and_context():
    finished = run("PROGRESS")
    assert finished.tasks.get().progress == {"done": 3, "total": 10, "message": "three of ten"}


def test_outside_a_run_a_task_is_a_celery_task():
    from tests.testapp import tasks

    assert tasks.add([1, 2]) == 3
    assert tasks.add.apply(args=([1, 2],)).get() == 3
    assert tasks.bound.apply(kwargs={"payload": {"failures": 1}}).get()["retries"] == 1


def test_the_fixture(director):
    make_workflow(definition("test.FLOW", "NOOP"))
    assert director("test.FLOW").status == RunStatus.SUCCESS


def test_waits_are_not_waited_for():
    finished = run("EXTRACT", wait("W", 3600), step("TRANSFORM"), wait("V", until='"2999-01-01"'), "LOAD")
    assert (finished.status, finished.result) == (RunStatus.SUCCESS, 60)


def test_a_run_that_waits_for_approval_is_taken_up_in_process():
    waiting = run("EXTRACT", approval("OK", timeout=60), "TRANSFORM", approval("SURE"), "LOAD")
    assert waiting.status == RunStatus.RUNNING
    assert waiting.tasks.get(step="OK").status == TaskStatus.WAITING
    waiting = testing.approve(waiting)
    assert waiting.tasks.get(step="SURE").status == TaskStatus.WAITING
    finished = testing.approve(waiting, "SURE", comment="yes")
    assert (finished.status, finished.result) == (RunStatus.SUCCESS, 60)


def test_a_rejection_in_process():
    finished = testing.reject(run(approval("OK"), "NOOP"), comment="no")
    assert (finished.status, finished.error) == (RunStatus.FAILED, "OK: Rejected: no")


def test_which_approval_is_meant():
    waiting = run(group("G", approval("OK"), approval("SURE")))
    with pytest.raises(LookupError) as caught:
        testing.approve(waiting)
    assert str(caught.value) == f"name the approval: run {waiting.pk} waits for “OK”, “SURE”"
    assert testing.approve(waiting, "OK").status == RunStatus.RUNNING
    assert testing.approve(waiting).status == RunStatus.SUCCESS
    with pytest.raises(LookupError, match="waits for nothing"):
        testing.approve(waiting)


def test_the_engines_own_approve_and_a_second_run_to_the_end():
    waiting = run(approval("OK"), "NOOP")
    engine.approve(waiting.tasks.get(step="OK"))
    assert local.run_to_end(waiting, skip_delays=True).status == RunStatus.SUCCESS


def limited(**fields):
    make_workflow(definition("test.LIMITED", "NOOP", concurrency=Concurrency(**fields)))


@pytest.mark.parametrize("on_conflict", ["queue", "skip", "cancel_running"])
def test_runs_that_follow_each_other_need_not_wait(on_conflict):
    limited(on_conflict=on_conflict)
    runs = [testing.run_workflow("test.LIMITED") for _ in range(3)]
    assert [(run.status, run.slot) for run in runs] == [(RunStatus.SUCCESS, None)] * 3


def test_a_run_that_gets_no_slot_does_not_hang():
    limited()
    first = engine.start("test.LIMITED")
    with pytest.raises(Conflict, match=f"waits for a slot, behind run {first.pk}; it stays pending"):
        testing.run_workflow("test.LIMITED")


def test_a_run_that_gets_no_slot_is_skipped():
    limited(on_conflict="skip")
    holder = engine.start("test.LIMITED")
    admission.try_start(holder)
    skipped = testing.run_workflow("test.LIMITED")
    assert (skipped.status, skipped.error) == (
        RunStatus.CANCELED,
        f"skipped: run {holder.pk} had not ended",
    )


def test_the_newest_takes_the_slot():
    limited(on_conflict="cancel_running")
    first = engine.start("test.LIMITED")
    admission.try_start(first)
    assert testing.run_workflow("test.LIMITED").status == RunStatus.SUCCESS
    first.refresh_from_db()
    assert first.status == RunStatus.CANCELED


def test_a_delayed_start_that_waits_for_a_slot_is_not_waited_for():
    limited()
    later = timezone.now() + timedelta(days=1)
    assert testing.run_workflow("test.LIMITED", not_before=later).status == RunStatus.SUCCESS


@pytest.mark.django_db(transaction=True)
def test_what_the_end_of_a_local_run_lets_start_is_left_to_a_supervisor():
    limited()
    first, second = (engine.start("test.LIMITED", publish=False) for _ in range(2))
    local.run_to_end(first)
    assert first.status == RunStatus.SUCCESS
    second.refresh_from_db()
    assert second.status == RunStatus.RUNNING
    assert second.tasks.get().next_dispatch_at <= timezone.now(), "nobody here runs it: it is due at once"


def test_waits_and_approvals_pass_on_what_maps_and_child_runs_give():
    items = {"items": [{"value": 1}, {"value": 2}]}
    each = mapped("M", step("RETURN", kwargs={"payload": "${{ item }}"}))
    late = step("GIVEN", kwargs={"seen": "${{ tasks.W.result }}", "by": "${{ tasks.OK.decision.by }}"})
    waiting = run(each, wait("W", 60), approval("OK"), late, payload=items)
    finished = testing.approve(waiting)
    assert finished.status == RunStatus.SUCCESS, finished.error
    given = finished.result
    assert (given["args"], given["seen"], given["by"]) == ([[1, 2]], [1, 2], None)
    make_workflow(definition("test.CHILD", "RETURN"))
    of_child = run(child("C", "test.CHILD", payload={"value": 5}), wait("W", 60), "ECHO", name="test.PARENT")
    assert of_child.result["args"] == [5]


def test_an_approval_in_a_child_run_is_found():
    make_workflow(definition("test.CHILD", approval("SURE"), "NOOP"))
    waiting = run(child("C", "test.CHILD"), wait("W", 60), "ECHO", name="test.PARENT")
    assert waiting.status == RunStatus.RUNNING
    assert testing.approve(waiting).status == RunStatus.SUCCESS


# Child runs


def test_children_of_children_run_in_this_process():
    make_workflow(definition("test.INNER", "ECHO"))
    make_workflow(definition("test.CHILD", child("INNER", "test.INNER", payload={"a": "${{ payload.a }}"})))
    finished = run("NOOP", child("SHIP", "test.CHILD", payload={"a": "${{ payload.b + 1 }}"}), payload={"b": 1})
    assert finished.status == RunStatus.SUCCESS
    assert finished.result["payload"] == {"a": 2}
    assert not Run.objects.active().exists()


def test_a_child_that_fails_fails_its_parent():
    make_workflow(definition("test.CHILD", "ERROR"))
    finished = run(child("SHIP", "test.CHILD"))
    made = Run.objects.get(workflow__name="test.CHILD")
    assert (
        finished.error == f"SHIP: ChildFailed: run {made.pk} of “test.CHILD” failed: ERROR: ValueError: as asked"
    )


def test_waits_and_retries_of_a_child_do_not_delay_it():
    make_workflow(definition("test.CHILD", step("BOUND", retry=Retry(max=2, delay=600)), wait("W", 600)))
    finished = run(child("SHIP", "test.CHILD"), payload={})
    assert finished.status in {RunStatus.SUCCESS, RunStatus.FAILED}
    assert not Run.objects.active().exists()


def test_the_approval_of_a_child_is_left_to_somebody():
    make_workflow(definition("test.CHILD", approval("OK")))
    waiting = run(child("SHIP", "test.CHILD"), "ECHO")
    assert waiting.status == RunStatus.RUNNING
    engine.approve(Row.objects.get(step="OK"))
    assert local.run_to_end(waiting, skip_delays=True).status == RunStatus.SUCCESS


# What a task receives (language, section 3)


GIVE_ONE = step("RETURN", kwargs={"payload": {"value": 1}})


@pytest.mark.parametrize(
    ("before", "received"),
    [
        ((), None),
        ((GIVE_ONE,), 1),
        ((group("G", GIVE_ONE),), [1]),
        ((group("G", GIVE_ONE, "NOOP"),), [1, None]),
        (
            (group("G", GIVE_ONE, chain("C", "NOOP", replace(GIVE_ONE, id="TWO")), group("H", "BOUND")),),
            [1, 1, ...],
        ),
        ((group("G"),), []),
        ((chain("C"),), None),
        ((GIVE_ONE, chain("C")), None),
        ((GIVE_ONE, group("G", chain("C"), group("H"))), [None, []]),
        ((chain("C", GIVE_ONE, "NOOP"),), None),
        ((replace(GIVE_ONE, when=False),), None),
        ((replace(GIVE_ONE, task="ERROR", continue_on_error=True),), None),
        ((mapped("M", GIVE_ONE, over=[1, 2]),), [1, 1]),
        ((mapped("M", "NOOP", over=[]),), []),
    ],
)
def test_what_the_next_step_receives(before, received):
    args = run(*before, step("LAST", task="GIVEN"), payload={}).result["args"]
    if isinstance(received, list) and ... in received:
        assert (args[0][:2], len(args[0][2])) == (received[:2], 1)
    else:
        assert args == [received]


def test_an_item_and_the_result_before_it():
    body = (step("A", task="GIVEN"), step("B", task="GIVEN"))
    first, second = run(mapped("M", *body, over=[7, None])).result
    assert [first["args"][0]["args"], second["args"][0]["args"]] == [[7], [None]]


def test_several_needs_are_received_in_the_order_written():
    steps = (
        replace(GIVE_ONE, needs=()),
        step("N", task="NOOP", needs=()),
        group("G", replace(GIVE_ONE, id="TWO")),
    )
    for needs, received in ((("N", "RETURN"), [None, 1]), (("RETURN", "G", "N"), [1, [1], None]), (("G",), [1])):
        assert run(*steps, step("LAST", task="GIVEN", needs=needs)).result["args"] == [received]


def test_by_position_a_hook_gets_what_a_first_step_gets():
    hooks = {
        "success": (step("hooks.success", task="GIVEN"), step("hooks.success-2", task="GIVEN")),
        "always": (step("hooks.always", task="GIVEN"),),
    }
    finished = run(GIVE_ONE, hooks=hooks)
    results = dict(finished.tasks.hooks().values_list("step", "result"))
    first = results["hooks.success"]
    assert first == {"args": [None], "payload": {}, "workflow_id": str(finished.pk)}
    assert results["hooks.success-2"] == first | {"args": [first]}
    assert results["hooks.always"] == first


@pytest.mark.parametrize("is_bound", [False, True])
def test_a_task_of_the_apps_own(is_bound):
    """As `@app.task`, without a name of its own."""
    name = f"{__name__}.own_{is_bound}"
    if is_bound:

        @current_app.task(name=name, bind=True)
        def own(self, order, payload, days=30):
            return [order, payload, days, self.name]
    else:

        @current_app.task(name=name)
        def own(order, payload, days=30):
            return [order, payload, days, name]

    assert run(GIVE_ONE, step("A", task=name), payload={"a": 1}).result == [1, {"a": 1}, 30, name]


@pytest.mark.parametrize("base", [Task, DirectorTask])
def test_a_task_that_is_a_class(base):
    class Own(base):
        name = f"{__name__}.Own{base.__name__}"
        max_retries = 1
        default_retry_delay = 0

        def run(self, order, payload, days=30):
            if not self.request.retries:
                raise self.retry()
            return [order, payload, days, self.request.retries]

    current_app.register_task(Own())
    finished = run(GIVE_ONE, step("A", task=Own.name), payload={"a": 1})
    assert (finished.result, finished.error) == ([1, {"a": 1}, 30, 1], "")


# What it returns


def test_the_result_of_a_run_is_that_of_the_last_entry():
    assert run(GIVE_ONE, "NOOP").result is None
    assert run("NOOP", group("G", GIVE_ONE, "NOOP")).result == [1, None]
    assert run(step("LAST", task="NOOP", needs=("RETURN",)), replace(GIVE_ONE, needs=())).result == 1


def test_results_are_stored_as_djangos_encoder_writes_them():
    assert run("RICH").result == {
        "date": "2026-11-23",
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "pair": [1, 2],
    }


def test_a_task_with_a_base_of_its_own_is_a_step_too():
    assert run("OWN_BASE").result == ["hello", True]


class ByRun(DirectorTask):
    """As Celery's documentation has it, with `app.Task` as its base: it never calls its parent's `__call__`."""

    abstract = True

    def __call__(self, *args, **kwargs):
        return ["by run", self.run(*args, **kwargs)]


class BySuper(ByRun):
    abstract = True

    def __call__(self, *args, **kwargs):
        return ["by super", django_director.context() is not None, super().__call__(*args, **kwargs)]


@pytest.mark.parametrize(
    ("base", "expected"), [(ByRun, ["by run", [1, 5]]), (BySuper, ["by super", True, ["by run", [1, 5]]])]
)
def test_a_base_that_overrides_how_our_own_is_called_is_called_inside_the_run(base, expected):
    name = f"{__name__}.{base.__name__}"

    @current_app.task(name=name, base=base, bind=True)
    def wrapped(self, order, more=5):
        return [order, more]

    finished = run(GIVE_ONE, step("A", task=name))
    assert (finished.status, finished.error, finished.result) == (RunStatus.SUCCESS, "", expected)
    assert finished.tasks.get(step="A").attempt == 1
    outside = ["by super", False, ["by run", [7, 5]]] if base is BySuper else ["by run", [7, 5]]
    assert wrapped.apply(args=[7]).get() == wrapped(7) == outside


def test_the_schema_gives_defaults_and_the_payload_is_checked():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}}
    finished = run("ECHO", payload={"a": 1}, schema=schema)
    assert finished.payload == finished.result["payload"] == {"a": 1, "n": 3}
    with pytest.raises(InvalidPayload):
        testing.run_workflow("test.FLOW", {"n": "x"})


def test_a_hook_is_tried_again_as_its_retry_says():
    hook = step("hooks.success", task="FLAKY", kwargs={"failures": 1}, retry=Retry(max=1))
    after = step("hooks.success-2", task="GIVEN", trigger_rule="all_success")
    finished = run("NOOP", hooks={"success": (hook, after)})
    first, second = finished.tasks.hooks().order_by("position")
    assert (first.status, first.attempt, second.result["args"]) == (TaskStatus.SUCCESS, 2, [2])


# What it costs


STATEMENTS_OF_A_STEP = 7
"""Find it, claim it, read what it needs, and four of the transaction that ends it."""


@pytest.mark.parametrize("length", [1, 3, 10])
def test_a_step_takes_few_statements(length, monkeypatch):
    # On a slow machine it would look at what else is due in between.
    monkeypatch.setattr(local, "PAUSE", 600.0)
    make_workflow(definition("test.FLOW", chain("C", *(step(f"S{n}", task="NOOP") for n in range(length)))))
    testing.run_workflow("test.FLOW")
    with CaptureQueriesContext(connection) as captured:
        finished = testing.run_workflow("test.FLOW")
    assert finished.status == RunStatus.SUCCESS
    assert len(captured) <= 11 + length * STATEMENTS_OF_A_STEP


def test_a_wait_ends_beside_a_long_chain():
    finished = run(group("G", wait("W", 1), chain("C", *(step(f"S{n}", task="NOOP") for n in range(40)))))
    assert finished.status == RunStatus.SUCCESS


def steering(name, steer):
    """Register a task that calls ``steer`` with its own run."""

    @current_app.task(name=name)
    def steers(*args, **kwargs):
        steer(Run.objects.get(pk=kwargs["workflow_id"]))

    return step(name)


def test_a_runs_time_limit_is_kept_between_the_members_of_a_group():
    def expire(run):
        # As if the task had worked for that long: the next look is due, and the time of the run is up.
        Run.objects.filter(pk=run.pk).update(deadline_at=timezone.now() - timedelta(seconds=1))
        time.sleep(local.PAUSE * 1.1)

    others = (step(f"S{number}", task="NOOP") for number in range(20))
    finished = run(group("G", steering(f"{__name__}.expire", expire), *others), timeout=60)
    assert (finished.status, finished.stop) == (RunStatus.FAILED, Stop.TIMEOUT)
    assert not finished.tasks.filter(name="NOOP", status=TaskStatus.SUCCESS).exists()


def test_a_step_that_cancels_its_run_is_the_last():
    finished = run(steering(f"{__name__}.cancel", engine.cancel), "NOOP", "ECHO")
    assert finished.status == RunStatus.CANCELED
    assert not finished.tasks.filter(name__in=["NOOP", "ECHO"], status=TaskStatus.SUCCESS).exists()


def test_a_step_that_pauses_its_run_is_the_last_for_now():
    make_workflow(definition("test.FLOW", steering(f"{__name__}.pause", engine.pause), "NOOP"))
    with pytest.raises(Conflict, match="is paused: resume it first"):
        testing.run_workflow("test.FLOW")
    paused = Run.objects.get()
    assert paused.tasks.get(step="NOOP").attempt == 0
    engine.resume(paused)
    assert testing.finish(paused).status == RunStatus.SUCCESS
