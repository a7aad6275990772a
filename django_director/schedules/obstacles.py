"""Finds schedules whose messages could start no run now, and says why.

Nothing else would tell: beat goes on sending, and each of its messages fails in a worker.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from django_director.common.json_values import storable_text
from django_director.engine import check_start
from django_director.exceptions import DirectorError
from django_director.models import Workflow, WorkflowVersion
from django_director.models.workflows import load_graphs

from .reasons import LEFT, UNKNOWN, UNREADABLE, WRONG_ARGUMENTS, Obstacle, Reason, reason_of
from .timings import PeriodicRow, has_ended

SECONDS: Final = 0.25
"""A page begins no further check after so many seconds; the next page goes on with what is left."""
CHUNK: Final = 20
"""So many definitions are read at once."""
KEPT: Final = 4_096
"""How many results of checks a process keeps."""

_results: dict[tuple[str, bytes], Reason | None] = {}


class Call(NamedTuple):
    """What the message of a schedule asks a worker to do."""

    workflow: str
    payload: Any


@dataclass(frozen=True, slots=True)
class _Check:
    """A payload that is to be checked against a version."""

    row: PeriodicRow
    call: Call
    version: WorkflowVersion
    key: tuple[str, bytes]
    """The hash of the version, and of the arguments: neither ever has another result."""


def read_workflows(rows: Iterable[PeriodicRow]) -> dict[str, Workflow]:
    """Return the workflows that schedules start, by name, with their current versions. It takes one query at most.

    The definitions are left out.
    """
    names = {call.workflow for row in rows if isinstance(call := _call_of(row), Call)}
    # No workflow has a name that a database refuses to be asked for.
    wanted = {name for name in names if storable_text(name) == name}
    found = Workflow.objects.filter(name__in=wanted).select_related("current_version").order_by()
    rest = found.defer("current_version__definition", "current_version__source") if wanted else ()
    return {workflow.name: workflow for workflow in rest}


def find(
    rows: Iterable[PeriodicRow], workflows: Mapping[str, Workflow], seconds: float = SECONDS
) -> dict[Any, Obstacle]:
    """Return why schedules could start no run now, by the ids of their rows.

    ``workflows`` are those with the names that the schedules have, each with its current version. A schedule that
    is switched off, or that beat sends no more, has no obstacle. Each pair of a version and a payload is checked
    once for each process, and the time of a look is limited by ``seconds``: a schedule for which there was no time
    has no obstacle yet. It takes a query for each ``CHUNK`` of versions that were not checked before.
    """
    found, checks, now = {}, [], datetime.now(UTC)
    for row in rows:
        if not row.enabled or has_ended(row, now):
            continue
        call = _call_of(row)
        workflow = workflows.get(call.workflow) if isinstance(call, Call) else None
        version = workflow.current_version if workflow else None
        if not isinstance(call, Call):
            found[row.pk] = Obstacle(row.name, "", call)
        elif workflow is None or version is None:
            found[row.pk] = Obstacle(row.name, call.workflow, UNKNOWN)
        elif not workflow.is_active:
            found[row.pk] = Obstacle(row.name, call.workflow, LEFT)
        else:
            version.workflow = workflow
            checks.append(_Check(row, call, version, (version.content_hash, _hash_of(row))))
    for check, reason in _reasons(checks, seconds):
        if reason is not None:
            found[check.row.pk] = Obstacle(check.row.name, check.call.workflow, reason)
    return found


def _reasons(checks: Sequence[_Check], seconds: float) -> Iterator[tuple[_Check, Reason | None]]:
    """Yield the results that are known, and those of the checks for which there is time."""
    end = time.monotonic() + seconds
    new = [check for check in checks if check.key not in _results]
    for start in range(0, len(new), CHUNK):
        if time.monotonic() < end:
            _check_all(new[start : start + CHUNK], end)
    for check in checks:
        # A process that has more schedules than it keeps results may have lost one again.
        yield check, _results.get(check.key)


def _check_all(checks: Sequence[_Check], end: float) -> None:
    # Of a definition that this release can't read the check says so.
    with contextlib.suppress(ValueError):
        load_graphs(check.version for check in checks)
    for check in checks:
        if time.monotonic() >= end:
            return
        _results[check.key] = _reason(check)
        while len(_results) > KEPT:
            _results.pop(next(iter(_results)), None)


def _reason(check: _Check) -> Reason | None:
    try:
        check_start(check.version, check.call.payload)
    except (DirectorError, ValueError) as error:
        return reason_of(error)
    return None


def _call_of(row: PeriodicRow) -> Call | Reason:
    """Return what a message of this schedule asks for, or why a worker does not understand it."""
    try:
        args, kwargs = json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return WRONG_ARGUMENTS
    try:
        call = _bind(*args, **kwargs)
    except TypeError:
        return WRONG_ARGUMENTS
    return call if isinstance(call.workflow, str) else WRONG_ARGUMENTS


def _bind(name: str, payload: object = None) -> Call:
    """Take the arguments as the task ``run_workflow`` does."""
    return Call(name, payload)


def _hash_of(row: PeriodicRow) -> bytes:
    return sha256(f"{row.args}\0{row.kwargs}".encode(errors="surrogatepass")).digest()
