"""The check of the permissions that approvals ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django_director.common.problems import Problem
from django_director.common.suggestions import MAX_HINTS, question
from django_director.definitions.definition import Definition
from django_director.definitions.kinds import ApprovalStep
from django_director.definitions.source import codes


def check_permissions(definitions: Iterable[Definition], known: Collection[str]) -> list[Problem]:
    """Return notes on permissions that are not in ``known``; somebody may have made them by hand."""
    hints: dict[str, str] = {}
    notes = []
    for definition in definitions:
        for step in definition.entries():
            name = step.permission if isinstance(step, ApprovalStep) else None
            if name is None or name in known:
                continue
            if name not in hints:
                near = question(name, known) if len(hints) < MAX_HINTS else ""
                hints[name] = near or "until somebody has it, only superusers can decide"
            message = f"no model declares the permission “{name}”"
            notes.append(
                Problem(
                    place=step.place,
                    code=codes.PERMISSION,
                    message=message,
                    hint=hints[name],
                    workflow=definition.name,
                    step=step.id,
                    level="note",
                )
            )
    return notes
