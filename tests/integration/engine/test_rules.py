"""`trigger_rule`, conditions, forgiven failures and `fail_fast`: each sentence of the language by itself."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import pytest

from django_director import engine
from django_director.definitions import RULES
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.supervisor import audit, timeouts
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.status import RunStatus, Stop
from tests.factories import approval, chain, child, definition, group, make_workflow, mapped, step, wait

from . import driver

pytestmark = pytest.mark.django_db

#: How an upstream step may have ended, and what it counts as.
ENDINGS = {
    "success": "success",
    "failed": "failed",
    "forgiven": "success",
    "skipped": "skipped",
    "upstream_failed": "failed",
}
RUNS, SKIPPED, BROKEN = "success", "skipped", "upstream_failed"
#: By rule, what becomes of a step after one, and after both of two kinds of upstream.
TABLE: dict[str, dict[str, str]] = {
    "none_failed": {
        "success": RUNS,
        "failed": BROKEN,
        "skipped": RUNS,
        "success+failed": BROKEN,
        "success+skipped": RUNS,
        "failed+skipped": BROKEN,
    },
    "all_success": {
        "success": RUNS,
        "failed": BROKEN,
        "skipped": SKIPPED,
        "success+failed": BROKEN,
        "success+skipped": SKIPPED,
        "failed+skipped": BROKEN,
    },
    "any_success": {
        "success": RUNS,
        "failed": BROKEN,
        "skipped": SKIPPED,
        "success+failed": RUNS,
        "success+skipped": RUNS,
        "failed+skipped": BROKEN,
    },
    "any_failed": {
        "success": SKIPPED,
        "failed": RUNS,
        "skipped": SKIPPED,
        "success+failed": RUNS,
        "success+skipped": SKIPPED,
        "failed+skipped": RUNS,
    },
    "always": {
        "success": RUNS,
        "failed": RUNS,
        "skipped": RUNS,
        "success+failed": RUNS,
        "success+skipped": RUNS,
        "failed+skipped": RUNS,
    },
}


def expected(rule: str, endings: tuple[str, ...]) -> str:
    kinds = sorted({ENDINGS[ending] for ending in endings}, key=["success", "failed", "skipped"].index)
    if len(kinds) == 3:
        return {"none_failed": BROKEN, "all_success": BROKEN}.get(rule, RUNS)
    return TABLE[rule]["+".join(kinds)]


def upstream(number: int, ending: str) -> list[Any]:
    """A step that ends so, and what it needs for that."""
    name = f"U{number}"
    match ending:
        case "failed":
            return [step(name, needs=(), task="FAIL")]
        case "forgiven":
            return [step(name, needs=(), task="FAIL", continue_on_error=True)]
        case "skipped":
            return [step(name, needs=(), when=False)]
        case "upstream_failed":
            return [step(f"P{number}", needs=(), task="FAIL"), step(name, needs=(f"P{number}",))]
    return [step(name, needs=())]


def body(claimed: Any) -> str:
    if claimed.node.name == "FAIL":
        raise ValueError("as asked")
    return f"result of {claimed.node.step.id}"


def ran(*tasks: Any, **fields: Any) -> Run:
    run = driver.start(*tasks, **fields)
    driver.drain(run, body)
    if not run.stop:
        driver.check_gates(run)
    return run


SIZES = pytest.mark.parametrize("size", [1, 2, pytest.param(3, marks=pytest.mark.slow)])


@SIZES
@pytest.mark.parametrize("rule", RULES)
def test_each_rule_with_each_combination_of_upstream_outcomes(rule, size):
    for endings in combinations_with_replacement(ENDINGS, size):
        steps = [made for number, ending in enumerate(endings) for made in upstream(number, ending)]
        needs = tuple(f"U{number}" for number in range(len(endings)))
        run = ran(*steps, step("Z", needs=needs, trigger_rule=rule))
        assert driver.statuses(run)["Z"] == expected(rule, endings), endings
        has_failed = any(ENDINGS[ending] == "failed" for ending in endings)
        assert run.status == (RunStatus.FAILED if has_failed else RunStatus.SUCCESS), endings


@SIZES
@pytest.mark.parametrize("rule", RULES)
def test_each_rule_after_a_group_with_each_combination_of_members(rule, size):
    """A container counts as failed if a member does, as skipped if all were, else as success."""
    for endings in combinations_with_replacement(ENDINGS, size):
        members = [made for number, ending in enumerate(endings) for made in upstream(number, ending)]
        run = ran(group("G", *members), step("Z", trigger_rule=rule))
        kinds = {ENDINGS[ending] for ending in endings}
        one = "failed" if "failed" in kinds else "skipped" if kinds == {"skipped"} else "success"
        # For that rule the members, which are the ends, count each by itself.
        assert driver.statuses(run)["Z"] == (
            expected(rule, endings) if rule == "any_success" else TABLE[rule][one]
        )


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_after_a_rejection(rule):
    run = driver.start("A", approval("U"), step("Z", trigger_rule=rule))
    driver.drain(run)
    engine.reject(run.tasks.get(step="U"))
    driver.drain(run)
    assert driver.statuses(run)["Z"] == TABLE[rule]["failed"]
    assert run.status == RunStatus.FAILED


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("what", ["approval", "wait", "map", "workflow"])
def test_each_rule_before_each_kind_of_step(rule, what):
    make_workflow(definition("test.CHILD", "X"))
    made = {
        "approval": approval("Z", trigger_rule=rule),
        "wait": wait("Z", 3600, trigger_rule=rule),
        "map": mapped("Z", "X", over=[1], trigger_rule=rule),
        "workflow": child("Z", "test.CHILD", trigger_rule=rule),
    }[what]
    for before, kind in (("A", "success"), ("FAIL", "failed"), (step("S", when=False), "skipped")):
        run = driver.start(before, made)
        driver.drain(run, body)
        runs = "success" if what == "map" else "waiting"
        assert driver.statuses(run)["Z"] == (runs if TABLE[rule][kind] == RUNS else TABLE[rule][kind]), kind


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_after_a_chain_whose_end_does_not_tell(rule):
    """`any_success` asks the end alone, the other rules ask all."""
    for members, counts_as, end in (
        (("FAIL", step("B", trigger_rule="always")), "failed", "success"),
        ((step("A", when=False), "B"), "success", "success"),
        (("A", step("B", when=False)), "success", "skipped"),
        ((step("A", when=False), step("B", when=False)), "skipped", "skipped"),
        (
            (step("A", task="FAIL", continue_on_error=True), step("B", trigger_rule="any_failed")),
            "success",
            "skipped",
        ),
    ):
        run = ran(chain("C", *members), step("Z", trigger_rule=rule))
        counts = end if rule == "any_success" else counts_as
        assert driver.statuses(run)["Z"] == TABLE[rule][counts], members


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        *(("none_failed", RUNS), ("all_success", RUNS), ("always", RUNS)),
        *(("any_success", SKIPPED), ("any_failed", SKIPPED)),
    ],
)
def test_each_rule_without_anything_upstream(rule, status):
    run = ran(step("A", trigger_rule=rule), "B")
    assert driver.statuses(run) == {"A": status, "B": "success"}
    alone = ran(step("A", trigger_rule=rule), hooks={"success": (step("hooks.success"),)})
    assert (alone.status, driver.statuses(alone)) == (RunStatus.SUCCESS, {"A": status})
    assert alone.tasks.hooks().count() == 1


def test_a_rule_is_judged_only_when_every_upstream_entry_has_ended():
    run = driver.start(
        step("A", needs=()), step("B", needs=()), step("Z", needs=("A", "B"), trigger_rule="any_failed")
    )
    driver.fail(run, "A")
    assert driver.statuses(run)["Z"] == "pending"
    driver.succeed(run, "B")
    assert driver.statuses(run)["Z"] == "queued"


def test_needs_give_the_list_of_results_in_the_order_written():
    seen = {}
    run = driver.start(
        "A",
        group("G", "X", step("Y", when=False), chain("C", "Y1", "Y2")),
        step("F", task="FAIL", continue_on_error=True),
        step("Z", needs=("C", "F", "A", "G")),
        step("ONE", needs=("G",)),
        step("NONE", needs=()),
    )
    driver.drain(run, lambda claimed: seen.update({claimed.node.step.id: claimed.upstream}) or body(claimed))
    group_value = ["result of X", None, "result of Y2"]
    assert seen["Z"] == ["result of Y2", None, "result of A", group_value]
    assert (seen["ONE"], seen["NONE"], seen["Y1"]) == (group_value, None, "result of A")


@pytest.mark.parametrize(
    ("needs", "received"),
    [
        (("A", "A"), ["result of A"] * 2),
        (("G", "X"), [["result of X", "result of Y"], "result of X"]),
        (("C",), "result of N"),
        (("M", "A"), [["result of T", "result of T"], "result of A"]),
    ],
)
def test_what_is_needed_twice_or_from_inside_is_waited_for_once(needs, received):
    seen = {}
    run = driver.start(
        "A",
        group("G", "X", "Y"),
        chain("C", "L", "N"),
        mapped("M", "T", over=[1, 2]),
        step("Z", needs=needs),
    )
    driver.drain(run, lambda claimed: seen.update({claimed.node.step.id: claimed.upstream}) or body(claimed))
    assert (run.status, seen["Z"]) == (RunStatus.SUCCESS, received)
    driver.check_gates(run)


def test_needs_of_nothing_start_at_once_wherever_they_stand():
    free = {"needs": ()}
    run = driver.start(
        "A",
        step("B", **free),
        group("G", "C", **free),
        chain("H", step("D"), step("E", **free)),
        approval("OK", **free),
        mapped("M", over=[1], **free),
        step("Z"),
    )
    started = {step for step, status in driver.statuses(run).items() if status == "queued"}
    assert started == {"A", "B", "C", "E", "OK", "M"}
    # What follows in the list waits for the entry before it, whatever that waits for.
    driver.drain(run, body)
    assert driver.statuses(run)["Z"] == "success"


def test_steps_with_the_same_needs_share_one_counter():
    run = driver.start(
        group("G", *(f"A{n}" for n in range(70))),
        group("H", *(step(f"B{n}", needs=("G", "X")) for n in range(30))),
        step("X", needs=()),
    )
    # Two of at most 64 for G and one above them, one for G and X, one for the end: H's members are what is last.
    assert run.gates.count() == 5
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_more_than_64_needs_are_counted_in_a_tree():
    names = [f"A{n}" for n in range(130)]
    steps = [step(name, needs=(), task="FAIL" if name == "A77" else name) for name in names]
    run = ran(*steps, step("Z", needs=tuple(names)), step("ALL", needs=tuple(names), trigger_rule="any_success"))
    assert (driver.statuses(run)["Z"], driver.statuses(run)["ALL"]) == ("upstream_failed", "success")


# Containers and `any_success`: a container stands for its ends


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (group("G", "A", step("B", task="FAIL")), RUNS),
        (group("G", step("A", task="FAIL"), step("B", task="FAIL")), BROKEN),
        (group("G", step("A", when=False), step("B", task="FAIL")), BROKEN),
        (group("G", step("A", when=False), step("B", when=False)), SKIPPED),
        (group("G", step("A", when=False), "B"), RUNS),
        (chain("G", "A", step("B", task="FAIL")), BROKEN),
        (chain("G", step("A", task="FAIL"), step("B", trigger_rule="always")), RUNS),
        (chain("G", "A", step("B", when=False)), SKIPPED),
        (group("G", chain("C", "A", step("B", task="FAIL")), chain("D", "E", "F")), RUNS),
        (group("G", chain("C", "A", step("B", task="FAIL")), chain("D", step("E", task="FAIL"), "F")), BROKEN),
        (chain("G", step("A", task="FAIL"), group("H", step("B", trigger_rule="always"), "C")), RUNS),
        (group("G", "A", step("B", task="FAIL"), when="payload.go"), SKIPPED),
        (group("G", mapped("M", step("I", task="FAIL"), over=[1, 2]), "A"), RUNS),
        (group("G", step("A", task="FAIL", continue_on_error=True), step("B", task="FAIL")), RUNS),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_any_success_after_a_container_needs_one_end_that_succeeded(container, expected, beside):
    """Alone, and beside another entry that failed; the other rules take a container as one."""
    needs = ("G", "X") if beside else ("G",)
    others = [
        step("X", needs=(), task="FAIL"),
        step("N", needs=needs),
        step("ALL", needs=needs, trigger_rule="always"),
    ]
    run = ran(container, *others, step("Z", needs=needs, trigger_rule="any_success"), payload={"go": False})
    statuses = driver.statuses(run)
    assert statuses["Z"] == (BROKEN if beside and expected == SKIPPED else expected)
    assert statuses["ALL"] == RUNS


def test_any_success_right_after_a_group_and_among_many_ends():
    run = ran(
        group("G", *(step(f"A{n}", task="T" if n == 77 else "FAIL") for n in range(130))),
        step("Z", trigger_rule="any_success"),
    )
    assert driver.statuses(run)["Z"] == RUNS


# Conditions


def test_a_skipped_step_does_not_skip_those_after_it():
    seen = {}
    run = driver.start("A", step("B", when=False), "C", step("D", when="${{ payload.go }}"), payload={"go": True})
    driver.drain(run, lambda claimed: seen.update({claimed.node.step.id: claimed.upstream}) or body(claimed))
    assert driver.statuses(run) == {"A": "success", "B": "skipped", "C": "success", "D": "success"}
    assert seen == {"A": None, "C": None, "D": "result of C"}


def test_when_is_evaluated_after_the_rule_held():
    run = ran(step("A", task="FAIL"), step("B", when="payload.missing"))
    assert driver.statuses(run) == {"A": "failed", "B": "upstream_failed"}


@pytest.mark.parametrize("kind", [group, chain])
@pytest.mark.parametrize("go", [True, False])
def test_a_container_with_a_condition_is_judged_once_before_its_members(kind, go):
    always = step("M2", trigger_rule="always")
    run = ran("A", kind("C", "M1", always, when="payload.go"), "Z", payload={"go": go})
    inside = "success" if go else "skipped"
    assert driver.statuses(run) == {"A": "success", "C": inside, "M1": inside, "M2": inside, "Z": "success"}


def test_a_container_that_does_not_run_gives_null_and_is_skipped_in_bulk():
    seen = {}
    members = [f"M{n}" for n in range(200)]
    run = driver.start("A", group("G", *members, when=False), "Z")
    driver.succeed(run, "A")
    head = driver.claim(run, "G")
    # Its row, the gates of the members and of the end, all members in one, the next step.
    with driver.queries(6):
        assert finish.skip(head, "when")
    driver.check_gates(run)
    driver.drain(run, lambda claimed: seen.update({claimed.node.step.id: claimed.upstream}) or 1)
    assert seen == {"Z": None}
    assert run.tasks.filter(status="skipped").count() == 201


def test_a_container_whose_rule_does_not_hold():
    run = ran("FAIL", chain("C", step("M", trigger_rule="always"), chain("D", "N", when=True)), "Z")
    assert driver.statuses(run)["M"] == "success"
    inner = chain("D", "N", trigger_rule="always")
    run = ran("FAIL", chain("C", step("M", trigger_rule="always"), inner, trigger_rule="all_success"), "Z")
    assert driver.statuses(run) == {
        "FAIL": "failed",
        **dict.fromkeys(("C", "M", "D", "N", "Z"), "upstream_failed"),
    }


@pytest.mark.parametrize("rule", ["always", "any_failed"])
def test_the_members_of_a_container_are_judged_by_its_head(rule):
    """They need no rule of their own to run after a failure."""
    run = ran("FAIL", chain("C", "M1", "M2", trigger_rule=rule))
    assert driver.statuses(run) == {"FAIL": "failed", "C": "success", "M1": "success", "M2": "success"}
    assert run.status == RunStatus.FAILED


def test_a_member_that_needs_something_outside_waits_for_that_and_for_its_container():
    tasks = (
        "A",
        chain("C", step("M", needs=("B",), trigger_rule="any_success"), "N", when="payload.go"),
        step("B", needs=()),
    )
    for go in (True, False):
        run = driver.start(*tasks, payload={"go": go})
        driver.succeed(run, "B")
        assert driver.statuses(run)["M"] == "pending"
        driver.drain(run, body)
        assert driver.statuses(run)["M"] == driver.statuses(run)["N"] == ("success" if go else "skipped")
        driver.check_gates(run)
        other = driver.start(*tasks, payload={"go": go})
        driver.succeed(other, "A")
        driver.end(driver.claim(other, "C"), body)
        driver.check_gates(other)
        assert driver.statuses(other)["M"] == ("pending" if go else "skipped")
        driver.fail(other, "B")
        assert driver.statuses(other)["N"] == ("upstream_failed" if go else "skipped")
        driver.check_gates(other)


def test_an_empty_container_with_a_condition_is_its_head():
    run = ran("A", group("G", when=False), step("Z", trigger_rule="all_success"))
    assert driver.statuses(run) == {"A": "success", "G": "skipped", "Z": "skipped"}


# Outcome


def test_steps_that_do_not_depend_on_a_failed_one_go_on():
    run = ran("FAIL", step("A", needs=()), step("B", needs=("A",)))
    assert driver.statuses(run) == {"FAIL": "failed", "A": "success", "B": "success"}
    assert run.status == RunStatus.FAILED


def test_a_forgiven_failure_is_a_success_with_null_for_all_others():
    seen = {}
    run = driver.start(step("A", task="FAIL", continue_on_error=True), step("B", trigger_rule="all_success"))
    driver.drain(run, lambda claimed: seen.update({claimed.node.step.id: claimed.upstream}) or body(claimed))
    assert driver.statuses(run) == {"A": "failed", "B": "success"}
    assert (run.status, run.error, seen["B"]) == (RunStatus.SUCCESS, "", None)
    assert run.tasks.get(step="A").error == "ValueError: as asked"


@pytest.mark.parametrize("ending", ["failed", "rejected"])
def test_a_canceled_run_is_canceled_though_a_step_has_failed(ending):
    run = driver.start("A", approval("OK", needs=()), step("B", needs=()))
    if ending == "failed":
        driver.fail(run, "A")
    else:
        driver.end(driver.claim(run, "OK"), body)
        engine.reject(run.tasks.get(step="OK"))
    engine.cancel(run)
    audit.close_stopped()
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED


def test_a_run_with_a_rejected_step_fails():
    run = driver.start(approval("OK"), step("B", needs=()))
    driver.drain(run, body)
    engine.reject(run.tasks.get(step="OK"), comment="no")
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "OK: Rejected: no")


def test_forgiving_is_for_a_steps_own_failure():
    run = ran("FAIL", step("A", continue_on_error=True), step("B", continue_on_error=True, trigger_rule="always"))
    assert driver.statuses(run) == {"FAIL": "failed", "A": "upstream_failed", "B": "success"}
    assert run.status == RunStatus.FAILED


def test_the_error_of_a_run_is_that_of_the_first_failure_that_was_not_forgiven():
    run = ran(step("A", task="FAIL", continue_on_error=True), step("B", task="FAIL"))
    assert run.error == "B: ValueError: as asked"


def test_a_retry_leaves_forgiven_failures_alone():
    run = ran(
        step("A", task="FAIL", continue_on_error=True),
        "B",
        step("C", task="FAIL"),
        step("D", trigger_rule="always"),
    )
    assert [again.step for again in engine.preview_retry(run).again] == ["C", "D"]
    engine.retry(run)
    driver.check_gates(run)
    assert driver.statuses(run) == {"A": "failed", "B": "success", "C": "queued", "D": "pending"}
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


# fail_fast


def fast(*tasks: Any) -> Run:
    return driver.start(*tasks, fail_fast=True, hooks={"failure": (step("hooks.failure"),)})


def test_fail_fast_cancels_what_has_not_started_and_lets_the_rest_end():
    run = fast(
        group("G", step("A", task="FAIL"), "B", chain("C", "C1", "C2")),
        step("CLEAN", trigger_rule="always"),
        step("ALARM", needs=("B",), trigger_rule="any_failed"),
        step("AFTER", needs=("CLEAN",)),
    )
    running = driver.claim(run, "C1")
    driver.fail(run, "A")
    run.refresh_from_db()
    assert (run.stop, run.shown_status) == (Stop.FAIL_FAST, "running")
    assert audit.close_stopped() == 0
    # B was canceled, so what waits for its failure runs.
    assert driver.statuses(run) == {
        "A": "failed",
        "B": "canceled",
        "C1": "running",
        "C2": "canceled",
        "CLEAN": "pending",
        "ALARM": "queued",
        "AFTER": "canceled",
    }
    assert run.tasks.get(step="B").reason == "fail_fast: another step has failed"
    driver.succeed(run, "ALARM")
    assert finish.finish(running, 1)
    assert audit.close_stopped() == 0
    assert driver.statuses(run)["CLEAN"] == "queued"
    driver.succeed(run, "CLEAN")
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "A: ValueError: no")
    assert run.tasks.hooks().count() == 1


def test_fail_fast_happens_by_itself(django_capture_on_commit_callbacks):
    run = fast(group("G", step("A", task="FAIL"), "B"), "Z")
    with django_capture_on_commit_callbacks(execute=True):
        driver.fail(run, "A")
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert driver.statuses(run) == {"A": "failed", "B": "canceled", "Z": "canceled"}


def test_fail_fast_refuses_messages_of_what_it_cancels_and_takes_those_that_it_spares():
    run = fast(group("G", "A", "B", step("C", needs=(), trigger_rule="always")))
    tickets = {name: driver.ticket(run.tasks.select_related("run__version").get(step=name)) for name in "ABC"}
    driver.fail(run, "A")
    assert claims.claim(tickets["B"], "tests") is None
    assert claims.claim(tickets["C"], "tests") is not None


def test_fail_fast_spares_what_is_inside_a_container_that_it_spares():
    run = fast("A", chain("C", "M1", "M2", trigger_rule="always"), "Z")
    driver.fail(run, "A")
    driver.drain(run)
    assert driver.statuses(run) == {
        "A": "failed",
        "C": "success",
        "M1": "success",
        "M2": "success",
        "Z": "canceled",
    }


def test_a_forgiven_failure_does_not_stop_a_run():
    run = fast(step("A", task="FAIL", continue_on_error=True), "B")
    driver.drain(run, body)
    assert (run.status, run.stop) == (RunStatus.SUCCESS, Stop.NONE)


def test_a_run_that_has_failed_fast_can_still_be_canceled():
    run = fast("A", step("B", trigger_rule="always"))
    driver.fail(run, "A")
    engine.cancel(run)
    assert run.shown_status == "canceling"
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    with pytest.raises(Conflict):
        engine.cancel(run)


def test_a_run_that_has_failed_fast_can_be_retried():
    run = fast(group("G", "A", "B"), step("Z", trigger_rule="any_failed"))
    driver.fail(run, "A")
    driver.drain(run)
    assert driver.statuses(run) == {"A": "failed", "B": "canceled", "Z": "success"}
    engine.retry(run)
    driver.check_gates(run)
    driver.drain(run)
    assert driver.statuses(run) == {"A": "success", "B": "success", "Z": "skipped"}
    assert (run.status, run.stop) == (RunStatus.SUCCESS, Stop.NONE)


def test_a_lost_answer_of_a_skip_is_no_duplicate():
    run = driver.start(step("A", when=False), "B")
    claimed = driver.claim(run, "A")
    assert finish.skip(claimed, "no")
    assert finish.skip(claimed, "no")
    assert not finish.fail(claimed, Failure(error="late"))
    assert driver.statuses(run) == {"A": "skipped", "B": "queued"}


# After a cancel or the run's time-out nothing more starts, whatever its rule


SPARED = (
    step("R1", needs=("A",), trigger_rule="always"),
    step("R2", needs=("A",), trigger_rule="any_failed"),
    chain("R3", "M", needs=("A",), trigger_rule="always"),
    approval("R4", needs=("A",), trigger_rule="always"),
)


@pytest.mark.parametrize("how", ["cancel", "timeout", "cancel after fail_fast", "timeout after fail_fast"])
def test_after_a_stop_no_step_starts_whatever_its_rule(how):
    run = driver.start("A", *SPARED, timeout=3600, fail_fast="fail_fast" in how)
    running = driver.claim(run, "A")
    if "fail_fast" in how:
        assert finish.fail(running, Failure(error="ValueError: no"))
        assert "queued" in driver.statuses(run).values()
    tickets = [driver.ticket(task) for task in run.tasks.select_related("run__version").queued()]
    if "cancel" in how:
        engine.cancel(run)
    else:
        Run.objects.update(deadline_at="2026-01-01T00:00:00Z")
        assert timeouts.stop_overdue_runs() == 1
    assert [claims.claim(ticket, "tests") for ticket in tickets] == [None] * len(tickets)
    if "fail_fast" not in how:
        assert finish.fail(running, Failure(error="ValueError: no"))
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert run.status == (RunStatus.CANCELED if "cancel" in how else RunStatus.FAILED)
    statuses = driver.statuses(run)
    assert statuses.pop("A") == "failed"
    assert set(statuses.values()) <= {"canceled", "upstream_failed", "skipped"}
    if "timeout" in how:
        assert run.error.startswith("TimeLimitExceeded: ")
