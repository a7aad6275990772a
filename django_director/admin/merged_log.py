"""The log of a run: the log lines of all its tasks in the order of time, with filters by level and by words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_director.models import Run, Task, TaskLog

from . import formatting

READ: Final = 4_000_000
"""How many characters of logs a page reads, those of the last attempts."""
LINES: Final = 2_000
LEVELS: Final = ("INFO", "WARNING", "ERROR", "CRITICAL")
_HEAD: Final = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>[A-Z]+) ")
"""How `worker.logs` begins each record; further lines of the record follow without it."""


class Line(NamedTuple):
    """A line of the log of one task."""

    time: str
    task: Task
    attempt: int
    level: str
    text: str

    @property
    def label(self) -> str:
        return formatting.name(self.task.label)

    @property
    def shown(self) -> str:
        return formatting.readable(self.text)


def context(run: Run, request: HttpRequest) -> dict[str, Any]:
    """Return what the template needs. It takes one query."""
    level, words = request.GET.get("level", ""), request.GET.get("words", "")[:200]
    logs, is_cut = _read(run)
    lines = sorted((line for log in logs for line in _lines(log)), key=lambda line: line.time)
    chosen = [line for line in lines if _is_wanted(line, level, words.lower())]
    return {
        "lines": chosen[-LINES:],
        "is_cut": is_cut or len(chosen) > LINES,
        "level": level,
        "levels": [(each, f"?{urlencode({'tab': 'log', 'level': each, 'words': words})}") for each in LEVELS],
        "words": words,
        "empty": _("No line matches.") if lines else _("No task has logged anything."),
    }


def as_text(run: Run) -> Iterator[str]:
    """Yield the whole log of a run, task by task, each line with the name of its task, for a download."""
    for log in _logs(run).order_by("pk").iterator():
        for line in log.text.splitlines():
            yield f"{log.task.label}#{log.attempt} {formatting.readable(line)}\n"


def _logs(run: Run) -> Any:
    columns = ("text", "attempt", *(f"task__{name}" for name in ("step", "map_index", "is_hook", "position")))
    return TaskLog.objects.filter(task__run=run.pk).select_related("task").only(*columns)


def _read(run: Run) -> tuple[list[TaskLog], bool]:
    """Return the logs of the last attempts, the first of these first, and whether earlier ones were left out."""
    found: list[TaskLog] = []
    size = 0
    for log in _logs(run).order_by("-pk").iterator(chunk_size=50):
        size += len(log.text)
        if size > READ:
            return found[::-1], True
        found.append(log)
    return found[::-1], False


def _lines(log: TaskLog) -> Iterator[Line]:
    time = level = ""
    for text in log.text.splitlines():
        if (head := _HEAD.match(text)) is not None:
            time, level = head["time"], head["level"]
        yield Line(time, log.task, log.attempt, level, text)


def _is_wanted(line: Line, level: str, words: str) -> bool:
    if level in LEVELS and (line.level not in LEVELS or LEVELS.index(line.level) < LEVELS.index(level)):
        return False
    return words in line.text.lower()
