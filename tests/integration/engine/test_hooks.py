"""Hooks: which outcome starts which, in which order, and what becomes of a list."""

from __future__ import annotations

from typing import Any

import pytest

from django_director import engine
from django_director.dispatch import publisher, remote_control
from django_director.dispatch.messages import Publication
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import failures, finish
from django_director.engine.supervisor import audit, leases, timeouts, unknown_tasks
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import inputs
from tests.factories import definition, group, make_workflow, step

from . import driver

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"


def chain_of(outcome: str, *names: str, **fields: Any) -> tuple[Any, ...]:
    ids = [f"hooks.{outcome}" if number == 1 else f"hooks.{outcome}-{number}" for number in range(1, 9)]
    return tuple(step(ids[number], task=name, **fields) for number, name in enumerate(names))


HOOKS = {
    "success": chain_of("success", "MAIL", "METRICS"),
    "failure": chain_of("failure", "PAGE", "MAIL_KO", "TICKET"),
    "canceled": chain_of("canceled", "UNDO"),
    "always": chain_of("always", "TIDY", "COUNT"),
}


def hook_statuses(run: Run, generation: int = 0) -> dict[str, str]:
    rows = run.tasks.hooks().filter(generation=generation).order_by("position")
    return {name: str(status) for name, status in rows.values_list("name", "status")}


def end(run: Run, outcome: str) -> None:
    if outcome == "success":
        driver.succeed(run, "A")
    elif outcome == "failure":
        driver.fail(run, "A")
    elif outcome == "timeout":
        Run.objects.filter(pk=run.pk).update(deadline_at=PAST)
        timeouts.stop_overdue_runs()
        audit.close_stopped()
    else:
        engine.cancel(run)
        audit.close_stopped()


@pytest.mark.parametrize(
    ("outcome", "names"),
    [
        ("success", ["MAIL", "METRICS", "TIDY", "COUNT"]),
        ("failure", ["PAGE", "MAIL_KO", "TICKET", "TIDY", "COUNT"]),
        ("timeout", ["PAGE", "MAIL_KO", "TICKET", "TIDY", "COUNT"]),
        ("canceled", ["UNDO", "TIDY", "COUNT"]),
    ],
)
def test_each_outcome_starts_its_list_and_then_always(outcome: str, names: list[str]):
    run = driver.start("A", hooks=HOOKS, timeout=60)
    end(run, outcome)
    assert sorted(hook_statuses(run)) == sorted(names)
    ran = []
    driver.drain(run, lambda claimed: ran.append(claimed.node.step.task))
    assert ran == names
    assert set(hook_statuses(run).values()) == {"success"}
    assert audit.audit() == 0


def test_one_hook_runs_at_a_time_and_gets_the_result_before_it_in_its_list():
    run = driver.start("A", hooks=HOOKS)
    end(run, "success")
    got = {}

    def body(claimed):
        assert run.tasks.hooks().active().exclude(status=TaskStatus.PENDING).count() == 1
        got[claimed.node.step.task] = claimed.upstream
        return f"result of {claimed.node.step.task}"

    driver.drain(run, body)
    assert got == {"MAIL": None, "METRICS": "result of MAIL", "TIDY": None, "COUNT": "result of TIDY"}


def test_a_failing_hook_ends_its_list_and_changes_nothing_else():
    run = driver.start("A", hooks=HOOKS)
    end(run, "failure")
    before = Run.objects.values().get()

    def body(claimed):
        if claimed.node.step.task in {"PAGE", "TIDY"}:
            raise ValueError("the hook")

    driver.drain(run, body)
    assert hook_statuses(run) == {
        "PAGE": "failed",
        "MAIL_KO": "upstream_failed",
        "TICKET": "upstream_failed",
        "TIDY": "failed",
        "COUNT": "upstream_failed",
    }
    assert Run.objects.values().get() == before


def test_a_forgiven_hook_lets_its_list_go_on():
    hooks = {"success": chain_of("success", "MAIL", "METRICS", continue_on_error=True)}
    run = driver.start("A", hooks=hooks)
    end(run, "success")
    driver.fail(run, "hooks.success")
    assert hook_statuses(run) == {"MAIL": "failed", "METRICS": "queued"}


def test_always_alone():
    for outcome in ("success", "failure", "canceled"):
        run = driver.start("A", name=f"test.{outcome}", hooks={"always": HOOKS["always"]})
        end(run, outcome)
        assert driver.drain(run) == 2
        assert run.status == {"failure": RunStatus.FAILED}.get(outcome, outcome)


