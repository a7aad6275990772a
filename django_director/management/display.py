"""Objects of the JSON shape as tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from django_director.presentation.hook_names import hook_text
from django_director.status import TASK_FINISHED, TaskStatus

from .output import Cell, Printer

Json = dict[str, Any]

ITEMS_SHOWN = 20
"""The tasks for more items than this share a line."""
REASON_SHOWN = 200
"""How many characters of a run's error a list has."""
TASK_HEADERS = ("STEP", "STATUS", "ATTEMPT", "DURATION", "ERROR")
RUN_HEADERS = ("RUN", "WORKFLOW", "STATUS", "TRIGGER", "CREATED", "DURATION", "TASKS", "REASON")


def show_run(out: Printer, run: Json) -> None:
    """A run's own values, then its tasks."""
    out.fields(
        [
            ("run", run["id"]),
            ("workflow", f"{run['workflow']} (version {run['version']})"),
            ("status", run["status"]),
            ("waiting", run["waiting"] and run["waiting"]["reason"]),
            ("concurrency key", run["concurrency_key"]),
            ("trigger", run["trigger"]),
            ("user", run["user"]),
            ("comment", run["comment"]),
            ("created", moment(run["created_at"])),
            ("duration", run["duration"]),
            ("relaunched from", run["relaunched_from"]),
            ("child run of task", run["parent_task"]),
            ("payload", json.dumps(run["payload"]) if run["payload"] else None),
            ("error", run["error"]),
        ]
    )
    show_result(out, run)
    out.line()
    show_tasks(out, run["tasks"], is_paused=run["status"] == "paused")


def show_result(out: Printer, run: Json) -> None:
    """The run's result in one line, when it has one."""
    out.fields([("result", None if run["result"] is None else json.dumps(run["result"]))])


def show_tasks(out: Printer, tasks: Iterable[Json], *, is_paused: bool = False) -> None:
    """A line for each task; of a step in a map one for all items where these are many, and the first failures.

    Of a run that ``is_paused`` no task waits in a queue.
    """
    tasks = [task | {"queue": None} if is_paused else task for task in tasks]
    several = any(task["generation"] for task in tasks)
    rows: list[list[Cell]] = []
    for step, own in groupby(tasks, key=lambda task: (task["step"], task["map_index"] is None)):
        listed = list(own)
        rows += (
            [_task_row(out, task, _label(task, several)) for task in listed]
            if step[1] or len(listed) <= ITEMS_SHOWN
            else _folded(out, step[0], listed)
        )
    out.table(TASK_HEADERS, rows)


def _folded(out: Printer, step: str, tasks: list[Json]) -> Iterator[list[Cell]]:
    counts = Counter(task["status"] for task in tasks)
    yield [
        f"{step}[0…{len(tasks) - 1}]",
        ", ".join(f"{number:,} {status}" for status, number in counts.items()),
        *("", "", ""),
    ]
    failed = (task for task in tasks if task["status"] == TaskStatus.FAILED)
    yield from (_task_row(out, task, task["label"]) for task in islice(failed, ITEMS_SHOWN))


def show_runs(out: Printer, runs: Iterable[Json], asking: Container[UUID], stuck: Mapping[UUID, str]) -> None:
    """A line for each run.

    ``asking`` holds those that wait for people to decide; ``stuck`` says of others what can't be sent, or in which
    queue all that they could do waits.
    """
    out.table(
        RUN_HEADERS,
        [_run_row(run, stuck.get(UUID(run["id"]), ""), is_asking=UUID(run["id"]) in asking) for run in runs],
    )


def moment(text: str | None) -> datetime | None:
    """The time that a value of the JSON shape stands for."""
    return datetime.fromisoformat(text) if text else None


def ended(counts: dict[str, int]) -> str:
    """``3/7``: how many tasks have ended, of how many."""
    done = sum(number for status, number in counts.items() if status in TASK_FINISHED)
    return f"{done}/{sum(counts.values())}"


def _task_row(out: Printer, task: Json, label: str) -> list[Cell]:
    return [label, task["status"], task["attempt"], task["duration"], _why(out, task)]


def _label(task: Json, several: bool) -> str:
    if not task["is_hook"]:
        return str(task["label"])
    return f"{task['label']} ({hook_text(task['hook'], task['generation'], is_one_of_several=several)})"


def _with_time(task: Json, text: str, until: str) -> str:
    """What a waiting task waits for, with the time at which that ends by itself."""
    if task["kind"] in ("approval", "wait") and task["attempt"]:
        return f"{text} until {until}" if text else f"waits until {until}"
    return f"tried again at {until}: {text}" if text else f"not before {until}"


def _why(out: Printer, task: Json) -> str:
    """Why a task is in its status, or what it waits for."""
    text = task["error"] or task["reason"] or (f"child run {task['child_run']}" if task["child_run"] else "")
    if task["status"] == TaskStatus.QUEUED and not task["reason"]:
        text = ": ".join(filter(None, [_place(out, task), text]))
    until = moment(task["waits_until"])
    if until is not None:
        text = _with_time(task, text, out.time(until))
    return f"{text}: {task['prompt']}" if task["asked_at"] and task["prompt"] else text


def _place(out: Printer, task: Json) -> str:
    """In which queue a queued task waits, and since when."""
    since = moment(task["queued_at"])
    return f"in queue `{task['queue']}` since {out.time(since)}" if task["queue"] and since else ""


def _run_row(run: Json, stuck: str, *, is_asking: bool) -> list[Cell]:
    return [
        run["id"],
        run["workflow"],
        run["status"],
        run["trigger"],
        moment(run["created_at"]),
        run["duration"],
        ended(run["task_counts"]),
        (_why_not_ended(run, is_asking=is_asking) or stuck or run["error"] or "")[:REASON_SHOWN],
    ]


def _why_not_ended(run: Json, *, is_asking: bool) -> str:
    if run["waiting"]:
        return str(run["waiting"]["reason"])
    return "waits for approval" if is_asking else ""
