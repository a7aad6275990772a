"""What workers really did, in a file: each claim and each committed end, as the signals tell them.

Only with ``DIRECTOR_TEST_HISTORY``, the file's path. One write in append mode is never torn.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django_director import signals

_PATH = os.environ.get("DIRECTOR_TEST_HISTORY")


def _note(**what: Any) -> None:
    assert _PATH is not None
    with Path(_PATH).open("a") as file:
        file.write(json.dumps(what) + "\n")


def note_claim(task: Any, **_: Any) -> None:
    _note(what="claim", task=str(task.pk), sequence=task.sequence, claim=task.claim)


def note_end(task: Any, **_: Any) -> None:
    _note(what="end", task=str(task.pk), sequence=task.sequence, status=task.status)


def note_outcome(run: Any, **_: Any) -> None:
    _note(what="outcome", run=str(run.pk), generation=run.generation, status=run.status)


if _PATH:
    signals.task_started.connect(note_claim)
    signals.task_finished.connect(note_end)
    signals.run_finished.connect(note_outcome)
