"""A schedule that can't start a run, for the tests of all who tell so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import current_app
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from django_director.db.functions import Now
from django_director.engine.supervisor.loop import Supervisor
from django_director.models import Worker, Workflow
from django_director.schedules import beat_rows, obstacles
from tests import factories
from tests.factories import definition

SCHEMA = {
    "type": "object",
    "required": ["channel"],
    "properties": {"channel": {"type": "string"}, "order": {"type": "integer"}},
}
ALLOW = "tests.integration.blocked.allow"
LACKS = (
    "schedule “each10” of “orders.FULFIL” can't start a run: the payload does not fit the schema "
    '($: "channel" is a required property); change its payload or the schema'
)


def every(seconds: int = 600) -> IntervalSchedule:
    return IntervalSchedule.objects.get_or_create(every=seconds, period="seconds")[0]


def plan(
    name: str = "each10", payload: Any = None, workflow: str = "orders.FULFIL", **fields: Any
) -> PeriodicTask:
    kwargs = {"name": workflow, "payload": {} if payload is None else payload}
    given = {"task": beat_rows.TASK, "interval": every(), "kwargs": json.dumps(kwargs)}
    return PeriodicTask.objects.create(name=name, **given | fields)


def fulfil(schema: Any = SCHEMA, **fields: Any) -> Workflow:
    return factories.make_workflow(definition("orders.FULFIL", "A", schema=schema, **fields))


def be_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all else be well, and no result be kept."""
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")
    obstacles._results.clear()
    assert Supervisor("one")._acquire()
    Worker.objects.create(key=1, name="celery@host", started_at=Now(), seen_at=Now(), queues=["celery"])


def allow(user: Any, action: str, workflow: Any) -> bool:
    """Allow all but the view of the system: with a function of its own a project may hide workflows."""
    return action != "view_system"
