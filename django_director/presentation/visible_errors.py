"""Cuts the texts of tasks for readers who may not see payloads: they see no text of the users' code or of people.

The text of an exception may quote a payload, and so may a comment: `ValueError: no such card 4111…`, `Rejected by
ann: 4111… is stolen`. The engine's own sentences do not, up to their first colon. This rule applies to errors,
reasons, comments on tasks and messages of progress. The comment of a run is written for all who see the run.
"""

from __future__ import annotations

from typing import Any, Final

from django_director.models import Run

_COLON: Final = ": "
LONGEST: Final = 200


def of_task(error: str, *, sees_payload: bool) -> str:
    """Return the error of a task or an attempt; without permission only its class."""
    return error if sees_payload else _before_colon(error)


def of_run(run: Run, *, sees_payload: bool) -> str:
    """Return the error of a run; without permission only the step that has failed and the class of its error."""
    return of_run_text(run.error, sees_payload=sees_payload)


def of_run_text(text: str, *, sees_payload: bool) -> str:
    """Return the error of a run, given as ``text``, like ``of_run``."""
    if sees_payload:
        return text
    # The reason why a run was stopped is the engine's own sentence, with at most one colon. It is shown in full.
    step, colon, error = text.partition(_COLON)
    return f"{step[:LONGEST]}{colon}{_before_colon(error)}"


def reason(text: str, *, sees_payload: bool) -> str:
    """Return the reason for a task's status; without permission without the comment behind it."""
    return text if sees_payload else _before_colon(text)


def progress(value: dict[str, Any] | None, *, sees_payload: bool) -> dict[str, Any] | None:
    """Return the progress that a task reports; without permission only its numbers."""
    return value if sees_payload or value is None else {**value, "message": ""}


def decision(value: dict[str, Any] | None, *, sees_payload: bool) -> dict[str, Any] | None:
    """Return the decision on an approval; without permission without its comment."""
    return value if sees_payload or value is None else {**value, "comment": ""}


def _before_colon(text: str) -> str:
    lines = text.splitlines() or [""]
    return lines[0].partition(_COLON)[0].removesuffix(":")[:LONGEST]
