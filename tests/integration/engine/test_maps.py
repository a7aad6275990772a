"""Maps: one instance of what stands in them for each item of a list."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.common import ids
from django_director.db.compiled import can_pair
from django_director.db.functions import Now
from django_director.definitions import Retry
from django_director.engine import queries, stopping
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.flow import held_items, item_rows
from django_director.engine.steps import maps
from django_director.engine.supervisor import audit, publishing, timeouts
from django_director.models import Run
from django_director.status import RunStatus
from django_director.worker import inputs
from tests.factories import chain, group, mapped, step

from . import driver

pytestmark = pytest.mark.django_db


def doubled(claimed: Any) -> Any:
    return claimed.upstream * 2 if isinstance(claimed.upstream, int) else claimed.upstream


def start(*tasks: Any, items: Any, **fields: Any) -> Run:
    return driver.start(*tasks, payload={"items": items}, **fields)


def of_items(run: Run) -> dict[str, str]:
    return {task.label: str(task.status) for task in run.tasks.filter(map_index__gte=0)}


def test_one_instance_for_each_item():
    run = start("A", mapped("M", "T"), "Z", items=[1, 2, 3])
    received = {}

    def body(claimed):
        received[claimed.node.step.id, claimed.map_index] = claimed.upstream
        return doubled(claimed)

    driver.drain(run, body)
    assert received == {
        ("A", -1): None,
        ("T", 0): 1,
        ("T", 1): 2,
        ("T", 2): 3,
        ("Z", -1): [2, 4, 6],
    }
    assert run.status == RunStatus.SUCCESS
    assert run.result == [2, 4, 6]
    driver.check_gates(run)


@pytest.mark.parametrize("items", [[], [None], [{"a": [1]}, 'x\\" \u00e9 \U0001f600', None, 2.5, True, [1, [2]]]])
def test_items_are_what_json_has(items):
    run = start(mapped("M"), items=items)
    driver.drain(run, lambda claimed: claimed.upstream)
    assert (run.status, run.result) == (RunStatus.SUCCESS, items)
    driver.check_gates(run)


def test_sizes_around_the_arity_of_a_counter():
    for size in (1, 64, 65):
        run = start(mapped("M"), name=f"test.N{size}", items=list(range(size)))
        driver.drain(run, lambda claimed: claimed.upstream if claimed.map_index != 3 else None)
        assert run.status == RunStatus.SUCCESS
        assert run.result == [n if n != 3 else None for n in range(size)]
        driver.check_gates(run)


@pytest.mark.parametrize(
    ("over", "error"),
    [
        ("payload.items.n", "`over` must give a list, and gives a number"),
        ("payload.items.text", "`over` must give a list, and gives text"),
        ("payload.items", "`over` must give a list, and gives a mapping"),
        ("payload.items.none", "`over` must give a list, and gives null"),
        ("payload.items.yes", "`over` must give a list, and gives true or false"),
        (
            "payload.items.large",
            'item 1 of `over`: it has 132 bytes as JSON, the limit is 100 (DIRECTOR["MAX_RESULT"])',
        ),
        (
            "payload.items.many",
            'the items that `over` gives have over 200 bytes together (DIRECTOR["MAX_INPUT"]); '
            "let them say where the data is",
        ),
        (
            "range(20)",
            "with 20 tasks for 20 items the run would have 22 tasks, the limit is 10 "
            '(DIRECTOR["MAX_TASKS_PER_RUN"])',
        ),
    ],
)
def test_what_can_not_be_items_fails_the_map(settings, over, error):
    settings.DIRECTOR = {"MAX_RESULT": 100, "MAX_INPUT": 200, "MAX_TASKS_PER_RUN": 10}
    items = {"n": 1, "text": "x", "none": None, "yes": True, "large": ["", "x" * 130], "many": ["x" * 70] * 3}
    run = start(mapped("M", over=over), "Z", items=items)
    driver.drain(run)
    assert driver.statuses(run) == {"M": "failed", "Z": "upstream_failed"}
    assert run.tasks.get(step="M").error == f"InvalidItems: {error}"
    assert run.status == RunStatus.FAILED


def test_an_expression_that_fails_fails_the_map():
    run = start(mapped("M", over="payload.none"), items=[])
    driver.drain(run)
    assert run.tasks.get(step="M").error.startswith("ExpressionError: `payload.none`, column 8:")


def test_a_list_in_the_file_is_the_items():
    run = start(mapped("M", over=[1, "a"]), items=None)
    driver.drain(run, lambda claimed: claimed.upstream)
    assert run.result == [1, "a"]


def test_names_in_a_map():
    kwargs = {
        "got": "${{ item.n }}",
        "at": "${{ index }}",
        "first": "${{ tasks.A.result }}",
        "before": "${{ tasks.B.result }}",
        "how": "${{ tasks.B.status }}",
        "all": "${{ payload.items }}",
    }
    body = ("B", step("C", when="item.n < 2"), step("D", kwargs=kwargs))
    items = [{"n": 1}, {"n": 2}]
    run = start("A", mapped("M", *body), items=items)
    given = {}

    def work(claimed):
        if claimed.node.step.id == "D":
            given[claimed.map_index] = (claimed.upstream, inputs.evaluate_with(claimed))
        return f"{claimed.node.step.id}{claimed.map_index}"

    driver.drain(run, work)
    known = {"first": "A-1", "how": "success", "all": items}
    assert given == {
        0: ("C0", {"got": 1, "at": 0, "before": "B0", **known}),
        1: (None, {"got": 2, "at": 1, "before": "B1", **known}),
    }
    assert of_items(run)["C[1]"] == "skipped"
    assert run.result == ["D0", "D1"]


def test_outside_a_map_its_list_and_its_status_are_known():
    kwargs = {"list": "${{ tasks.M.result }}", "how": "${{ tasks.M.status }}"}
    run = start(mapped("M"), "A", step("Z", kwargs=kwargs), items=[1, 2], result="tasks.M.result[1]")
    given = {}

    def work(claimed):
        given[claimed.node.step.id] = inputs.evaluate_with(claimed)
        return doubled(claimed)

    driver.drain(run, work)
    assert given["Z"] == {"list": [2, 4], "how": "success"}
    assert run.result == 4


def test_lists_of_maps_in_containers():
    tasks = (group("G", mapped("M"), chain("C", "A", mapped("N", "S", "T")), mapped("E", over=[])), "Z")
    run = start(*tasks, items=[1, 2])
    received = {}

    def work(claimed):
        received[claimed.node.step.id] = claimed.upstream
        return doubled(claimed)

    driver.drain(run, work)
    assert received["Z"] == [[2, 4], [4, 8], []]
    driver.check_gates(run)


def test_the_results_of_a_map_are_an_input_like_others(settings):
    settings.DIRECTOR = {"MAX_INPUT": 1000}
    run = start(mapped("M"), "Z", items=[1, 2])
    driver.drain(run, lambda claimed: "x" * 600)
    assert run.tasks.get(step="Z").error == (
        "InputTooLarge: the results it receives have 1,204 bytes, the limit is 1,000 "
        '(DIRECTOR["MAX_INPUT"]); let the steps before it return less'
    )


def test_a_failed_item_fails_the_map_and_the_others_go_on():
    run = start(mapped("M"), "Z", step("ALWAYS", needs=("M",), trigger_rule="always"), items=[1, 2, 3])
    seen = {}

    def work(claimed):
        seen[claimed.node.step.id] = claimed.upstream
        if claimed.map_index == 1:
            raise ValueError("no")
        return doubled(claimed)

    driver.drain(run, work)
    assert of_items(run) == {"M[0]": "success", "M[1]": "failed", "M[2]": "success"}
    assert run.status == RunStatus.FAILED
    assert run.error == "M[1]: ValueError: no"
    row = run.tasks.get(step="M", map_index=-1)
    assert (row.status, row.error) == ("failed", "1 of 3 items failed")
    assert run.tasks.get(step="Z").status == "upstream_failed"
    assert seen["ALWAYS"] == [2, None, 6]
    driver.check_gates(run)


def test_a_forgiven_or_skipped_item_gives_null():
    body = step("T", continue_on_error=True, when="item != 2")
    run = start(mapped("M", body), "Z", items=[1, 2, 3])

    def work(claimed):
        if claimed.map_index == 2:
            raise ValueError("no")
        return claimed.upstream

    driver.drain(run, work)
    assert of_items(run) == {"T[0]": "success", "T[1]": "skipped", "T[2]": "failed"}
    assert run.status == RunStatus.SUCCESS
    assert run.result == [1, None, None]


def test_a_map_all_of_whose_items_are_skipped_is_skipped():
    run = start(
        mapped("M", step("S", when=False), step("T", when=False)),
        step("ALL", trigger_rule="all_success"),
        items=[1, 2],
    )
    driver.drain(run)
    assert run.tasks.get(step="M").status == "skipped"
    assert run.tasks.get(step="ALL").status == "skipped"
    assert run.status == RunStatus.SUCCESS
    driver.check_gates(run)


@pytest.mark.parametrize(
    ("rules", "fails", "statuses", "outcome"),
    [
        (("none_failed",) * 3, "S", "failed upstream_failed upstream_failed", "failed"),
        (("none_failed", "any_failed", "none_failed"), "S", "failed success success", "failed"),
        (("none_failed", "always", "any_failed"), "S", "failed success skipped", "failed"),
        (("none_failed", "any_failed", "none_failed"), "", "success skipped success", "success"),
        (("none_failed", "none_failed", "all_success"), "", "success success success", "success"),
        (("any_failed", "all_success", "all_success"), "", "skipped skipped skipped", "skipped"),
        (("any_failed", "none_failed", "any_failed"), "", "skipped success skipped", "success"),
    ],
)
def test_rules_in_the_chain_of_an_item(rules, fails, statuses, outcome):
    body = [step(name, trigger_rule=rule) for name, rule in zip("STU", rules, strict=True)]
    run = start(mapped("M", *body), items=[1])

    def work(claimed):
        if claimed.node.step.id == fails:
            raise ValueError("no")

    driver.drain(run, work)
    assert " ".join(of_items(run).values()) == statuses
    assert run.tasks.get(step="M").status == outcome
    driver.check_gates(run)


def test_a_map_that_does_not_run_has_no_items():
    run = start(mapped("M", when="false"), "Z", items=[1])
    seen = []
    driver.drain(run, lambda claimed: seen.append(claimed.upstream))
    assert driver.statuses(run) == {"M": "skipped", "Z": "success"}
    assert seen == [None]


def active(run: Run) -> list[str]:
    rows = run.tasks.filter(map_index__gte=0).active().exclude(status="pending").order_by("map_index")
    return [task.label for task in rows]


def test_max_parallel_counts_items_in_work():
    run = start(mapped("M", "S", "T", max_parallel=2), items=[1, 2, 3, 4])
    driver.expand(run, "M")
    assert active(run) == ["S[0]", "S[1]"]
    driver.succeed(run, "S", index=1)
    assert active(run) == ["S[0]", "T[1]"]
    claimed = driver.claim(run, "T", 1)
    assert finish.retry_later(claimed, Failure(error="ValueError: no"), 60)
    assert active(run) == ["S[0]", "T[1]"]
    driver.fail(run, "S", index=0)
    assert active(run) == ["T[1]", "S[2]"]
    publishing.wake_tasks(run.tasks.filter(map_index=1))
    run.tasks.filter(step="T", map_index=1).update(not_before=Now())
    publishing.wake()
    driver.succeed(run, "T", index=1)
    assert active(run) == ["S[2]", "S[3]"]
    driver.check_gates(run)
    driver.drain(run)
    driver.check_gates(run)
    assert run.error == "S[0]: ValueError: no"


def test_options_act_on_each_task_of_each_item(published, django_capture_on_commit_callbacks):
    first = step("S", queue="fast", priority=3, timeout=60, retry=Retry(max=1))
    second = step("T", continue_on_error=True)
    run = start(mapped("M", first, second), items=["a", "b"])
    published.clear()
    with django_capture_on_commit_callbacks(execute=True):
        driver.expand(run, "M")
    sent = [(message.queue, message.priority, message.time_limit, message.map_index) for message in published]
    assert sent == [("fast", 3, 60, 0), ("fast", 3, 60, 1)]
    for index in (0, 1):
        driver.claim(run, "S", index)
    assert run.tasks.running().update(deadline_at="2026-01-01T00:00:00Z") == 2
    assert timeouts.end_overdue_attempts() == 2
    assert of_items(run) == {"S[0]": "queued", "T[0]": "pending", "S[1]": "queued", "T[1]": "pending"}
    driver.succeed(run, "S", "x", 0)
    driver.fail(run, "S", index=1)
    driver.fail(run, "T", index=0)
    assert of_items(run) == {"S[0]": "success", "T[0]": "failed", "S[1]": "failed", "T[1]": "upstream_failed"}
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "S[1]: ValueError: no")


def test_instances_start_in_the_order_of_their_index(published, django_capture_on_commit_callbacks):
    for limit in (None, 3):
        run = start(mapped("M", max_parallel=limit), name=f"test.P{limit}", items=list(range(12)))
        published.clear()
        with django_capture_on_commit_callbacks(execute=True):
            driver.expand(run, "M")
        assert [message.map_index for message in published] == list(range(limit or 12))
        order = []
        with django_capture_on_commit_callbacks(execute=True):
            while waiting := run.tasks.queued().filter(map_index__gte=0).order_by("-map_index").first():
                driver.succeed(run, "M", index=waiting.map_index)
                order.append(waiting.map_index)
        # Whichever ends, the lowest that waits is next.
        assert limit is None or [message.map_index for message in published] == list(range(12))


def test_more_in_parallel_than_there_are_items():
    run = start(mapped("M", max_parallel=5), items=[1, 2])
    driver.expand(run, "M")
    assert active(run) == ["M[0]", "M[1]"]
    driver.drain(run, doubled)
    assert run.result == [2, 4]


def test_a_message_that_comes_twice_does_not_expand_twice():
    run = start(mapped("M"), items=[1, 2])
    row = run.tasks.select_related("run__version").get(step="M")
    driver.expand(run, "M")
    assert claims.claim(driver.ticket(row), "tests") is None
    publishing.wake()
    row.refresh_from_db()
    assert (row.status, row.map_count) == ("waiting", 2)


def test_the_loser_of_a_lease_does_not_expand():
    run = start(mapped("M"), items=[1, 2])
    lost = driver.claim(run, "M")
    assert finish.requeue(lost)
    assert not maps.expand(lost, ["1", "2"])
    assert run.tasks.count() == 1
    driver.drain(run, doubled)
    assert run.result == [2, 4]


def test_statements_for_an_expansion_do_not_grow_with_the_items():
    counts = []
    for size in (10, 1500):
        run = start(mapped("M", "S", "T", max_parallel=3), name=f"test.N{size}", items=list(range(size)))
        claimed = driver.claim(run, "M")
        texts = maps.read_items(list(range(size)))
        with CaptureQueriesContext(connection) as captured:
            assert maps.expand(claimed, texts)
        counts.append(len([q for q in captured if not q["sql"].startswith(driver.TRANSACTION_WORDS)]))
    # The number of tasks; the map's row; the first items, those held back, the tasks after them; the counters.
    assert counts == [6, 6]


def test_query_counts():
    paired = can_pair()
    run = start(mapped("M"), items=list(range(200)))
    driver.expand(run, "M")
    ticket = _ticket(run, "M", 5)
    with driver.queries(1 if paired else 2):
        claimed = claims.claim(ticket, "tests")
    with driver.queries(1 if paired else 2):
        finish.finish(claimed, 1)
    run = start(
        mapped("M", "S", step("T", kwargs={"x": "${{ item }}"}), max_parallel=3), name="test.TWO", items=[1] * 200
    )
    driver.expand(run, "M")
    claimed = driver.claim(run, "S", 1)
    with driver.queries(1 if paired else 2):
        finish.finish(claimed, 1)
    ticket = _ticket(run, "T", 1)
    with driver.queries(2):
        claimed = claims.claim(ticket, "tests")
    # Its row, the counter, the lowest item that is held back, that one's row.
    with driver.queries(1 if paired else 4):
        finish.finish(claimed, 1)
    driver.check_gates(run)


def _ticket(run: Run, name: str, index: int) -> claims.Ticket:
    return driver.ticket(run.tasks.select_related("run__version").get(step=name, map_index=index))


@pytest.fixture
def forget(monkeypatch):
    """Let this process be one that has seen no item of a map end."""
    return lambda: monkeypatch.setattr(held_items, "_begun", held_items._Begun())


@pytest.mark.parametrize("stay", [True, False])
def test_the_next_item_is_found_however_far_the_others_are(stay, forget):
    run = start(mapped("M", max_parallel=2), items=list(range(40)))
    driver.expand(run, "M")
    slow = driver.claim(run, "M", 0)
    for index in range(1, 30):
        driver.succeed(run, "M", index=index)
    assert active(run) == ["M[0]", "M[30]"]
    if not stay:
        forget()
    assert finish.finish(slow, 1)
    assert active(run) == ["M[30]", "M[31]"]
    driver.check_gates(run)


def test_the_last_items_of_a_map_cost_no_search():
    run = start(mapped("M", max_parallel=3), items=list(range(70)))
    driver.expand(run, "M")
    for index in range(66):
        driver.succeed(run, "M", index=index)
    driver.succeed(run, "M", index=66)
    assert active(run) == ["M[67]", "M[68]", "M[69]"]
    claimed = driver.claim(run, "M", 68)
    # The first end after which no item is held back finds that out.
    driver.succeed(run, "M", index=67)
    with driver.queries(1 if can_pair() else 2):
        finish.finish(claimed, 1)
    driver.check_gates(run)


def test_after_a_retry_items_begin_in_their_order_again():
    run = start(mapped("M", max_parallel=2), items=list(range(12)))
    driver.expand(run, "M")
    for index in range(12):
        driver.fail(run, "M", index=index)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    engine.retry(run)
    for index in range(10):
        assert active(run) == [f"M[{index}]", f"M[{index + 1}]"]
        driver.succeed(run, "M", index=index)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_pause_holds_items_back():
    run = start(mapped("M", max_parallel=1), items=[1, 2])
    driver.expand(run, "M")
    claimed = driver.claim(run, "M", 0)
    engine.pause(run)
    assert finish.finish(claimed, 1)
    assert claims.claim(_ticket(run, "M", 1), "tests") is None
    engine.resume(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_a_cancel_ends_a_map_with_what_it_has_not_started():
    run = start(mapped("M", max_parallel=2), "Z", items=[1, 2, 3, 4])
    driver.expand(run, "M")
    driver.succeed(run, "M", index=0)
    claimed = driver.claim(run, "M", 1)
    engine.cancel(run)
    assert finish.finish(claimed, 1)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert list(of_items(run).values()) == ["success", "success", "canceled", "canceled"]
    assert run.tasks.get(step="M", map_index=-1).status == "canceled"


def test_an_expansion_after_a_cancel_is_swept():
    run = start(mapped("M"), items=[1, 2])
    claimed = driver.claim(run, "M")
    engine.cancel(run)
    assert maps.expand(claimed, ["1", "2"])
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert set(of_items(run).values()) == {"canceled"}


def test_fail_fast_cancels_what_has_not_started():
    run = start(mapped("M", max_parallel=2), "Z", items=[1, 2, 3], fail_fast=True)
    driver.expand(run, "M")
    other = driver.claim(run, "M", 1)
    driver.fail(run, "M", index=0)
    stopping.continue_stop(run.pk)
    assert of_items(run) == {"M[0]": "failed", "M[1]": "running", "M[2]": "canceled"}
    assert run.tasks.get(step="M", map_index=-1).status == "waiting"
    assert finish.finish(other, 1)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.tasks.get(step="M", map_index=-1).status == "failed"
    assert run.tasks.get(step="Z").status == "canceled"


def test_fail_fast_spares_a_map_and_what_comes_after_it():
    cleanup = mapped("M", "S", "T", trigger_rule="always", max_parallel=1)
    run = start("A", cleanup, step("Z", trigger_rule="always"), items=[1, 2], fail_fast=True)
    driver.fail(run, "A")
    driver.drain(run)
    assert {task.step: task.status for task in run.tasks.all()} == {
        "A": "failed",
        "M": "success",
        "S": "success",
        "T": "success",
        "Z": "success",
    }
    assert run.status == RunStatus.FAILED


def test_fail_fast_spares_what_cleans_up_for_each_item():
    body = ("S", step("T", trigger_rule="always"))
    run = start(mapped("M", *body, max_parallel=1), step("Z", trigger_rule="always"), items=[1, 2], fail_fast=True)
    driver.expand(run, "M")
    driver.fail(run, "S", index=0)
    stopping.continue_stop(run.pk)
    assert active(run) == ["T[0]"]
    assert run.tasks.get(step="Z").status == "pending"
    driver.drain(run)
    assert of_items(run) == {"S[0]": "failed", "S[1]": "canceled", "T[0]": "success", "T[1]": "success"}
    assert run.tasks.get(step="Z").status == "success"
    assert run.status == RunStatus.FAILED


def test_losing_a_worker_and_an_unknown_task_concern_one_item():
    run = start(mapped("M"), items=[1, 2])
    driver.expand(run, "M")
    driver.claim(run, "M", 0)
    (task,) = queries.read_to_end(run.tasks.running())
    assert finish.mark_lost(task, Failure(error="WorkerLost: gone"))
    task.refresh_from_db()
    assert (task.status, task.crashes) == ("queued", 1)
    driver.fail(run, "M", index=1)
    driver.drain(run, doubled)
    assert of_items(run) == {"M[0]": "success", "M[1]": "failed"}


def test_the_supervisor_tops_up_what_a_hand_has_broken():
    run = start(mapped("M", max_parallel=2), items=[1, 2, 3, 4])
    driver.expand(run, "M")
    run.tasks.filter(map_index=0).update(status="success", finished_at=Now(), next_dispatch_at=None)
    assert item_rows.top_up() == 1
    assert active(run) == ["M[1]", "M[2]"]
    assert item_rows.top_up() == 0


def test_the_audit_recomputes_a_map_in_which_nothing_moves():
    run = start(mapped("M"), "Z", items=list(range(70)))
    driver.expand(run, "M")
    items = run.tasks.filter(map_index__gte=0)
    items.filter(map_index__lt=65).update(status="success", finished_at=Now(), next_dispatch_at=None)
    items.filter(map_index__gte=65).update(status="pending", next_dispatch_at=None)
    assert audit.audit() == 1
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
    run = start(mapped("M"), "Z", name="test.DONE", items=[1])
    driver.expand(run, "M")
    run.tasks.filter(map_index__gte=0).update(status="success", finished_at=Now(), next_dispatch_at=None)
    assert audit.audit() == 1
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_hooks_know_the_result_of_a_map():
    hook = step("hooks.success", kwargs={"list": "${{ tasks.M.result }}"})
    run = start(mapped("M"), items=[1, 2], hooks={"success": (hook,)})
    given = {}

    def work(claimed):
        given[claimed.node.step.id] = inputs.evaluate_with(claimed)
        return doubled(claimed)

    driver.drain(run, work)
    assert given["hooks.success"] == {"list": [2, 4]}


def test_ids_are_known_without_asking():
    run = start(mapped("M", "S", "T"), items=[1, 2])
    driver.expand(run, "M")
    for task in run.tasks.filter(map_index__gte=0):
        assert task.pk == ids.item_id(run.pk, task.position, task.map_index)
    positions = sorted(run.tasks.values_list("position", "map_index"))
    assert positions == [(0, -1), (1, 0), (1, 1), (2, 0), (2, 1)]


@pytest.mark.django_db(transaction=True)
def test_a_failure_for_one_item_stops_the_run_at_once(published):
    """Without the supervisor, which would find it at its next tick."""
    run = start(mapped("M"), items=[1, 2, 3], fail_fast=True)
    driver.expand(run, "M")
    driver.fail(run, "M", index=1)
    assert driver.statuses(run) == {"M": "failed", "M[0]": "canceled", "M[1]": "failed", "M[2]": "canceled"}
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
