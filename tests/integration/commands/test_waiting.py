"""Runs that wait for a slot, or got none, in the commands."""

import json

import pytest

from django_director import engine
from django_director.definitions import Concurrency
from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def define(**concurrency):
    described = factories.definition("shop.ORDER", "NOOP", concurrency=Concurrency(**concurrency))
    factories.make_workflow(described)


def test_a_pending_run_is_told(command):
    define(key="payload.order")
    first = engine.start("shop.ORDER", {"order": 7})
    started = command("runworkflow", "shop.ORDER", '{"order": 7}')
    assert f"it waits for a slot of its key, behind run {first.pk}" in started.talk
    second = started.lines[0].split()[-1]
    shown = command("showrun", second).out
    assert f"waits for a slot of its key, behind run {first.pk}" in shown
    assert "concurrency key" in shown
    last = {line.split("\t")[0]: line.split("\t")[-1] for line in command("listruns").lines}
    assert last.keys() == {second, str(first.pk)}
    assert last[second] == f"waits for a slot of its key, behind run {first.pk}"
    assert last[str(first.pk)].startswith("in queue `celery` since ")
    (listed,) = json.loads(command("listruns", "--status", "pending", "--json").out)
    assert listed["waiting"]["behind"] == str(first.pk)


def test_a_skipped_run_is_told_and_a_failure_for_who_waits(command, failing):
    define(on_conflict="skip")
    first = engine.start("shop.ORDER")
    reason = f"skipped: run {first.pk} had not ended"
    assert reason in command("runworkflow", "shop.ORDER").talk
    assert command("listruns").lines[0].endswith(f"\t{reason}")
    error = failing("runworkflow", "shop.ORDER", "--wait", "--timeout", "5")
    assert error.returncode == 1
    assert reason in str(error)


def test_a_key_that_fails_is_an_error(failing):
    define(key="payload.order")
    assert "`concurrency.key` gives no value: `payload.order`, column 8" in str(
        failing("runworkflow", "shop.ORDER")
    )


def test_local_runs_wait_no_longer_than_they_are_told_to(failing):
    define()
    first = engine.start("shop.ORDER")
    error = failing("runworkflow", "shop.ORDER", "--local")
    assert f"waits for a slot, behind run {first.pk}; it stays pending" in str(error)
    assert error.returncode == 1
    assert failing("runworkflow", "shop.ORDER", "--local", "--timeout", "0.2").returncode == 3
    assert Run.objects.filter(status="pending").count() == 2


def test_who_waits_for_long_is_told_why(command, failing, monkeypatch):
    from django_director.management import progress

    monkeypatch.setattr(progress, "PATIENCE", 0)
    define()
    first = engine.start("shop.ORDER")
    talk = []
    monkeypatch.setattr(progress.OutputWrapper, "write", lambda self, text="", **kw: talk.append(text))
    failing("runworkflow", "shop.ORDER", "--wait", "--timeout", "0.2")
    assert f"it waits for a slot, behind run {first.pk}" in talk
