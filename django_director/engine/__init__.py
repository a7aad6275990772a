"""Operations: the only writer of status, the only transactions.

Faces (admin, API, commands, schedules) authorise, call one of these, and translate the outcome.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_director.db.lock_limits import patient
from django_director.models import Run

from . import approvals, hold, reset, stop
from . import relaunching as relaunches
from .approvals import check_waits
from .family import refuse_child
from .launch import counts_at_start, start, workflow_named
from .previews import Again, Preview
from .relaunching import RelaunchPreview, preview_relaunch, relaunch_version, shown_payload, with_hidden
from .reset import preview_rerun, preview_retry, preview_skip

approve = patient(approvals.approve)
cancel = patient(stop.cancel)
pause = patient(hold.pause)
reject = patient(approvals.reject)
relaunch = patient(relaunches.relaunch)
rerun = patient(reset.rerun)
resume = patient(hold.resume)
retry = patient(reset.retry)
skip = patient(reset.skip)


async def astart(name: str, payload: Any = None, **options: Any) -> Run:
    """Start a workflow from async code; see ``start``."""
    run: Run = await sync_to_async(start)(name, payload, **options)
    return run


__all__ = [
    "Again",
    "Preview",
    "RelaunchPreview",
    "approve",
    "astart",
    "cancel",
    "check_waits",
    "counts_at_start",
    "pause",
    "preview_relaunch",
    "preview_rerun",
    "preview_retry",
    "preview_skip",
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
