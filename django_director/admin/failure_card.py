"""What the page of a failed run shows first: which steps failed and why, what never ran, and what can be done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.access.answers import Answers
from django_director.access.authorization import is_allowed
from django_director.common.times import stored
from django_director.conf import director
from django_director.models import Run, Task, TaskLog
from django_director.models.users import User
from django_director.presentation import causes, visible_errors
from django_director.status import RunStatus

from . import formatting, operations
from .run_filters import CAUSE_PERIOD

READ: Final = 200
"""How many failed tasks of a run are read, the first to fail first."""
GROUPS: Final = 5
LOG_LINES: Final = 20
OWN_FRAMES: Final = 3

_FRAME: Final = re.compile(
    r'^  File "(?P<path>[^"\n]*)", line (?P<line>\d+)(?:, in (?P<function>[^\n]*))?', re.MULTILINE
)
_FOREIGN: Final = re.compile(r"site-packages|dist-packages|/lib/python3|^<frozen|^<string>")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Failed tasks with the same error but for numbers and ids."""

    lines: Sequence[tuple[Sequence[Task], str]]
    """The first tasks by their error."""
    more: int
    """How many further tasks the group has."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A line of the user's own code in a traceback."""

    place: str
    """The end of the file's path, the number of the line and the function."""
    code: str


def context(run: Run, user: User, *, sees_payload: bool, sees_tasks: bool, stopped: int) -> dict[str, Any]:
    """Return what the template needs; nothing for a run that has not failed. It takes at most four queries.

    Without ``sees_tasks`` the log, the lines of code and the repairs are left out. ``stopped`` is how many steps
    never ran because of the failure.
    """
    if run.status != RunStatus.FAILED:
        return {}
    failed = list(_failed_tasks(run))
    first = _in_detail(failed[0], run) if failed and sees_tasks else None
    return {
        "groups": _groups(failed, sees_payload=sees_payload),
        "first": first,
        "frames": own_frames(first.traceback) if first is not None and sees_payload else [],
        "log": _last_lines(first.last_log) if first is not None and sees_payload else "",  # type: ignore[attr-defined]
        "child_error": "" if first is None else _child_error(first, Answers(user)),
        "stopped": _stopped(stopped),
        "others": _others(run, user, sees_payload=sees_payload),
        "worked": _last_success(run),
        "repairs": _repairs(first, user),
    }


def _failed_tasks(run: Run) -> Any:
    columns = ("pk", "run_id", "step", "map_index", "map_count", "is_hook", "position", "error", "status")
    return run.tasks.steps().failed().order_by("finished_at", "position", "map_index").only(*columns)[:READ]


def _in_detail(task: Task, run: Run) -> Task:
    """Read a failed task with its traceback, its last attempt's log as ``last_log``, and its child run's error."""
    logs = TaskLog.objects.filter(task=OuterRef("pk")).order_by("-sequence").values("text")[:1]
    child = Run.objects.filter(pk=OuterRef("child_run"))
    found: Task = (
        Task.objects.defer("result", "item")
        .annotate(
            last_log=Subquery(logs),
            child_error=Subquery(child.values("error")[:1]),
            child_workflow=Subquery(child.values("workflow")[:1]),
        )
        .get(pk=task.pk)
    )
    found.run = run
    return found


def _groups(tasks: Sequence[Task], *, sees_payload: bool) -> list[Group]:
    found: dict[str, list[tuple[Task, str]]] = {}
    for task in tasks:
        if task.map_count is not None:
            # A map has failed because of its items.
            continue
        error = visible_errors.of_task(task.error, sees_payload=sees_payload)
        found.setdefault(causes.key_of("", error), []).append((task, formatting.error_line(error)))
    return [
        Group(lines=_lines(group[:GROUPS]), more=max(0, len(group) - GROUPS))
        for group in list(found.values())[:GROUPS]
    ]


