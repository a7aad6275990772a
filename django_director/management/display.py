"""Prints runs and tasks as tables, and a run with its tasks as JSON; each task as soon as it is read."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django_director.common.languages import in_english
from django_director.models import Run
from django_director.presentation import relaunches, run_tasks
from django_director.presentation.hook_names import hook_text
from django_director.presentation.serializers import run_as_json
from django_director.status import TaskStatus

from .output import Cell, Printer

Json = dict[str, Any]

VALUE_SHOWN = 2_000
"""How many characters of a payload or a result are printed; `--json` prints all."""
REASON_SHOWN = 200
"""How many characters of a run's error a list shows."""
TASK_HEADERS = ("STEP", "STATUS", "ATTEMPT", "DURATION", "ERROR")
RUN_HEADERS = ("RUN", "WORKFLOW", "STATUS", "TRIGGER", "CREATED", "DURATION", "TASKS", "REASON")


def show_run(out: Printer, run: Run) -> None:
    """Print the values of a run, and then its tasks."""
    shown = run_as_json(run, with_payload=True)
    out.fields(
        [
            ("run", shown["id"]),
            ("workflow", f"{shown['workflow']} (version {shown['version']})"),
            ("status", shown["status"]),
            ("waiting", shown["waiting"] and shown["waiting"]["reason"]),
            ("concurrency key", shown["concurrency_key"]),
            ("trigger", shown["trigger"]),
            ("user", shown["user"]),
            ("comment", shown["comment"]),
            ("created", parse_time(shown["created_at"])),
            ("duration", shown["duration"]),
            ("relaunched from", shown["relaunched_from"]),
            ("relaunched as", name_relaunches(run)),
            ("child run of task", shown["parent_task"]),
            ("payload", _value_of(shown, "payload") if shown["payload"] else None),
            ("error", shown["error"]),
        ]
    )
    _show_result(out, shown)
    out.line()
    out.stream.flush()
    show_tasks(out, run)


def name_relaunches(run: Run) -> str:
    """Return the newest runs that were relaunched from ``run``, each with its status; empty if there is none."""
    found, has_more = relaunches.newest(run)
    shown = [f"{new.pk} ({new.shown_status})" for new in found]
    return ", ".join([*shown, "…"] if has_more else shown)


def show_run_as_json(out: Printer, run: Run) -> None:
    """Print a run and its tasks as one JSON object."""
    out.json_with(run_as_json(run, with_payload=True), "tasks", run_tasks.as_json(run, with_payload=True))


def show_outcome(out: Printer, run: Run) -> None:
    """Print the tasks of a run, and then its result in one line, if it has one."""
    show_tasks(out, run)
    _show_result(out, run_as_json(run, with_payload=True))


def _show_result(out: Printer, run: Json) -> None:
    out.fields([("result", None if run["result"] is None else _value_of(run, "result"))])


def _value_of(run: Json, key: str) -> str:
    """Return a value of a run as JSON, cut to what people read, with a note on how to get all of it."""
    text = json.dumps(run[key])
    if len(text) <= VALUE_SHOWN:
        return text
    return f"{text[:VALUE_SHOWN]}… ({len(text):,} characters; “showrun {run['id']} --json” prints all)"


def show_tasks(out: Printer, run: Run) -> None:
    """Print a line for each task.

    The tasks of a step for many items share one line, and a line follows for each of the first failed tasks.
    """
    # No task of a paused run waits in a queue.
    hidden = {"queue": None} if run.shown_status == "paused" else {}
    several = run.tasks.hooks().filter(generation__gt=0).exists()
    out.table(TASK_HEADERS, _task_rows(out, run, several=several, hidden=hidden))


def _task_rows(out: Printer, run: Run, *, several: bool, hidden: Json) -> Iterator[list[Cell]]:
    for line in run_tasks.lines(run):
        if isinstance(line, run_tasks.Many):
            counts = ", ".join(f"{number:,} {status}" for status, number in line.counts.items())
            yield [f"{line.step}[0…{line.total - 1}]", counts, "", "", ""]
            yield from (_task_row(out, task | hidden, task["label"]) for task in line.failed)
        else:
            yield _task_row(out, line | hidden, _label(line, several))


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


def _task_row(out: Printer, task: Json, label: str) -> list[Cell]:
    return [label, task["status"], task["attempt"], task["duration"], _explain_status(out, task)]


def _label(task: Json, several: bool) -> str:
    if not task["is_hook"]:
        return str(task["label"])
    return f"{task['label']} ({in_english(hook_text, task['hook'], task['generation'], several)})"


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
        f"{run['progress']['done']}/{run['progress']['total']}",
        (_explain_waiting(run, is_asking=is_asking) or stuck or run["error"] or "")[:REASON_SHOWN],
    ]


def _explain_waiting(run: Json, *, is_asking: bool) -> str:
    if run["waiting"]:
        return str(run["waiting"]["reason"])
    return "waits for approval" if is_asking else ""
