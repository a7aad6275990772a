"""Prints runs and tasks as tables; they are given in the form that ``--json`` prints."""

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
"""With more items than this in a map, the tasks of a step share one line."""
REASON_SHOWN = 200
"""How many characters of a run's error a list shows."""
TASK_HEADERS = ("STEP", "STATUS", "ATTEMPT", "DURATION", "ERROR")
RUN_HEADERS = ("RUN", "WORKFLOW", "STATUS", "TRIGGER", "CREATED", "DURATION", "TASKS", "REASON")


def show_run(out: Printer, run: Json) -> None:
    """Print the values of a run, and then its tasks."""
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
            ("created", parse_time(run["created_at"])),
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
    """Print the result of a run in one line, if it has one."""
    out.fields([("result", None if run["result"] is None else json.dumps(run["result"]))])


def show_tasks(out: Printer, tasks: Iterable[Json], *, is_paused: bool = False) -> None:
    """Print a line for each task.

    The tasks of a step for many items share one line, and a line follows for each of the first failed tasks. If
    ``is_paused``, the run is paused, so that no task waits in a queue.
    """
    tasks = [task | {"queue": None} if is_paused else task for task in tasks]
    several = any(task["generation"] for task in tasks)
    rows: list[list[Cell]] = []
    for step, own in groupby(tasks, key=lambda task: (task["step"], task["map_index"] is None)):
        listed = list(own)
        rows += (
            [_task_row(out, task, _label(task, several)) for task in listed]
            if step[1] or len(listed) <= ITEMS_SHOWN
            else _rows_of_many(out, step[0], listed)
        )
    out.table(TASK_HEADERS, rows)


def _rows_of_many(out: Printer, step: str, tasks: list[Json]) -> Iterator[list[Cell]]:
    """Yield the shared row of the tasks of a step for many items, and a row for each of the first failed tasks."""
    counts = Counter(task["status"] for task in tasks)
    yield [
        f"{step}[0…{len(tasks) - 1}]",
        ", ".join(f"{number:,} {status}" for status, number in counts.items()),
        *("", "", ""),
    ]
    failed = (task for task in tasks if task["status"] == TaskStatus.FAILED)
    yield from (_task_row(out, task, task["label"]) for task in islice(failed, ITEMS_SHOWN))


def show_runs(out: Printer, runs: Iterable[Json], asking: Container[UUID], stuck: Mapping[UUID, str]) -> None:
    """Print a line for each run.

    ``asking`` contains the ids of the runs that wait for a person to decide. ``stuck`` has, by the ids of other
    runs, why they make no progress: a message can't be sent, or all their tasks wait in a queue.
    """
    out.table(
        RUN_HEADERS,
        [_run_row(run, stuck.get(UUID(run["id"]), ""), is_asking=UUID(run["id"]) in asking) for run in runs],
    )


def parse_time(text: str | None) -> datetime | None:
    """Return the time of a text in ISO 8601; ``None`` without a text."""
    return datetime.fromisoformat(text) if text else None


def count_ended(counts: dict[str, int]) -> str:
    """Return how many tasks have ended, and how many there are, as ``3/7``."""
    done = sum(number for status, number in counts.items() if status in TASK_FINISHED)
    return f"{done}/{sum(counts.values())}"


def _task_row(out: Printer, task: Json, label: str) -> list[Cell]:
    return [label, task["status"], task["attempt"], task["duration"], _explain_status(out, task)]


def _label(task: Json, several: bool) -> str:
    if not task["is_hook"]:
        return str(task["label"])
    return f"{task['label']} ({hook_text(task['hook'], task['generation'], is_one_of_several=several)})"


def _add_time(task: Json, text: str, until: str) -> str:
    """Return what a task waits for, together with the time at which it waits no more."""
    if task["kind"] in ("approval", "wait") and task["attempt"]:
        return f"{text} until {until}" if text else f"waits until {until}"
    return f"tried again at {until}: {text}" if text else f"not before {until}"


def _explain_status(out: Printer, task: Json) -> str:
    """Return why a task has its status, or what it waits for."""
    text = task["error"] or task["reason"] or (f"child run {task['child_run']}" if task["child_run"] else "")
    if task["status"] == TaskStatus.QUEUED and not task["reason"]:
        text = ": ".join(filter(None, [_describe_queue(out, task), text]))
    if task["kind"] == "map" and task["status"] == TaskStatus.WAITING and (progress := task["progress"]):
        text = f"{progress['done']:,} of {progress['total']:,} items have ended"
    until = parse_time(task["waits_until"])
    if until is not None:
        text = _add_time(task, text, out.time(until))
    return f"{text}: {task['prompt']}" if task["asked_at"] and task["prompt"] else text


def _describe_queue(out: Printer, task: Json) -> str:
    """Return in which queue a queued task waits, and since when."""
    since = parse_time(task["queued_at"])
    return f"in queue `{task['queue']}` since {out.time(since)}" if task["queue"] and since else ""


def _run_row(run: Json, stuck: str, *, is_asking: bool) -> list[Cell]:
    return [
        run["id"],
        run["workflow"],
        run["status"],
        run["trigger"],
        parse_time(run["created_at"]),
        run["duration"],
        count_ended(run["task_counts"]),
        (_explain_waiting(run, is_asking=is_asking) or stuck or run["error"] or "")[:REASON_SHOWN],
    ]


def _explain_waiting(run: Json, *, is_asking: bool) -> str:
    if run["waiting"]:
        return str(run["waiting"]["reason"])
    return "waits for approval" if is_asking else ""