def _lines(group: Sequence[tuple[Task, str]]) -> list[tuple[list[Task], str]]:
    """Return the tasks of a group by the text of their error."""
    by_error: dict[str, list[Task]] = {}
    for task, error in group:
        by_error.setdefault(error, []).append(task)
    return [(tasks, error) for error, tasks in by_error.items()]


def _child_error(task: Any, answers: Answers) -> str:
    """Return the error of a task's child run if the task's own lacks it, as far as the user may see it."""
    if not director.AUTHORIZE or not task.child_error or task.child_error in task.error:
        return ""
    if not answers.may("view_run", task.child_workflow):
        return ""
    sees_payload = answers.may("view_payload", task.child_workflow)
    return formatting.error_line(visible_errors.of_run_text(task.child_error, sees_payload=sees_payload))


def own_frames(traceback: str) -> list[Frame]:
    """Return the last lines of the user's own code in a traceback, the innermost last.

    A frame is foreign if its file belongs to Python or to an installed package. If all are foreign the innermost
    one is returned.
    """
    found = [
        (bool(_FOREIGN.search(match["path"])), Frame(place=_place(match), code=_code(traceback, match.end())))
        for match in _FRAME.finditer(traceback)
    ]
    own = [frame for is_foreign, frame in found if not is_foreign]
    return own[-OWN_FRAMES:] or [frame for _, frame in found[-1:]]


def _place(match: re.Match[str]) -> str:
    path = "/".join(match["path"].split("/")[-3:])
    function = f", {match['function']}" if match["function"] else ""
    return formatting.error_line(f"{path}:{match['line']}{function}")


def _code(traceback: str, end: int) -> str:
    """Return the line of code below a frame; empty if the file could not be read."""
    lines = traceback[end:].split("\n", 2)
    line = lines[1] if len(lines) > 1 else ""
    return formatting.error_line(line.strip()) if line.startswith("    ") else ""


def _last_lines(text: str | None) -> formatting.Text:
    lines = (text or "").splitlines()[-LOG_LINES:]
    return formatting.limited_end("\n".join(lines))


def _stopped(number: int) -> str:
    text = ngettext("%(n)s step never ran", "%(n)s steps never ran", number)
    return text % {"n": formatting.number(number)} if number else ""


def _others(run: Run, user: User, *, sees_payload: bool) -> dict[str, Any]:
    """Return how many other runs have failed of the same cause within ``CAUSE_PERIOD`` before now."""
    step, error = causes.split(run.error, sees_payload=sees_payload)
    key = causes.key_of(step, error)
    same_workflow = Run.objects.filter(workflow=run.workflow_id)
    failures = causes.read_failures(same_workflow, stored(datetime.now(UTC) - CAUSE_PERIOD))
    same = [each for each in causes.group(failures, Answers(user).sees("view_payload")) if each.key == key]
    number = sum(1 for each in same for failure in each.failures if failure.pk != run.pk)
    text = ngettext(
        "same error in %(n)s other run of the last 24 hours",
        "same error in %(n)s other runs of the last 24 hours",
        number,
    )
    return {"text": text % {"n": formatting.number(number)}, "key": key} if number else {}


def _last_success(run: Run) -> dict[str, Any]:
    before = Run.objects.succeeded().filter(workflow=run.workflow_id).order_by("-finished_at")
    found = before.select_related("version").only("finished_at", "version__number").first()
    if found is None:
        return {"text": _("never succeeded")}
    text = _("last success with version %(number)s") if found.version_id != run.version_id else _("last success")
    return {
        "text": text % {"number": found.version.number},
        "run": found,
        "when": formatting.when(found.finished_at),
        "number": found.version.number,
    }


def _repairs(task: Task | None, user: User) -> list[operations.Operation]:
    """Return what the user may do to the task that failed first."""
    if task is None:
        return []
    return [
        operation
        for operation in operations.OF_TASKS.values()
        if operation.is_possible(task)
        and all(is_allowed(user, each, task.run.workflow) for each in operation.asks_for)
    ]
