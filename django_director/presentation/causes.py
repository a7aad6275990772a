"""Groups failed runs by their cause: the step, the class of the error, and its text without numbers and ids.

The same failure of a warehouse that is away has another address, order or request id in each run. Trackers of
errors group by such "fingerprints" too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper
from django.db.models.functions import Left

from django_director.models.querysets import RunQuerySet

from . import visible_errors

SAMPLE: Final = 1_000
"""How many failed runs are read at most, the newest first."""
TEXT_READ: Final = 1_000
"""How many characters of an error are read."""

_VARYING: Final = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}(?:-[0-9a-f]{4,}){0,4}\b|\d+", re.IGNORECASE)


class Failure(NamedTuple):
    """A failed run, with the columns that tell its cause."""

    pk: UUID
    workflow_id: int
    workflow: str
    error: str
    finished_at: datetime
    comment: str


@dataclass(slots=True)
class Cause:
    """The failed runs of one cause, the newest first."""

    step: str
    """The label of the step that failed first; empty if the error names none."""
    error: str
    """The error of the newest of these runs, on one line, as far as the user may see it."""
    key: str
    """Names the cause in addresses."""
    failures: list[Failure] = field(default_factory=list)

    @property
    def newest(self) -> Failure:
        return self.failures[0]

    @property
    def since(self) -> datetime:
        """When the oldest of these runs ended."""
        return self.failures[-1].finished_at

    @property
    def workflows(self) -> dict[int, str]:
        """The names of the workflows of these runs, by their ids."""
        return {failure.workflow_id: failure.workflow for failure in self.failures}


def read_failures(runs: RunQuerySet, since: datetime) -> list[Failure]:
    """Return the runs among ``runs`` that have failed after ``since``, the newest first, at most ``SAMPLE``.

    It takes one query. Runs that a relaunch has repaired are left out, and so are child runs: their parents have
    failed because of them.
    """
    failed = runs.failed().roots().filter(finished_at__gte=since).order_by("-finished_at")
    columns = ("pk", "workflow_id", "workflow__name", "beginning", "finished_at", "comment")
    # As a condition it would keep PostgreSQL from reading the index in order and stopping after the sample.
    is_repaired = ExpressionWrapper(runs.is_repaired(), output_field=BooleanField())
    found = failed.annotate(beginning=Left("error", TEXT_READ), is_repaired=is_repaired)
    rows = found.values_list("is_repaired", *columns)[:SAMPLE]
    return [Failure(*row) for repaired, *row in rows if not repaired]


def group(failures: Iterable[Failure], sees_payload: Callable[[int], bool]) -> list[Cause]:
    """Return the causes of ``failures``, the one with the most runs first.

    ``sees_payload`` tells whether the user may see the texts of errors of a workflow, given by its id. Errors of
    which the user sees the class only are grouped by that, so that the groups tell no more than their names.
    """
    found: dict[str, Cause] = {}
    for failure in failures:
        step, error = split(failure.error, sees_payload=sees_payload(failure.workflow_id))
        key = key_of(step, error)
        found.setdefault(key, Cause(step=step, error=error, key=key)).failures.append(failure)
    return sorted(found.values(), key=lambda cause: (-len(cause.failures), cause.key))


def split(error: str, *, sees_payload: bool) -> tuple[str, str]:
    """Divide the error of a run into the label of the step and the first line of what the step has raised."""
    return divide(visible_errors.of_run_text(error, sees_payload=sees_payload))


def divide(error: str) -> tuple[str, str]:
    """Divide the visible error of a run into the label of the step and the first line of what that has raised."""
    line = error.partition("\n")[0]
    step, colon, rest = line.partition(": ")
    return (step, rest) if colon else ("", line)


def key_of(step: str, error: str) -> str:
    """Return a short key that is the same for errors that differ in numbers and ids only."""
    plain = _VARYING.sub("#", f"{step}\n{error}")
    return hashlib.sha256(plain.encode()).hexdigest()[:12]
