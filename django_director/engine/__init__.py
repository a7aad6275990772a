"""Operations: the only writer of status, the only transactions.

Faces (admin, API, commands, schedules) authorise, call one of these, and translate the outcome.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_director.models import Run

from .approvals import approve, check_waits, reject
from .family import refuse_child
from .hold import pause, resume
from .launch import counts_at_start, start, workflow_named
from .previews import Again, Preview
from .relaunching import RelaunchPreview, preview_relaunch, relaunch, relaunch_version
from .reset import preview_rerun, preview_retry, preview_skip, rerun, retry, skip
from .stop import cancel


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
    "skip",
    "start",
    "workflow_named",
]
