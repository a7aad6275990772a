"""Relaunch: a new run of the same workflow, from the beginning. The old one stays as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django_director.engine import history
from django_director.engine.arguments import checked_columns, checked_run, checked_version, checked_via
from django_director.exceptions import Conflict, InvalidPayload
from django_director.masking.values import MASKED, holds_mask, mask, restore
from django_director.models import Run, Workflow, WorkflowVersion
from django_director.models.users import User

from .named_workflows import current_version
from .orders import checked_payload
from .start import start_version


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaunchPreview:
    """What a relaunch would start."""

    version: WorkflowVersion
    payload: Any
    """As the run would have it: with the defaults of the version's schema."""

    @property
    def tasks(self) -> int:
        """How many tasks the run would have."""
        return len(self.version.graph.nodes)


def relaunch(
    run: Run,
    payload: object = None,
    *,
    user: User = None,
    version: str = "current",
    comment: str = "",
    idempotency_key: str | None = None,
    via: str = "",
) -> Run:
    """Start a new run of the same workflow, with the same payload unless another is given.

    ``version`` is ``current`` or ``same`` (the one ``run`` had). A second call with the same
    ``idempotency_key`` returns the run of the first. The histories of both runs say ``via`` what ``user`` did it.
    Raises as ``start`` does, and ``Conflict`` for a run that was deleted meanwhile.
    """
    given = checked_columns("relaunch", user=user, comment=comment, idempotency_key=idempotency_key)
    chosen = relaunch_version(run, version)
    via = checked_via(via)
    source: dict[str, Any] = {"trigger": "relaunch", "relaunched_from": run}
    with _unquoted(payload is None):
        new = start_version(chosen, run.payload if payload is None else payload, **given, **source)
    if new.created:
        history.record_relaunch(given["user"], run, new, via)
    return new


def preview_relaunch(run: Run, payload: object = None, *, version: str = "current") -> RelaunchPreview:
    """Say what ``relaunch`` would start, without doing it. Raises what it would."""
    chosen = relaunch_version(run, version)
    given = run.payload if payload is None else payload
    with _unquoted(payload is None):
        return RelaunchPreview(version=chosen, payload=checked_payload(chosen, given))


def shown_payload(run: Run, version: WorkflowVersion) -> object:
    """Return the payload of ``run`` as it is shown: without what its own version or ``version`` hides."""
    schemas = [run.version.graph.definition.schema, version.graph.definition.schema]
    shown = mask(run.payload, schemas[0])
    return shown if schemas[0] == schemas[1] else mask(shown, schemas[1])


def with_hidden(run: Run, payload: object, version: WorkflowVersion) -> object:
    """``payload`` with the values of ``run`` where it has the ``********`` that ``shown_payload`` has there.

    Raises ``InvalidPayload`` where ``********`` stands for nothing.
    """
    if not holds_mask(payload):
        return payload
    restored = restore(payload, run.payload, shown_payload(run, version))
    if holds_mask(restored) and not holds_mask(run.payload):
        raise InvalidPayload(
            [{"path": "$", "message": f"{MASKED} stands for a value that is hidden: give it anew"}]
        )
    return restored


@contextlib.contextmanager
def _unquoted(is_stored: bool) -> Iterator[None]:
    """Quote nothing of a payload that is stored: the user may not be one who may see it."""
    try:
        yield
    except InvalidPayload as error:
        if not is_stored:
            raise
        raise InvalidPayload(error.plain) from None


def relaunch_version(run: Run, version: str) -> WorkflowVersion:
    """Return the version that a relaunch takes.

    Raises ``InactiveWorkflow``, ``Misuse``, and ``Conflict`` for a run that was deleted meanwhile.
    """
    checked_run(run, "relaunch")
    checked_version(version)
    # By the run's row, which a new run refers to.
    workflow = Workflow.objects.select_related("current_version").filter(runs=run.pk).first()
    if workflow is None:
        raise Conflict(f"run {run.pk} is not there any more")
    # A workflow that has left the files can't be started any more, in whatever version.
    current = current_version(workflow)
    return run.version if version == "same" else current
