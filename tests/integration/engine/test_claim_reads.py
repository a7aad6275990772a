"""A claim reads what its task can use, and a payload once for each process."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery import shared_task
from django.db import connection
from django.test.utils import CaptureQueriesContext

import django_director
from django_director import testing
from django_director.db.compiled import can_pair
from django_director.definitions.call_plan import USES_NONE, Uses
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import payloads
from django_director.engine.attempts.claim import Claim
from django_director.masking.redaction import Redactor
from django_director.masking.values import MASKED
from django_director.models import Run
from django_director.status import RunStatus, TaskStatus
from django_director.worker import inputs
from tests.factories import approval, definition, make_workflow, mapped, step

from . import driver

pytestmark = pytest.mark.django_db
LARGE = [f"entry {number} of a list that nobody uses" for number in range(1000)]
SECRET = "s3cret-in-a-large-payload"
PAYLOAD_ONLY = Uses(payload=True, upstream=False)


def claim(run: Run, name: str, uses: Uses, index: int = -1) -> tuple[Claim, int]:
    """Claim a task for a Celery task that ``uses`` these values; return the claim and its number of statements."""
    ticket = driver.ticket(run.tasks.select_related("run__version").get(step=name, map_index=index))
    with CaptureQueriesContext(connection) as captured:
        claimed = claims.claim(ticket, "tests", uses=lambda node: uses)
    assert claimed is not None
    return claimed, len([q for q in captured if not q["sql"].startswith(driver.TRANSACTION_WORDS)])


@pytest.fixture
def forget(monkeypatch):
    """Let this process be one that has met no task of any run."""
    return lambda: monkeypatch.setattr(payloads, "_kept", payloads._Kept())


@pytest.mark.parametrize("uses", [USES_NONE, PAYLOAD_ONLY])
@pytest.mark.parametrize("payload", [{}, {"n": 1}, [1, "é"], None, 7])
def test_a_small_payload_comes_with_the_first_claim_of_a_process(payload, uses, forget):
    run = driver.start("A", "B", payload=payload)
    forget()
    first, statements = claim(run, "A", uses)
    assert statements == (1 if can_pair() else 2)
    driver.finish.finish(first, None)
    second, again = claim(run, "B", PAYLOAD_ONLY)
    assert again == statements
    with driver.queries(0):
        assert first.payload.value == second.payload.value == second.payload.copy() == run.payload


def test_a_large_payload_that_is_not_used_is_not_read():
    run = driver.start("A", "B", "C", payload={"list": LARGE})
    for name in ("A", "B"):
        claimed, statements = claim(run, name, USES_NONE)
        assert statements == (1 if can_pair() else 2)
        assert not claimed.payload.is_read
        driver.finish.finish(claimed, None)
    # And by the first task that uses it, once.
    claimed, again = claim(run, "C", PAYLOAD_ONLY)
    assert again == statements
    with driver.queries(0):
        assert claimed.payload.copy() == {"list": LARGE}


def test_a_large_payload_is_read_once_for_all_items(forget):
    run = driver.start(mapped("M", over=[1, 2, 3]), payload={"list": LARGE})
    driver.expand(run, "M")
    forget()
    first, _ = claim(run, "M", PAYLOAD_ONLY, 0)
    second, _ = claim(run, "M", PAYLOAD_ONLY, 1)
    assert second.payload is first.payload
    mine = first.payload.copy()
    mine["list"].clear()
    assert second.payload.copy() == {"list": LARGE}


def test_an_expression_uses_the_payload_whatever_the_function_takes():
    run = driver.start(step("A", kwargs={"n": "${{ payload.n }}"}), payload={"n": 5, "list": LARGE})
    claimed, statements = claim(run, "A", USES_NONE)
    assert statements == (1 if can_pair() else 2)
    with driver.queries(0):
        assert claimed.names["payload"]["n"] == 5


def test_an_expression_uses_the_item_whatever_the_function_takes():
    kwargs = {"n": "${{ item + index }}"}
    run = driver.start(mapped("M", step("S", kwargs=kwargs), step("T", kwargs=kwargs), over=[5, 6]))
    driver.expand(run, "M")
    claimed, statements = claim(run, "S", USES_NONE, 1)
    assert statements == (1 if can_pair() else 2)
    assert inputs.evaluate_with(claimed) == {"n": 7}
    driver.finish.finish(claimed, None)
    # The item stands in the row of the first task.
    claimed, statements = claim(run, "T", USES_NONE, 1)
    assert statements == 2
    assert inputs.evaluate_with(claimed) == {"n": 7}


def test_results_that_are_not_used_are_not_read():
    run = driver.start("A", "B", approval("OK"), "C")
    driver.succeed(run, "A", "what A returns")
    claimed, _ = claim(run, "B", USES_NONE)
    assert claimed.upstream is None
    driver.finish.finish(claimed, "what B returns")
    # An approval passes on what came before it, and needs not see it.
    assert claim(run, "OK", USES_NONE)[0].upstream is None


def test_an_item_that_is_not_used_is_not_read():
    run = driver.start(mapped("M", over=["an item"] * 2))
    driver.expand(run, "M")
    assert claim(run, "M", USES_NONE, 0)[0].upstream is None
    assert claim(run, "M", Uses(payload=False, upstream=True), 1)[0].upstream == "an item"


def test_results_over_the_limit_do_not_fail_a_task_that_does_not_use_them(settings):
    @shared_task(name="tests.reads.NOTHING")
    def nothing() -> str:
        return "done"

    settings.DIRECTOR = {"MAX_INPUT": 100}
    body = mapped("M", step("T", task="tests.reads.ECHO"), over="range(9)")
    run = run_local(body, step("Z", task="tests.reads.NOTHING"))
    assert (run.status, run.result) == (RunStatus.SUCCESS, "done")
    run = run_local(body, step("Z", task="tests.reads.ECHO"), name="test.OTHER")
    assert 'DIRECTOR["MAX_INPUT"]' in run.tasks.get(step="Z").error


def test_what_a_task_does_to_its_payload_is_nobody_elses():
    seen: list[Any] = []

    @shared_task(name="tests.reads.SPOIL")
    def spoil(payload: dict[str, Any], part: list[str], whole: Any) -> None:
        seen.append([list(payload["list"]), list(part), dict(whole["map"])])
        payload["list"].append("spoilt")
        part.append("spoilt")
        whole["map"]["spoilt"] = True

    values = {"part": "${{ payload.list }}", "whole": "${{ payload }}"}
    spoiling = step("T", task="tests.reads.SPOIL", kwargs=values)
    payload = {"list": ["a"], "map": {"b": 1}, "more": LARGE}
    run = run_local(mapped("M", spoiling, over="range(3)"), payload=payload)
    assert run.status == RunStatus.SUCCESS
    assert seen == [[["a"], ["a"], {"b": 1}]] * 3


def test_secrets_of_a_payload_that_was_not_read_are_hidden():
    """In what a task that never sees the payload logs, shows and raises: the secret may come from elsewhere."""

    @shared_task(name="tests.reads.TELL")
    def tell() -> None:
        running = django_director.context()
        assert running is not None
        running.progress(1, 2, f"with {SECRET}")
        logging.getLogger("tests.reads").warning("line with %s", SECRET)
        shown.append(Run.objects.get().tasks.get(status=TaskStatus.RUNNING).progress)
        raise ValueError(f"error with {SECRET}")

    shown: list[Any] = []
    run = run_local(step("A", task="tests.reads.TELL"), payload={"password": SECRET, "list": LARGE})
    task = run.tasks.get()
    assert shown == [{"done": 1, "total": 2, "message": f"with {MASKED}"}]
    assert f"line with {MASKED}" in task.logs.get().text
    assert task.error == f"ValueError: error with {MASKED}"
    assert SECRET not in task.traceback + task.logs.get().text + run.error


def test_a_text_reads_a_large_payload_once_for_a_process(forget):
    run = driver.start("A", "B", payload={"password": SECRET, "list": LARGE})
    first, _ = claim(run, "A", USES_NONE)
    texts = redactor(first)
    with driver.queries(1):
        assert texts.text(f"with {SECRET}") == f"with {MASKED}"
    driver.finish.finish(first, None)
    second, _ = claim(run, "B", USES_NONE)
    forget()
    with driver.queries(0):
        assert redactor(second).text(SECRET) == MASKED


def test_a_text_of_a_run_that_was_deleted_is_hidden_as_a_whole():
    run = driver.start("A", payload={"password": SECRET, "list": LARGE})
    claimed, _ = claim(run, "A", USES_NONE)
    texts = redactor(claimed)
    Run.objects.filter(pk=run.pk).delete()
    assert texts.text("with some secret") == MASKED


def redactor(claimed: Claim) -> Redactor:
    return Redactor(lambda: claimed.payload.value, None, claimed.run.pk)


@shared_task(name="tests.reads.ECHO")
def echo(value: Any) -> Any:
    return ["some text", value]


def run_local(*steps: Any, payload: Any = None, name: str = "test.FLOW") -> Run:
    make_workflow(definition(name, *steps))
    return testing.run_workflow(name, payload)
