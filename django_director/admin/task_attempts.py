"""The attempts of a task on its page: one tab each, with its times, its error, its traceback and its log lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from django_director.drawing.icons import icon
from django_director.engine.outbox import generation_of
from django_director.models import Attempt, Task, TaskLog
from django_director.presentation import visible_errors
from django_director.status import TaskStatus
from django_director.worker.logs import LEVEL

from . import formatting, task_lines
from .failure_card import own_frames

SHOWN: Final = 50
"""How many attempts have tabs, the last ones."""
PARAMETER: Final = "attempt"

LEVELS: Final = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """An attempt: the present one of a task, or one that has a row of its own."""

    generation: int
    """The generation of the run: a retry of the run begins a new one, and attempts count from 1 again."""
    number: int
    outcome: str
    """Its outcome; of the present attempt the status of the task."""
    label: str
    worker: str
    started_at: datetime | None
    finished_at: datetime | None
    row: int | None
    """The id of the row; ``None`` for the present attempt."""

    @property
    def key(self) -> str:
        """Name it in addresses."""
        return f"{self.generation}.{self.number}"


def find(task: Task) -> list[Try]:
    """Return the last attempts of a task, the oldest first; none of a task that no worker has begun.

    It takes one query.
    """
    rows = task.attempts.defer("error", "traceback").order_by("-pk")[:SHOWN]
    found = [_of_row(row) for row in rows][::-1]
    present = _present(task)
    if present is not None and present.key not in {each.key for each in found}:
        found.append(present)
    return found


def choose(tries: Sequence[Try], key: str) -> Try | None:
    """Return the attempt that an address names, or else the last one."""
    return next((each for each in tries if each.key == key), tries[-1] if tries else None)


def context(task: Task, asked: str, *, sees_payload: bool) -> dict[str, Any]:
    """Return what the template shows of the attempts of a task. It takes two queries, or three."""
    tries = find(task)
    chosen = choose(tries, asked)
    if chosen is None:
        return {}
    error, traceback = _failure(task, chosen)
    error = visible_errors.of_task(error, sees_payload=sees_payload)
    is_told = task.status == TaskStatus.FAILED or task_lines.is_to_be_tried_again(task)
    if is_told and chosen is tries[-1] and formatting.error_line(error) == error:
        # The sentence at the top of the page has all of it.
        error = ""
    return {
        "tabs": [
            (_name(each, task), link(each), icon(each.outcome), each is chosen, each.label) for each in tries
        ],
        "chosen": chosen,
        "is_named": task.run.generation > 0,
        "facts": list(_facts(chosen, is_alone=len(tries) == 1)),
        "error": formatting.limited(error),
        "frames": own_frames(traceback) if sees_payload else [],
        "traceback": formatting.limited(traceback) if sees_payload else formatting.Text("", ""),
        **(_log(task, chosen) if sees_payload else {}),
    }


def link(attempt: Try) -> str:
    """Return the query string that chooses an attempt."""
    return f"?{urlencode({PARAMETER: attempt.key})}#attempt"


def read_failure(task: Task, key: str) -> tuple[str, str]:
    """Return the error and the traceback of an attempt, see ``choose``."""
    chosen = choose(find(task), key)
    return ("", "") if chosen is None else _failure(task, chosen)


def read_log(task: Task, key: str) -> str:
    """Return the log lines that are kept of an attempt, see ``choose``."""
    chosen = choose(find(task), key)
    return "" if chosen is None else "".join(log.text for log in _logs(task, chosen))


def _of_row(row: Attempt) -> Try:
    return Try(
        generation=row.generation,
        number=row.number,
        outcome=row.outcome,
        label=str(row.get_outcome_display()),
        worker=row.worker,
        started_at=row.started_at,
        finished_at=row.finished_at,
        row=row.pk,
    )


def _present(task: Task) -> Try | None:
    """Return the attempt of which the columns of the task tell."""
    if not task.attempt or task.started_at is None:
        return None
    return Try(
        generation=generation_of(task.sequence),
        number=task.attempt,
        outcome=task.status,
        label=formatting.status_label(task.status),
        worker=task.worker,
        started_at=task.started_at,
        finished_at=task.finished_at,
        row=None,
    )


def _failure(task: Task, chosen: Try) -> tuple[str, str]:
    if chosen.row is not None:
        row = task.attempts.only("error", "traceback").get(pk=chosen.row)
        return row.error, row.traceback
    # While an attempt runs the columns still tell of the one before it.
    return (task.error, task.traceback) if task.status == TaskStatus.FAILED else ("", "")


def _logs(task: Task, chosen: Try) -> list[TaskLog]:
    # A task that a worker has given back has two rows for one attempt.
    return list(task.logs.filter(attempt=chosen.number, generation=chosen.generation).order_by("sequence"))


def _log(task: Task, chosen: Try) -> dict[str, Any]:
    logs = _logs(task, chosen)
    level = max((log.level for log in logs), default=0)
    name = next((name for number, name in LEVELS if level >= number), "") if level > LEVEL else ""
    note = _("Its worker makes lines from %(level)s on only (--loglevel): those of INFO are missing.")
    return {
        "log": formatting.limited_end("".join(log.text for log in logs)),
        "has_log": bool(logs),
        "level_note": note % {"level": name} if name else "",
    }


def _name(each: Try, task: Task) -> str:
    text = _("Attempt %(number)s") % {"number": each.number}
    if each.generation:
        text = _("%(attempt)s (retry %(generation)s of the run)") % {
            "attempt": text,
            "generation": each.generation,
        }
    elif task.run.generation:
        text = _("%(attempt)s (before the run was retried)") % {"attempt": text}
    return text


def _facts(chosen: Try, *, is_alone: bool) -> Iterator[tuple[str, Any]]:
    yield _("Started"), formatting.when(chosen.started_at)
    if chosen.finished_at is not None:
        yield _("Ended"), formatting.when(chosen.finished_at)
        if chosen.started_at is not None:
            yield _("Duration"), formatting.seconds((chosen.finished_at - chosen.started_at).total_seconds())
    if chosen.worker:
        yield _("Worker"), formatting.name(chosen.worker)
