"""Operations: the only writer of status, the only transactions.

Faces (admin, API, commands, schedules) authorise, call one of these, and translate the outcome.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_director.engine.launch.named_workflows import current_version, workflow_named
from django_director.engine.launch.relaunch import (
    RelaunchPreview,
    preview_relaunch,
    relaunch_version,
    shown_payload,
    with_hidden,
)
from django_director.engine.launch.start import counts_at_start, start
from django_director.engine.launch.start_previews import StartPreview, check_start, foresee_start, preview_start
from django_director.engine.reset.apply import preview_rerun, preview_retry, preview_skip
from django_director.engine.reset.previews import Again, Preview, StepTasks
from django_director.engine.steps.approvals import check_waits
from django_director.models import Run

from . import pausing, stopping
from .concurrency import admission as _admission  # noqa: F401 - registers what it does at the end of a run
from .concurrency.forecasts import Forecast
from .launch import relaunch as relaunches
from .lineage import refuse_child
from .patience import patient
from .reset import apply
from .steps import approvals
from .steps import child_workflows as _child_workflows  # noqa: F401 - registers what it does at the end of a run

approve = patient(approvals.approve)
cancel = patient(stopping.cancel)
pause = patient(pausing.pause)
reject = patient(approvals.reject)
relaunch = patient(relaunches.relaunch)
rerun = patient(apply.rerun)
resume = patient(pausing.resume)
retry = patient(apply.retry)
skip = patient(apply.skip)


async def astart(name: str, payload: object = None, **options: Any) -> Run:
    """Start a workflow from async code; see ``start``."""
    run: Run = await sync_to_async(start)(name, payload, **options)
    return run


__all__ = [
    "Again",
    "Forecast",
    "Preview",
    "RelaunchPreview",
    "StartPreview",
    "StepTasks",
    "approve",
    "astart",
    "cancel",
    "check_start",
    "check_waits",
    "counts_at_start",
    "current_version",
    "foresee_start",
    "pause",
    "preview_relaunch",
    "preview_rerun",
    "preview_retry",
    "preview_skip",
    "preview_start",
    "refuse_child",
    "reject",
    "relaunch",
    "relaunch_version",
    "rerun",
    "resume",
    "retry",
    "shown_payload",
    "skip",
    "start",
    "with_hidden",
    "workflow_named",
]