def test_a_run_without_tasks_has_hooks_too():
    make_workflow(definition("test.EMPTY", group("G"), hooks=HOOKS))
    run = engine.start("test.EMPTY")
    assert driver.drain(run) == 4


def test_a_hook_that_lost_its_worker_or_is_unknown_goes_on(settings, monkeypatch):
    monkeypatch.setattr(remote_control, "ANSWER_SECONDS", 0.01)
    settings.DIRECTOR = {"MAX_CRASHES": 2, "UNKNOWN_TASK_TTL": 0}
    run = driver.start("A", hooks=HOOKS)
    end(run, "success")
    for _ in range(2):
        driver.claim(run, "hooks.success")
        task = run.tasks.get(step="hooks.success")
        assert leases.mark_message_lost(task.pk, task.sequence, "its process died")
    assert hook_statuses(run) == {
        "MAIL": "failed",
        "METRICS": "upstream_failed",
        "TIDY": "queued",
        "COUNT": "pending",
    }
    task = run.tasks.get(step="hooks.always")
    unknown_tasks.note_dropped([(task.pk, task.sequence, task.name)], "celery@old")
    assert unknown_tasks.fail_unknown_tasks() == 1
    assert hook_statuses(run)["COUNT"] == "upstream_failed"


def test_a_list_goes_on_after_a_hook_that_its_condition_skips():
    first = step("hooks.success", task="MAIL", when="payload.mail")
    second = step(
        "hooks.success-2", task="METRICS", when="tasks.A.result == 'A'", kwargs={"of": "${{ payload.n }}"}
    )
    run = driver.start(
        "A", hooks={"success": (first, second), "always": HOOKS["always"]}, payload={"mail": 0, "n": 3}
    )
    got: dict[str, Any] = {}

    def body(claimed: claims.Claim) -> str:
        got[claimed.node.name] = (claimed.upstream, inputs.evaluate_with(claimed))
        return claimed.node.name

    driver.end(driver.claim(run, "A"), lambda claimed: "A")
    assert driver.drain(run, body) == 4
    assert hook_statuses(run) == {"MAIL": "skipped", "METRICS": "success", "TIDY": "success", "COUNT": "success"}
    assert got == {"METRICS": (None, {"of": 3}), "TIDY": (None, {}), "COUNT": ("TIDY", {})}


def test_a_hook_with_expressions_gets_the_result_of_the_one_before_it():
    second = step("hooks.success-2", task="METRICS", kwargs={"of": "${{ tasks.A.result }}"})
    run = driver.start("A", hooks={"success": (step("hooks.success", task="MAIL"), second)})
    driver.succeed(run, "A", "from A")
    driver.succeed(run, "hooks.success", "from MAIL")
    claimed = driver.claim(run, "hooks.success-2")
    assert (claimed.upstream, inputs.evaluate_with(claimed)) == ("from MAIL", {"of": "from A"})


def test_hooks_of_an_earlier_outcome_go_on_beside_those_of_the_next():
    run = driver.start("A", hooks=HOOKS)
    end(run, "failure")
    page = driver.claim(run, "hooks.failure")
    engine.retry(run)
    end(run, "failure")
    assert finish.finish(page, "the first page")
    old = run.tasks.select_related("run__version").get(name="MAIL_KO", generation=0)
    claimed = claims.claim(driver.ticket(old), "tests")
    assert claimed is not None
    assert claimed.upstream == "the first page"
    assert finish.finish(claimed, None)
    assert hook_statuses(run)["TICKET"] == "queued"
    assert hook_statuses(run, 1) == {
        "PAGE": "queued",
        "MAIL_KO": "pending",
        "TICKET": "pending",
        "TIDY": "pending",
        "COUNT": "pending",
    }
    driver.drain(run)
    assert set(run.tasks.hooks().values_list("status", flat=True)) == {TaskStatus.SUCCESS}


