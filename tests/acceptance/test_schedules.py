"""Two beats, one worker: each slot of a schedule has one run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from django_director.models import Run
from django_director.schedules.beat_rows import TASK
from django_director.status import RunStatus, Trigger

from .conftest import Site
from .harness import wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow]
SECONDS = 2
FIRINGS = 6


@pytest.fixture(autouse=True)
def _worker(checked: Site) -> Iterator[None]:
    checked.worker()
    yield
    checked.check()
    checked.kill()


def periodic(name: str, workflow: str, payload: Any, **fields: Any) -> PeriodicTask:
    """A row as somebody would make it in the admin."""
    interval, _ = IntervalSchedule.objects.get_or_create(every=SECONDS, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(
        name=name,
        task=TASK,
        interval=interval,
        kwargs=json.dumps({"name": workflow, "payload": payload}),
        **fields,
    )


def runs_of(name: str) -> list[Run]:
    return list(Run.objects.filter(schedule=name).order_by("scheduled_for"))


@pytest.mark.fault(22)
def test_two_beats_make_one_run_for_each_slot(site: Site):
    assert TASK == "django_director.run_workflow"
    row = periodic("every two seconds", "example.RANDOMS", {"start": 1, "end": 1})
    beats = [site.beat(), site.beat()]
    wait_for(lambda: len(runs_of(row.name)) >= FIRINGS, 40, "firings")
    for beat in beats:
        wait_for(lambda beat=beat: beat.text().count("Sending due task every two seconds") >= 3, 20, "both fire")
    for beat in beats:
        beat.stop()
    runs = runs_of(row.name)
    slots = [run.scheduled_for for run in runs]
    # The first slot of all is counted from elsewhere; from then on the interval is kept, as exactly as beat does.
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(slots)]
    assert min(gaps[1:]) > SECONDS / 2, gaps
    assert len(runs) <= sum(gaps) / SECONDS + 2, gaps
    site.wait(runs)
    assert {(run.status, run.result, run.trigger) for run in runs} == {(RunStatus.SUCCESS, 2, Trigger.SCHEDULE)}
    sent = sum(beat.text().count("Sending due task every two seconds") for beat in beats)
    assert sent > len(runs), "the second beat's firings were duplicates"


def test_a_worker_that_was_away_starts_the_last_slot_only(site: Site):
    site.kill()
    row = periodic("while nobody works", "example.RANDOMS", {"start": 1, "end": 1})
    beat = site.beat()
    wait_for(lambda: beat.text().count(f"Sending due task {row.name}") >= FIRINGS, 60, "messages")
    came = timezone.now()
    worker = site.worker()
    wait_for(lambda: len(runs_of(row.name)) >= 3, 40, "runs")
    beat.stop()
    runs = runs_of(row.name)
    site.wait(runs)
    slots = [run.scheduled_for for run in runs]
    assert min(slots) > came - timedelta(seconds=2 * SECONDS)
    assert min(later - earlier for earlier, later in pairwise(slots)) > timedelta(seconds=SECONDS / 2)
    (first, *_) = re.findall(rf"“{row.name}” has missed ([0-9]+) slots since", worker.text())
    assert int(first) >= FIRINGS - 2


def test_a_row_made_by_hand_runs_the_workflow_once(site: Site):
    row = periodic("by hand", "example.PAYLOAD", {"order": 7}, one_off=True)
    site.beat()
    (run,) = wait_for(lambda: runs_of(row.name), 30, "the run")
    run.wait(30)
    assert run.result["payload"] == {"order": 7}
