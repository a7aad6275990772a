"""What of a task's texts those see who may not see payloads: nothing that code or people have written.

The text of an exception quotes what went in, and so does a comment: `ValueError: no such card 4111…`, `Rejected by
ann: 4111… is stolen`. Our own sentences do not, up to their first colon. Errors, reasons, comments on tasks and
messages of progress follow this one rule. The comment of a run is written for all who see the run.
"""

from __future__ import annotations

from typing import Any, Final

from django_director.models import Run

_COLON: Final = ": "
LONGEST: Final = 200


def of_task(error: str, *, sees_payload: bool) -> str:
    """The error of a task or an attempt; without permission its class."""
    return error if sees_payload else _before_colon(error)


def of_run(run: Run, *, sees_payload: bool) -> str:
    """The error of a run; without permission the step and the class of what it failed by."""
    if sees_payload:
        return run.error
    # Why a run was stopped is a sentence of ours, with at most one colon, and stays whole.
    step, colon, error = run.error.partition(_COLON)
    return f"{step[:LONGEST]}{colon}{_before_colon(error)}"


def reason(text: str, *, sees_payload: bool) -> str:
    """Why a task is in its status; without permission not what was written behind it."""
    return text if sees_payload else _before_colon(text)


def progress(value: dict[str, Any] | None, *, sees_payload: bool) -> dict[str, Any] | None:
    """How far a task says it is; without permission the numbers."""
    return value if sees_payload or value is None else {**value, "message": ""}


def decision(value: dict[str, Any] | None, *, sees_payload: bool) -> dict[str, Any] | None:
    """What somebody has decided; without permission not the comment."""
    return value if sees_payload or value is None else {**value, "comment": ""}


def _before_colon(text: str) -> str:
    lines = text.splitlines() or [""]
    return lines[0].partition(_COLON)[0].removesuffix(":")[:LONGEST]