def test_the_end_of_a_hook_publishes_the_next(monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr(publisher, "publish", lambda messages: sent.extend(messages) or Publication(sent=messages))
    run = driver.start("A", hooks={"success": HOOKS["success"]})
    with django_capture_on_commit_callbacks(execute=True):
        end(run, "success")
        driver.succeed(run, "hooks.success")
    hooks = Task.objects.hooks().order_by("position")
    assert [(message.task_id, message.name) for message in sent] == [(hook.pk, hook.name) for hook in hooks]


@pytest.mark.django_db(transaction=True)
def test_nobody_who_waits_for_the_run_waits_for_its_hooks(monkeypatch):
    monkeypatch.setattr(publisher, "publish", lambda messages: Publication(sent=messages))
    run = driver.start("A", hooks=HOOKS)
    driver.succeed(run, "A")
    assert set(hook_statuses(run).values()) == {"queued", "pending"}
    assert run.wait(0) == RunStatus.SUCCESS


@pytest.mark.parametrize("key", ["when", "with"])
def test_a_hook_whose_expression_fails_is_a_failing_hook(key):
    broken = {"when": "payload.missing"} if key == "when" else {"kwargs": {"a": "${{ payload.missing }}"}}
    run = driver.start("A", hooks={"success": (step("hooks.success", task="MAIL", **broken),)}, payload={})
    end(run, "success")

    def body(claimed: claims.Claim) -> Any:
        return inputs.evaluate_with(claimed)

    driver.drain(run, body)
    hook = run.tasks.hooks().get()
    assert (hook.status, hook.error[:34]) == ("failed", "ExpressionError: `payload.missing`")
    assert run.status == RunStatus.SUCCESS


@pytest.mark.parametrize(
    ("rule", "after_success", "after_failure", "after_skip"),
    [
        ("none_failed", "success", "upstream_failed", "success"),
        ("all_success", "success", "upstream_failed", "skipped"),
        ("any_success", "success", "upstream_failed", "skipped"),
        ("any_failed", "skipped", "success", "skipped"),
        ("always", "success", "success", "success"),
    ],
)
def test_a_list_is_a_chain_whose_steps_have_their_rules(rule, after_success, after_failure, after_skip):
    for first, expected in (("success", after_success), ("failed", after_failure), ("skipped", after_skip)):
        hooks = (
            step("hooks.success", task="MAIL", when=first != "skipped"),
            step("hooks.success-2", task="METRICS", trigger_rule=rule),
            step("hooks.success-3", task="LAST"),
        )
        run = driver.start("A", hooks={"success": hooks, "always": HOOKS["always"]})
        end(run, "success")

        def body(claimed: claims.Claim, first: str = first) -> None:
            if claimed.node.name == "MAIL" and first == "failed":
                raise ValueError("no")

        driver.drain(run, body)
        last = {"upstream_failed": "upstream_failed"}.get(expected, "success")
        assert hook_statuses(run) == {
            "MAIL": first,
            "METRICS": expected,
            "LAST": last,
            "TIDY": "success",
            "COUNT": "success",
        }, first


def test_a_hook_with_nothing_before_it_is_judged_as_a_first_step():
    def started(*rules: str) -> dict[str, str]:
        hooks = [step(f"hooks.success-{n}", task=f"H{n}", trigger_rule=rule) for n, rule in enumerate(rules)]
        always = (step("hooks.always", task="LAST", trigger_rule=rules[0]),)
        run = driver.start(
            "A", name=f"test.{len(rules)}{rules[0]}", hooks={"success": tuple(hooks), "always": always}
        )
        end(run, "success")
        driver.drain(run)
        assert run.status == RunStatus.SUCCESS
        assert not run.tasks.filter(finished_at=None).exists()
        return hook_statuses(run)

    assert started("always") == {"H0": "success", "LAST": "success"}
    for rule in ("any_failed", "any_success"):
        assert started(rule) == {"H0": "skipped", "LAST": "skipped"}
        assert started(rule, "none_failed", "none_failed") == {
            "H0": "skipped",
            "H1": "success",
            "H2": "success",
            "LAST": "skipped",
        }


def test_what_the_rules_of_a_list_make_of_it_costs_the_same_whatever_its_length():
    for length in (2, 40):
        names = [f"H{n}" for n in range(length)]
        rules = ["none_failed" if n % 2 else "all_success" for n in range(length)]
        hooks = tuple(
            step(f"hooks.failure-{n}", task=name, trigger_rule=rule)
            for n, (name, rule) in enumerate(zip(names, rules, strict=True))
        )
        run = driver.start("A", name=f"test.N{length}", hooks={"failure": hooks, "always": HOOKS["always"]})
        end(run, "failure")
        claimed = driver.claim(run, "hooks.failure-0")
        # Its row, all after it in its list, the first of the next.
        with driver.queries(3):
            assert finish.fail(claimed, failures.Failure(error="ValueError: no"))
        assert list(hook_statuses(run).values()).count("upstream_failed") == length - 1
