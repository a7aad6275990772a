"""What of an error those see who may not see payloads: its class.

The text of an exception quotes what went in, and is written by anybody: `ValueError: no such card 4111…`. Our own
sentences do not, up to their first colon: `2 of 10 items failed`, `Rejected by ann`.
"""

from __future__ import annotations

from typing import Final

from .models import Run

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


def _before_colon(text: str) -> str:
    lines = text.splitlines() or [""]
    return lines[0].partition(_COLON)[0].removesuffix(":")[:LONGEST]
