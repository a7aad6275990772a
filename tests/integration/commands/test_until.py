"""`showrun` and the JSON say until when a task waits that nobody has to do anything about."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from django_director import engine, testing
from django_director.definitions import Retry
from django_director.models import Run
from django_director.worker import local
from tests.factories import definition, make_workflow, step

pytestmark = pytest.mark.django_db(transaction=True)


def shown(command, run: Run) -> tuple[str, str | None]:
    """What stands behind the first task, and its time in the JSON."""
    row = next(line for line in command("showrun", str(run.pk)).lines if line.startswith("A\t"))
    return row.split("\t")[-1], json.loads(command("showrun", str(run.pk), "--json").out)["tasks"][0][
        "waits_until"
    ]


def test_a_task_that_is_tried_again(command):
    make_workflow(definition("shop.ORDER", step("A", task="ERROR", retry=Retry(max=1, delay=3600))))
    run = engine.start("shop.ORDER", publish=False)
    with pytest.raises(TimeoutError):
        local.run_to_end(run, timeout=0.01)
    text, until = shown(command, run)
    assert until is not None
    assert text == f"tried again at {until}: ValueError: as asked"


def test_a_delayed_start(command):
    make_workflow(definition("shop.ORDER", step("A", task="NOOP")))
    run = engine.start("shop.ORDER", not_before=timezone.now() + timedelta(hours=1), publish=False)
    text, until = shown(command, run)
    assert until is not None
    assert text == f"not before {until}"


def test_what_does_not_wait_any_more_has_no_time(command):
    make_workflow(definition("shop.ORDER", step("A", task="ERROR", retry=Retry(max=1, delay=3600))))
    run = testing.run_workflow("shop.ORDER")
    assert shown(command, run) == ("ValueError: as asked", None)
