"""Time limits, whoever names them, on each pool: one execution, one clear error, also where nothing can kill."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_director.definitions import Retry
from django_director.status import RunStatus
from tests.factories import step

from . import checker
from .conftest import Site
from .settings import DIRECTOR

pytestmark = [pytest.mark.worker, pytest.mark.thorough]

GLOBAL = 2.0
"""Seconds. The workers' own `task_time_limit`."""
LATEST = 6.0
"""Seconds after its limit in which an attempt has ended: a supervisor may have started with its worker."""
#: What names a limit: the task, its seconds, and how the step or the settings of whoever starts it say so.
LIMITS: dict[str, tuple[str, float, dict[str, Any], dict[str, Any]]] = {
    "decorator": ("LIMITED", 1, {}, {}),
    "step": ("LONG", 1.5, {"timeout": 1.5}, {}),
    "settings": ("LONG", GLOBAL, {}, {}),
    "message": ("LONG", 1.25, {}, {"TASK_TIME_LIMIT": 1.25}),
    "again": ("LIMITED", 1, {"retry": Retry(max=1, delay=0, only=("TimeLimitExceeded",))}, {}),
}


@pytest.fixture(autouse=True)
def _checked(checked: Site) -> None:
    """Every test is checked at its end."""


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    "pool",
    [
        "prefork",
        "threads",
        "gevent",
        pytest.param("eventlet", marks=pytest.mark.slow),
        pytest.param("solo", marks=pytest.mark.slow),
    ],
)
def test_a_time_limit_ends_an_attempt_once(site: Site, trace: Path, pool: str):
    if pool in ("gevent", "eventlet") and importlib.util.find_spec(pool) is None:
        pytest.skip(f"{pool} is not installed")
    site.kill()
    site.expected |= {"Task handler raised error", "Hard time limit", "exited with 'signal", "Timed out"}
    worker = site.worker(pool=pool, concurrency=8, DIRECTOR_TEST_TIME_LIMIT=str(GLOBAL))
    # A worker that does one thing at a time does not hear of what else there is meanwhile.
    named = {name: LIMITS[name] for name in (["settings"] if pool == "solo" else LIMITS)}
    runs = {}
    for name, (task, _, fields, settings) in named.items():
        site.define(f"limit.{name}", step(task, **fields), "NOOP")
        with override_settings(DIRECTOR=DIRECTOR | settings):
            runs[name] = site.start(f"limit.{name}", {"trace": str(trace), "seconds": 9})
    site.wait(list(runs.values()), 20)
    for name, (task, seconds, *_) in named.items():
        row = runs[name].tasks.get(step=task)
        assert runs[name].status == RunStatus.FAILED
        assert row.error == f"TimeLimitExceeded: it ran longer than {seconds:g} s", name
        again = name == "again"
        assert (row.failures, row.crashes, row.attempts.count()) == (1 + again, 0, again)
        # A pool counts from the acceptance of the message.
        assert seconds - 1 < (row.finished_at - row.started_at).total_seconds() < seconds + LATEST
    assert pool != "gevent" or "DirectorError('TimeLimitExceeded: it ran longer than 1 s')" in worker.text()
    # What comes next is served, and what runs on is not executed again, nor believed.
    assert site.run("example.ETL").result == 60
    executed = checker.executions(trace)
    for name, run in runs.items():
        assert executed[str(run.tasks.order_by("position")[0].pk)] == 1 + (name == "again")
    site.kill()
