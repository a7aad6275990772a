"""Previews of a start: what a run would get as its payload, and whether it would wait for a slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_director.engine.concurrency import forecasts, keys
from django_director.engine.concurrency.forecasts import Forecast
from django_director.models import WorkflowVersion

from . import orders


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPreview:
    """What a start would do now."""

    payload: Any
    """As the run would have it: with the defaults of the version's schema."""
    forecast: Forecast | None
    """The runs that come before it; ``None`` for a workflow without ``concurrency``."""


def preview_start(version: WorkflowVersion, payload: object, **fields: Any) -> StartPreview:
    """Say what a start of ``version`` would do, without doing it; ``fields`` are columns of the run.

    Raises what ``start`` raises for the payload.
    """
    order = orders.with_key(orders.make_order(version, payload, **fields))
    return StartPreview(payload=order.payload, forecast=_foresee(version, order.fields.get("concurrency_key")))


def check_start(version: WorkflowVersion, payload: object) -> None:
    """Raise what ``start`` would raise for ``version`` and this payload. It takes no query."""
    orders.with_key(orders.make_order(version, payload))


def foresee_start(version: WorkflowVersion) -> Forecast | None:
    """Return the runs that come before a new run, whatever its payload; ``None`` if the payload decides that."""
    concurrency = version.graph.definition.concurrency
    return None if concurrency is None or concurrency.key is not None else _foresee(version, keys.NO_KEY)


def _foresee(version: WorkflowVersion, key: str | None) -> Forecast | None:
    concurrency = version.graph.definition.concurrency
    if concurrency is None or key is None:
        return None
    return forecasts.foresee(version.workflow_id, key, concurrency)
